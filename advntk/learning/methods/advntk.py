"""Adv-NTK: train on attacked batches of val, keep the last step's predictor and the best one on val."""

from __future__ import annotations

from typing import Any

import numpy as np

from advntk.attacks.entries import pgd
from advntk.foundation import files
from advntk.foundation.errors import ConfigError
from advntk.foundation.losses import one_hot
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.grams import open_gram
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning.adv_ntk import AdvNtk, AdvNtkOptions, Batch, StateFile, Trajectory
from advntk.learning.kernel_predictor import KernelPredictor, accuracy_row, load_kernel, merit, targets_of
from advntk.learning.method import Fit, Method, Row, Task
from advntk.learning.randomness import batch_indices, stream_seed


def attacked_batches(problem: AdvNtk, task: Task) -> Any:
    """Inputs for training: each step's batch of val, attacked against the step's own predictor."""
    val, options = task.split.val, task.options
    attack = pgd.Options(**options.attack.model_dump())

    def inputs(step: int, coef: np.ndarray) -> Batch:
        chosen = batch_indices(len(val), options.batch, step, stream_seed(task.seed, "advntk batches"))
        images, labels = val.images[chosen], val.labels[chosen]
        predictor = KernelPredictor(problem.kernel, coef, task.split.input_shape)
        seed = stream_seed(task.seed, f"advntk attack {step}")
        attacked = pgd.run(predictor, images, labels, options=attack, threat=task.threat, seed=seed)
        return attacked, np.asarray(one_hot(labels, task.split.classes, np.float64))

    return inputs


def curve(problem: AdvNtk, trajectory: Trajectory, task: Task, solved: dict[int, np.ndarray]) -> list[Row]:
    """Accuracies on val and on the logged part of test at the report steps; fills ``solved`` with their P."""
    steps = sorted({*range(0, task.options.steps + 1, task.options.report_every), task.options.steps})
    rows = []
    for step in steps:
        solved[step] = problem.solve(trajectory.varpi[step]).coef
        predictor = KernelPredictor(problem.kernel, solved[step], task.split.input_shape)
        for name, part in task.monitors.items():
            rows.append(
                accuracy_row(
                    predictor,
                    part,
                    name=name,
                    step=step,
                    threat=task.threat,
                    attack=task.options.attack,
                    seed=stream_seed(task.seed, "select"),
                )
            )
    return rows


def fit(task: Task) -> Fit:
    """Train for each ζ, keep the one whose last step does best on val.

    Returns:
        Both checkpoints, the curves, and the whole trajectory of ϖ.

    Raises:
        ConfigError: the batch is larger than val.
    """
    options: AdvNtkOptions = task.options
    if options.batch > len(task.split.val):
        raise ConfigError(
            f"batch {options.batch} is more than the {len(task.split.val)} images of val",
            where="method_options.advntk.batch",
            remedy="lower it, or raise n_val",
        )
    assert task.gram is not None
    compute, shape = task.compute, task.split.input_shape
    engine = make_engine(task.spec, shape, engine=compute.kernel_engine, device=compute.device)
    problem = AdvNtk(
        operator=GramOperator(
            open_gram(task.gram, task.split, task.spec),
            device=compute.device,
            memory_mb=compute.memory_mb,
            where=task.gram,
        ),
        kernel=engine.bind(task.split.opt.images, memory_mb=compute.memory_mb),
        targets=targets_of(task.split.opt, task.split.classes),
        options=options,
    )
    states, candidates = [], []
    for rate in options.rates():
        state = StateFile(task.workdir / f".advntk.{rate:g}.npz", _fingerprint(task, engine.name, rate))
        trajectory = problem.train(attacked_batches(problem, task), rate, state=state)
        solved: dict[int, np.ndarray] = {}
        rows = curve(problem, trajectory, task, solved)
        candidates.append((rate, trajectory, rows, solved))
        states.append(state)
    rate, trajectory, rows, solved = max(candidates, key=lambda candidate: merit(_on_val(candidate[2])[-1]))
    best = int(max(_on_val(rows), key=merit)["step"])
    for state in states:
        state.remove()
    return Fit(
        checkpoints={"last": {"step": options.steps}, "best_val": {"step": best}},
        arrays={
            "coef.last": solved[options.steps],
            "coef.best_val": solved[best],
            **{f"trajectory.{name}": array for name, array in trajectory.arrays().items()},
        },
        curves=rows,
        training={"learning_rate": rate, "lambda_max": max(trajectory.lambda_max), "loss": trajectory.loss[-1]},
    )


def _on_val(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["split"] == "val"]


def _fingerprint(task: Task, engine: str, rate: float) -> str:
    """What a saved trajectory belongs to."""
    return files.sha256_of_json(
        {
            "split": task.split.hash,
            "architecture": task.spec.kernel_identity,
            "threat": task.threat.model_dump(),
            "options": task.options.model_dump(exclude={"learning_rate", "report_every"}),
            "rate": rate,
            "seed": task.seed,
            "engine": engine,
        }
    )


ENTRY = Method(
    options=AdvNtkOptions,
    kind="kernel",
    depends_on_radius=True,
    checkpoints=("last", "best_val"),
    fit=fit,
    load=load_kernel,
    description="infinitely wide network with a learned diagonal of the regularisation matrix (Adv-NTK)",
)
