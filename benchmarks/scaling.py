"""``scaling``: time and memory of one Adv-NTK training step over n, in both forms."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advntk.attacks.entries import pgd
from advntk.foundation import files, krylov
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.foundation.progress import Progress
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning.kernel_predictor import KernelPredictor
from benchmarks import child, problem, timing
from benchmarks.figure import draw
from benchmarks.options import Scaling
from benchmarks.reference import ATTACK, BATCH, THREAT, ReferenceAttack, dense_solver, native
from benchmarks.solver import TOLERANCE

FIT_FROM, FIT_TO = 2000, 20000
LAMBDA_MAX, AT_N = 1.1e3, 10000
"""λmax(D^½ΘD^½) after 25 of 50 steps on Fashion-MNIST (MLP-5, n = 10,000, ζ = 0.3); for D of one length as √n."""


class Step:
    """One training step in three phases, on a batch and labels made under a seed; n training images."""

    def __init__(self, spec: Architecture, shape: problem.Shape, n: int, seed: int) -> None:
        self.spec, self.shape, self.n, self.seed = spec, shape, n, seed
        self.batch = problem.smooth_images(BATCH, shape, seed + 1), problem.labels_of(BATCH, seed + 1)

    def load(self, train: np.ndarray, theta: np.ndarray, diagonal: np.ndarray) -> None:
        """Take X (n, H, W, C), Θ (n, n) float32, a memory map will do, and D (n,)."""
        self.targets = problem.targets_of(problem.labels_of(self.n, self.seed))

    def run(self) -> dict[str, float]:
        """Solve for P, attack the batch, take the gradient by D; seconds of each."""
        return {f"{phase}_s": timing.timed(getattr(self, phase))[1] for phase in ("solve", "attack", "gradient")}


class OurStep(Step):
    """Block Krylov and our kernel engine, as training has them."""

    def load(self, train: np.ndarray, theta: np.ndarray, diagonal: np.ndarray) -> None:
        """Bind the kernel to them."""
        super().load(train, theta, diagonal)
        self.product, self.diagonal = GramOperator(theta, device="cpu").product, diagonal
        self.kernel = make_engine(self.spec, self.shape, device="cpu").bind(train, memory_mb=2000)
        self.bounds: dict[str, Any] = {"tolerance": TOLERANCE, "max_columns": self.n}

    def solve(self) -> None:
        """``solution``: P(D)."""
        self.solution = krylov.solve(self.product, self.diagonal, self.targets, **self.bounds)

    def attack(self) -> None:
        """``points``: the batch after PGD-10."""
        predictor = KernelPredictor(self.kernel, self.solution.coef, self.shape)
        self.points = pgd.run(predictor, *self.batch, options=ATTACK, threat=THREAT, seed=self.seed).images

    def gradient(self) -> None:
        """``slope``: the gradient of the loss there by D."""
        rows = self.kernel.rows(self.points).astype(np.float64)
        cotangent = rows.T @ (rows @ self.solution.coef - problem.targets_of(self.batch[1])) / BATCH
        self.slope = krylov.gradient(self.product, self.solution, cotangent, **self.bounds)


class ReferenceStep(Step):
    """Dense matrix functions with autodiff and jitted neural-tangents, compiled for one n before any data is there."""

    def __init__(self, spec: Architecture, shape: problem.Shape, n: int, seed: int) -> None:
        super().__init__(spec, shape, n, seed)
        self.dense, self.dense_with_gradient = dense_solver(n, problem.CLASSES)
        self.network = ReferenceAttack(spec, np.zeros((n, *shape)), np.zeros((n, problem.CLASSES)))
        self.attack(steps=1)
        self.network.rows(self.batch[0])

    def load(self, train: np.ndarray, theta: np.ndarray, diagonal: np.ndarray) -> None:
        """Move them to JAX."""
        super().load(train, theta, diagonal)
        self.network.train = native(train)
        self.given = [native(array) for array in (diagonal, theta, self.targets)]

    def solve(self) -> None:
        """P(D), which the network has then."""
        self.network.coef = self.dense(*self.given).block_until_ready()

    def attack(self, steps: int = ATTACK.steps) -> None:
        """``points``: the batch after PGD."""
        starts = pgd.random_starts(self.batch[0], THREAT, self.seed)
        self.points = self.network.run(*self.batch, starts, steps)

    def gradient(self) -> None:
        """``slope``: the gradient of the loss there by D."""
        rows = self.network.rows(self.points)
        residual = rows @ self.network.coef - native(problem.targets_of(self.batch[1]))
        self.slope = np.asarray(self.dense_with_gradient(*self.given, rows.T @ residual / BATCH)[1])


def run(options: Scaling) -> dict[str, Any]:
    """Measure, or read what was measured; write data and figure if wanted.

    Returns:
        The result's keys; ``steps`` has one entry a form and n.

    Raises:
        ConfigError: a file to draw from, but no name to write to.
    """
    if options.source:
        if not options.out:
            raise ConfigError("nothing to write", where="--from", remedy="give --out, the name of the figure")
        result: dict[str, Any] = files.read_json(options.source)
    else:
        result = {**_measured(options), **timing.machine(options)}
    if options.out:
        draw(result, options.out.with_suffix(".svg"))
        if not options.source:
            files.write_json(options.out.with_suffix(".json"), {"bench": "scaling", **result})
    return result


def _measured(options: Scaling) -> dict[str, Any]:
    wanted = {"reference": options.reference_sizes, "ours": options.sizes}
    progress = Progress("scaling", sum(map(len, wanted.values())), unit="processes")
    steps = []
    for n in sorted({n for sizes in wanted.values() for n in sizes}):
        with tempfile.TemporaryDirectory(prefix="advntk-benchmark-") as folder:
            common = _prepare(Path(folder), n, options)
            for form in (form for form, sizes in wanted.items() if n in sizes):
                spec = {"folder": folder, "form": form, **options.model_dump(include={"depth", "seed", "repeats"})}
                done = child.run(some_steps, spec)
                steps.append({"form": form, "n": n, **done, **common})
                progress.advance(note=f"{form}, n = {n}: {done['step_s']:.3g} s")
    own = [step for step in steps if step["form"] == "ours" and FIT_FROM <= step["n"] <= FIT_TO]
    return {
        "depth": options.depth,
        "exponent_ours": exponent(own, "step_s"),
        "exponent_solve_gradient": exponent(own, "solve_s", "gradient_s"),
        "exponent_reference": exponent([step for step in steps if step["form"] == "reference"], "step_s"),
        "steps": steps,
    }


def exponent(steps: Sequence[Mapping[str, Any]], *keys: str) -> float | None:
    """Slope of the least-squares line of log Σ keys over log n; None for less than two sizes."""
    if len(steps) < 2:
        return None
    sizes, values = [step["n"] for step in steps], [sum(step[key] for key in keys) for step in steps]
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def _prepare(folder: Path, n: int, options: Scaling) -> dict[str, float]:
    """Write X, Θ and D of one n to a folder; seconds that Θ took, and λmax(D^½ΘD^½)."""
    spec, shape = Architecture(family="mlp", depth=options.depth), problem.shape_of("mlp", options.size)
    train = problem.smooth_images(n, shape, options.seed)
    problem.gram(spec, train[:64])  # compiled, or loaded
    theta, gram_s = timing.timed(lambda: problem.gram(spec, train))
    lambda_max = LAMBDA_MAX * (n / AT_N) ** 0.5
    diagonal = problem.diagonal_of(theta, lambda_max, options.seed)
    for name, array in (("train", train), ("theta", theta), ("diagonal", diagonal)):
        np.save(folder / f"{name}.npy", array)
    return {"gram_s": gram_s, "lambda_max": lambda_max}


def some_steps(spec: Mapping[str, Any], ready: child.Ready) -> dict[str, Any]:
    """Medians of some steps of one form, from the problem's files; compiled and warmed up before it is ready."""
    folder, network = Path(spec["folder"]), Architecture(family="mlp", depth=spec["depth"])
    stored = np.load(folder / "train.npy", mmap_mode="r")
    n, height, width, channels = stored.shape
    shape = height, width, channels
    if spec["form"] == "reference":
        step: Step = ReferenceStep(network, shape, n, spec["seed"])
        ready()
    else:
        few, small = problem.smooth_images(64, shape, 0), OurStep(network, shape, 64, 0)
        theta = problem.gram(network, few)
        small.load(few, theta, problem.diagonal_of(theta, 100.0, 0))
        small.run()
        ready()
        step = OurStep(network, shape, n, spec["seed"])
    step.load(np.array(stored), np.load(folder / "theta.npy", mmap_mode="r"), np.load(folder / "diagonal.npy"))
    times = [step.run() for _ in range(spec["repeats"])]
    phases = {phase: statistics.median(found[phase] for found in times) for phase in times[0]}
    return {"step_s": statistics.median(sum(found.values()) for found in times), **phases}
