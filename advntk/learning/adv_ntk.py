"""Adv-NTK (Fu & Wang 2024, Alg. 1): learn the diagonal of the regularisation matrix against attacks on val.

f_ϖ(x) = k(x) Θ⁻¹ (I − e^{−ΘD}) Y with D = Diag(|ϖ|). Each step attacks a batch of val and moves ϖ against the
normalised gradient of (1/2B) Σ ‖f_ϖ(x') − y‖²; P and the gradient come from :mod:`advntk.foundation.krylov`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from advntk.foundation import files, krylov
from advntk.foundation.arrays import unchecked_values
from advntk.foundation.errors import InputError, NumericalError
from advntk.foundation.progress import Progress, counted
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import BoundKernel
from advntk.learning.adv_ntk_options import AdvNtkOptions

SAVE_EVERY_S = 10.0


Batch = tuple[np.ndarray, np.ndarray]
Inputs = Callable[[int, np.ndarray], Batch]
"""(step, P) → the step's perturbed images (B, H, W, C) and their one-hot targets (B, c); with the loss of TRADES the
clean images come before the perturbed ones, (2B, H, W, C)."""
Weights = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(f(x), y) → weights of ‖f(x') − f(x)‖² of each image, (B,), fixed in the gradient."""


def paired(rows: np.ndarray, wanted: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows A and targets B with ‖AP − B‖² = Σ ‖f(x) − y‖² + w ‖f(x') − f(x)‖².

    Args:
        rows: k(x) of the clean images, then k(x') of the attacked ones, (2B, n).
        wanted: y, (B, c).
        weights: w, (B,).

    Returns:
        A (2B, n) and B (2B, c).
    """
    clean, attacked = np.split(rows, 2)
    moved = np.sqrt(weights)[:, None] * (attacked - clean)
    return np.concatenate([clean, moved]), np.concatenate([wanted, np.zeros_like(wanted)])


@dataclass(kw_only=True)
class Trajectory:
    """ϖ after 0 … T steps, and what each step saw.

    Attributes:
        varpi: (T + 1, n) or (T + 1, n, c).
        loss: (1/2B) Σ ‖f(x') − y‖² before each update, (T,).
        gradient_norm: ‖g‖₂, (T,).
        lambda_max: largest eigenvalue of D^½ΘD^½ before each update, (T,).
        columns: Krylov columns of P, (T,).
        blocks: products with Θ for P, of its first basis, (T,).
        error: bound of the relative error of P, (T,).
    """

    varpi: list[np.ndarray]
    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    lambda_max: list[float] = field(default_factory=list)
    columns: list[float] = field(default_factory=list)
    blocks: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)

    SERIES = ("loss", "gradient_norm", "lambda_max", "columns", "blocks", "error")

    @property
    def step(self) -> int:
        """Updates done."""
        return len(self.varpi) - 1

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays, for an npz."""
        return {"varpi": np.stack(self.varpi), **{name: np.asarray(getattr(self, name)) for name in self.SERIES}}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Trajectory:
        """Back from :meth:`arrays`."""
        series = {name: [float(value) for value in arrays[name]] for name in cls.SERIES}
        return cls(varpi=list(arrays["varpi"]), **series)


@dataclass(frozen=True, kw_only=True)
class AdvNtk:
    """The training problem: what stays the same over all steps.

    Attributes:
        operator: Θ of the ``opt`` images.
        kernel: Θ(·, X) of the same images.
        targets: Y, (n, c).
        options: as configured.
        weights: of the loss of TRADES; None: the paper's loss.
        timing: ``solve_s``, ``attack_s`` and ``gradient_s`` of the ``timed_steps`` of this process.
    """

    operator: GramOperator
    kernel: BoundKernel
    targets: np.ndarray
    options: AdvNtkOptions
    weights: Weights | None = None
    timing: dict[str, float] = field(default_factory=dict)

    def start(self) -> Trajectory:
        """ϖ₀ = 0."""
        shape = self.targets.shape if self.options.diagonal == "per_class" else self.targets.shape[:1]
        return Trajectory(varpi=[np.zeros(shape)])

    def solve(self, varpi: np.ndarray, *, expected_blocks: int = 0) -> krylov.Solution:
        """P(|ϖ|); see :func:`advntk.foundation.krylov.solve`."""
        return krylov.solve(
            self.operator.product,
            np.abs(varpi),
            self.targets,
            tolerance=self.options.tolerance,
            max_columns=self.operator.max_columns,
            expected_blocks=expected_blocks,
        )

    def update(self, trajectory: Trajectory, inputs: Inputs, rate: float) -> None:
        """One step: ϖ ← ϖ − ζ g/(‖g‖₂ + 1e-8), ∂L/∂ϖ = s(ϖ) ∂L/∂D with s(0) = +1.

        Args:
            trajectory: extended in place.
            inputs: gives the step's attacked batch.
            rate: ζ.

        Raises:
            NumericalError: the loss or the gradient is not finite.
        """
        varpi = trajectory.varpi[-1]
        with counted(self.timing, "solve_s"):
            last = int(trajectory.blocks[-1]) if trajectory.blocks else 0
            solution = self.solve(varpi, expected_blocks=max(last - 1, 0))
        with counted(self.timing, "attack_s"):
            images, wanted = inputs(trajectory.step, solution.coef)
        with counted(self.timing, "gradient_s"):
            with unchecked_values():  # an attack on a diverged predictor gives NaN, which is reported below
                rows = self.kernel.rows(images).astype(np.float64)
            count = len(wanted)
            if self.weights is not None:
                rows, wanted = paired(rows, wanted, self.weights(rows[:count] @ solution.coef, wanted))
            residual = rows @ solution.coef - wanted
            loss = float(0.5 * (residual**2).sum() / count)
            slope = krylov.gradient(
                self.operator.product,
                solution,
                rows.T @ residual / count,
                tolerance=self.options.tolerance,
                max_columns=self.operator.max_columns,
            )
        slope = np.where(varpi < 0, -slope, slope)
        norm = float(np.linalg.norm(slope))
        if not (np.isfinite(loss) and np.isfinite(norm)):
            raise NumericalError(
                f"loss {loss}, gradient norm {norm} at step {trajectory.step} with learning rate {rate:g}",
                where="advntk",
                remedy="lower learning_rate",
            )
        trajectory.varpi.append(varpi - rate * slope / (norm + 1e-8))
        trajectory.loss.append(loss)
        trajectory.gradient_norm.append(norm)
        trajectory.lambda_max.append(solution.lambda_max)
        trajectory.columns.append(solution.columns)
        trajectory.blocks.append(solution.stretches[0].blocks)
        trajectory.error.append(solution.error)
        self.timing["timed_steps"] = self.timing.get("timed_steps", 0) + 1

    def train(
        self, inputs: Inputs, rate: float, *, state: StateFile | None = None, until: int | None = None
    ) -> Trajectory:
        """All steps, or the first ones, going on from a saved state where there is one.

        Args:
            inputs: gives each step's attacked batch.
            rate: ζ.
            state: where the trajectory is kept between steps.
            until: step to stop at; None: the last.

        Returns:
            ϖ's trajectory, longer than ``until`` where the saved one is.
        """
        trajectory = (state.read() if state else None) or self.start()
        until = self.options.steps if until is None else until
        progress = Progress(f"advntk ζ={rate:g}", until, done=trajectory.step)
        while trajectory.step < until:
            self.update(trajectory, inputs, rate)
            if state:
                state.write(trajectory, last=trajectory.step == until)
            progress.advance(note=f"loss {trajectory.loss[-1]:.4f}, λmax {trajectory.lambda_max[-1]:.3g}")
        return trajectory


class StateFile:
    """A trajectory kept on disk while it grows, with a fingerprint of what it belongs to.

    Args:
        path: the npz.
        fingerprint: digest of options and data; a state with another one is ignored.
        every_s: least seconds between two writes.
    """

    def __init__(self, path: Path, fingerprint: str, *, every_s: float = SAVE_EVERY_S) -> None:
        self.path, self.fingerprint, self.every_s = path, fingerprint, every_s
        self._last = time.monotonic()

    def read(self) -> Trajectory | None:
        """The saved trajectory, if it is of the same training."""
        if not self.path.exists():
            return None
        try:
            arrays = files.read_npz(self.path)
        except InputError:
            return None
        if str(arrays.get("fingerprint")) != self.fingerprint:
            return None
        return Trajectory.from_arrays(arrays)

    def write(self, trajectory: Trajectory, *, last: bool) -> None:
        """Save, unless that was done a moment ago."""
        now = time.monotonic()
        if last or now - self._last >= self.every_s:
            arrays = {**trajectory.arrays(), "fingerprint": np.asarray(self.fingerprint)}
            files.write_npz(self.path, arrays, compress=False)
            self._last = now
