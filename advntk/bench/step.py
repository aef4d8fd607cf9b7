"""One training step of Adv-NTK in its three phases, in both forms: solve P(D), attack a batch, gradient by D."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from advntk.attacks.entries import pgd
from advntk.bench.reference import DenseSolver, ReferenceAttack
from advntk.bench.timing import seconds
from advntk.foundation import krylov
from advntk.foundation.architecture import Architecture
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning.adv_ntk import AdvNtkOptions
from advntk.learning.kernel_predictor import KernelPredictor

BATCH = 128
PHASES = ("solve", "attack", "gradient")

_THREAT = ThreatModel(eps255=8.0)
_TOLERANCE = AdvNtkOptions().tolerance
_OPTIONS = pgd.Options(steps=10)


@dataclass(frozen=True, kw_only=True)
class State:
    """Where training stands, and the batch of its next step.

    Attributes:
        diagonal: D, (n,).
        targets: Y, (n, c).
        images: of the batch, clean, (B, H, W, C) in [0, 1].
        labels: theirs, (B,).
        seed: of the random start.
    """

    diagonal: np.ndarray
    targets: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    seed: int

    @property
    def batch_targets(self) -> np.ndarray:
        """One-hot targets of the batch, (B, c)."""
        return np.asarray(np.eye(self.targets.shape[1])[self.labels])


class OurStep:
    """Block Krylov and our kernel engine, as training has them.

    Args:
        spec: the network.
        train: X, (n, H, W, C).
        theta: Θ, (n, n) float32; a memory map will do.
    """

    def __init__(self, spec: Architecture, train: np.ndarray, theta: np.ndarray) -> None:
        self.shape = (train.shape[1], train.shape[2], train.shape[3])
        self.operator = GramOperator(theta, device="cpu")
        self.kernel = make_engine(spec, self.shape, device="cpu").bind(train, memory_mb=2000)

    def run(self, state: State) -> tuple[dict[str, float], np.ndarray]:
        """One step.

        Args:
            state: see :class:`State`.

        Returns:
            Seconds of each phase, and the gradient by D (n,).
        """
        product, bound = self.operator.product, len(state.diagonal)
        found: dict[str, np.ndarray] = {}
        kept: list[krylov.Solution] = []

        def solve() -> None:
            kept.append(krylov.solve(product, state.diagonal, state.targets, tolerance=_TOLERANCE, max_columns=bound))

        def attack() -> None:
            predictor = KernelPredictor(self.kernel, kept[0].coef, self.shape)
            found["images"] = pgd.run(
                predictor, state.images, state.labels, options=_OPTIONS, threat=_THREAT, seed=state.seed
            ).images

        def gradient() -> None:
            rows = self.kernel.rows(found["images"]).astype(np.float64)
            residual = rows @ kept[0].coef - state.batch_targets
            cotangent = rows.T @ residual / len(residual)
            found["slope"] = krylov.gradient(product, kept[0], cotangent, tolerance=_TOLERANCE, max_columns=bound)

        times = {name: seconds(phase) for name, phase in zip(PHASES, (solve, attack, gradient), strict=True)}
        return times, found["slope"]


class ReferenceStep:
    """Dense matrix functions with autodiff and jitted neural-tangents, compiled for one n before any data is there.

    Args:
        spec: the network.
        n: training images.
        state: of the right shapes, and a batch to compile the attack with.
    """

    def __init__(self, spec: Architecture, n: int, state: State) -> None:
        classes = state.targets.shape[1]
        self.solver = DenseSolver(n, classes)
        self.attack = ReferenceAttack(
            spec, np.zeros((n, *state.images.shape[1:]), np.float32), np.zeros((n, classes), np.float32)
        )
        self.stepper = self.attack.stepper(_THREAT, _OPTIONS.step_ratio * _THREAT.radius)
        self._attack(state, steps=1)
        self.attack.rows(state.images)

    def _attack(self, state: State, *, steps: int = _OPTIONS.steps) -> np.ndarray:
        starts = pgd.random_starts(state.images, _THREAT, state.seed)
        return self.attack.run(state.images, state.labels, starts, steps=steps, step=self.stepper)

    def load(self, train: np.ndarray, theta: np.ndarray) -> None:
        """Take X (n, H, W, C) and Θ (n, n)."""
        self.attack.train = jnp.asarray(train, jnp.float32)
        self.theta = self.solver.native(theta)

    def run(self, state: State) -> tuple[dict[str, float], np.ndarray]:
        """One step.

        Args:
            state: see :class:`State`.

        Returns:
            Seconds of each phase, and the gradient by D (n,).
        """
        native = self.solver.native
        diagonal, targets = native(state.diagonal), native(state.targets)
        found: dict[str, np.ndarray] = {}

        def solve() -> None:
            self.attack.coef = self.solver.solve(diagonal, self.theta, targets)

        def attack() -> None:
            found["images"] = self._attack(state)

        def gradient() -> None:
            rows = self.attack.rows(found["images"])
            residual = rows @ self.attack.coef - native(state.batch_targets)
            cotangent = native(np.asarray(rows.T @ residual / len(residual)))
            found["slope"] = self.solver.solve_and_gradient(diagonal, self.theta, targets, cotangent)[1]

        times = {name: seconds(phase) for name, phase in zip(PHASES, (solve, attack, gradient), strict=True)}
        return times, found["slope"]
