"""Training of Adv-NTK: attacked batches of val, the search of ζ, curves, and the checkpoints that are kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from advntk.attacks.attack import to_numpy
from advntk.attacks.entries import pgd, reference_fixed_gradient
from advntk.attacks.gradient import ascend
from advntk.foundation import files
from advntk.foundation.device import jax_device
from advntk.foundation.errors import ConfigError
from advntk.foundation.losses import one_hot
from advntk.foundation.progress import counted
from advntk.foundation.provenance import code_digest, told_content, versions
from advntk.foundation.roots import behind
from advntk.ingredients.grams import sidecar
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning.adv_ntk import AdvNtk, Batch, StateFile, Trajectory, Weights
from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.learning.kernel_predictor import KernelPredictor, accuracy_row, merit, targets_of, theta_of
from advntk.learning.method import Fit, Row, Task
from advntk.learning.randomness import batch_indices, stream_seed
from advntk.learning.search import race


def attacked_batches(problem: AdvNtk, task: Task) -> Any:
    """Inputs for training: each step's batch of val, attacked against the step's own predictor."""
    val, options = task.split.val, task.options
    entry = {"pgd": pgd.ENTRY, "reference_fixed_gradient": reference_fixed_gradient.ENTRY}[options.training_attack]
    attack = entry.options(**options.attack.model_dump())

    def inputs(step: int, coef: np.ndarray) -> Batch:
        chosen = batch_indices(len(val), options.batch, step, stream_seed(task.seed, "advntk batches"))
        images, labels = val.images[chosen], val.labels[chosen]
        predictor = KernelPredictor(problem.kernel, coef, task.split.input_shape)
        seed = stream_seed(task.seed, f"advntk attack {step}")
        attacked = entry.run(predictor, images, labels, options=attack, threat=task.threat, seed=seed).images
        return attacked, np.asarray(one_hot(labels, task.split.classes, np.float64))

    return inputs


def paired_batches(problem: AdvNtk, task: Task) -> Any:
    """Inputs for training by TRADES: each batch of val, and itself where ‖f(x') − f(x)‖² is large.

    The attack starts at x + 0.001 N(0, 1), as the gradient at x itself is 0.

    Returns:
        The function.
    """
    val, options, classes = task.split.val, task.options, task.split.classes

    def inputs(step: int, coef: np.ndarray) -> Batch:
        chosen = batch_indices(len(val), options.batch, step, stream_seed(task.seed, "advntk batches"))
        images, labels = val.images[chosen], val.labels[chosen]
        predictor = KernelPredictor(problem.kernel, coef, task.split.input_shape)
        fixed = predictor.logits(images)

        def oracle(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            native, pullback = predictor.linearize(predictor.native(points))
            moved = to_numpy(native) - fixed
            slope = to_numpy(pullback(predictor.native(moved)))
            return fixed + moved, 0.5 * (moved**2).sum(axis=1), slope.astype(points.dtype)

        generator = np.random.default_rng(stream_seed(task.seed, f"advntk attack {step}"))
        start = images + (0.001 * generator.standard_normal(images.shape)).astype(images.dtype)
        size = options.attack.step_ratio * task.threat.radius
        attacked = ascend(oracle, images, start, threat=task.threat, steps=options.attack.steps, step_size=size)
        return np.concatenate([images, attacked]), np.asarray(one_hot(labels, classes, np.float64))

    return inputs


def curve(problem: AdvNtk, trajectory: Trajectory, task: Task, solved: dict[int, np.ndarray]) -> list[Row]:
    """Accuracies on val and on the logged part of test at the report steps; fills ``solved`` with their P."""
    steps = sorted({*range(0, task.options.steps + 1, task.options.report_every), task.options.steps})
    rows = []
    for step in steps:
        solved[step] = problem.solve(trajectory.varpi[step]).coef
        predictor = KernelPredictor(problem.kernel, solved[step], task.split.input_shape)
        rows += [_row(predictor, name, step, task) for name in task.monitors]
    return rows


def fit(task: Task, weights: Weights | None = None) -> Fit:
    """Train for the ζ of least loss on attacked images of val; of several, trainings that fall behind end early.

    Args:
        task: what to train, and on what.
        weights: of the loss of TRADES; None: the paper's loss.

    Returns:
        Both checkpoints, the curves, and the whole trajectory of ϖ.

    Raises:
        ConfigError: the batch is larger than val.
    """
    options: AdvNtkOptions = task.options
    assert task.gram is not None
    if options.batch > len(task.split.val):
        raise ConfigError(
            f"batch {options.batch} is more than the {len(task.split.val)} images of val",
            where="method_options.advntk.batch",
            remedy="lower it, or raise n_val",
        )
    compute = task.compute
    engine = make_engine(task.spec, task.split.input_shape, engine=compute.kernel_engine, device=compute.device)
    problem = AdvNtk(
        operator=theta_of(task, task.images),
        kernel=engine.bind(task.training.images, memory_mb=compute.memory_mb),
        targets=targets_of(task.training, task.split.classes),
        options=options,
        weights=weights,
    )
    states = {
        rate: StateFile(task.workdir / f".advntk.{rate:g}.npz", _fingerprint(task, engine.name, rate))
        for rate in options.rates()
    }
    # Θ/s with s·D has the predictor of Θ with D, and the same direction of ϖ: only the length of a step changes
    unit = 1.0 / problem.operator.mean_diagonal() if options.normalize else 1.0
    inputs = (attacked_batches if weights is None else paired_batches)(problem, task)

    def trained(rate: float, until: int) -> Trajectory:
        return problem.train(inputs, rate * unit, state=states[rate], until=until)

    rate = race(options.rates(), options.steps, lambda rate, until: trained(rate, until).loss)
    trajectory = trained(rate, options.steps)
    solved: dict[int, np.ndarray] = {}
    with counted(problem.timing, "curves_s"):
        rows = curve(problem, trajectory, task, solved)
    best = int(max((row for row in rows if row["split"] == "val"), key=merit)["step"])
    return Fit(
        checkpoints={"last": {"step": options.steps}, "best_val": {"step": best}},
        arrays={
            "coef.last": solved[options.steps],
            "coef.best_val": solved[best],
            **{f"trajectory.{name}": array for name, array in trajectory.arrays().items()},
        },
        curves=rows,
        training={
            "learning_rate": rate,
            "step_length": rate * unit,
            "lambda_max": max(trajectory.lambda_max),
            "loss": trajectory.loss[-1],
        },
        states=tuple(state.path for state in states.values()),
        timing=problem.timing,
    )


def _row(predictor: KernelPredictor, name: str, step: int, task: Task) -> Row:
    return accuracy_row(
        predictor,
        task.monitors[name],
        name=name,
        step=step,
        threat=task.threat,
        attack=task.options.attack,
        seed=stream_seed(task.seed, "select"),
    )


def _fingerprint(task: Task, engine: str, rate: float) -> str:
    """What a saved trajectory belongs to: all that decides its bits, as far as a file can know it."""
    assert task.gram is not None
    return files.sha256_of_json(
        {
            "split": task.split.hash,
            "architecture": task.spec.kernel_identity,
            "threat": task.threat.model_dump(),
            "options": task.options.model_dump(exclude={"learning_rate", "report_every"}),
            "rate": rate,
            "seed": task.seed,
            "images": task.images,
            "engine": engine,
            "device": jax_device(task.compute.device),
            "versions": versions("jax", "jaxlib", "neural-tangents", "numba", "numpy", "scipy"),
            "code": code_digest(*behind("advntk.learning.methods.advntk_trades", family=task.spec.family)),
            "gram": told_content(sidecar(task.gram)),
        }
    )
