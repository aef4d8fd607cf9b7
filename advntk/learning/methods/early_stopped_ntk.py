"""The early-stopped NTK: D = t·I with the one scalar t chosen on val under attack.

For kernels whose κ(x) is constant (ReLU without pooling) adversarial training in the infinite-width limit is exactly
this, on a rescaled clock; so it is the baseline that a learned diagonal must beat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.errors import NumericalError
from advntk.foundation.krylov import grow
from advntk.foundation.krylov_basis import Basis
from advntk.foundation.options import Closed
from advntk.foundation.phi_functions import phi
from advntk.foundation.progress import Progress
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning.kernel_predictor import KernelPredictor, accuracy_row, load_kernel, merit, targets_of, theta_of
from advntk.learning.method import Fit, Method, Row, Task
from advntk.learning.randomness import stream_seed

TOLERANCE = 1e-6
DENSE_LIMIT = 3000
"""Up to this n one dense eigendecomposition is cheaper than a Krylov basis for the largest t."""


class Options(Closed):
    """Search of the stopping time t."""

    decades: float = Field(default=4.0, ge=1, description="grid from 10^−decades to 10^decades over the mean diagonal")
    per_decade: int = Field(default=2, ge=1, description="grid points a decade")
    halvings: int = Field(default=2, ge=0, description="times the spacing is halved around the best point")
    attack: AttackOptions = Field(default=AttackOptions(), description="attack that the choice of t faces on val")


@dataclass(frozen=True, kw_only=True)
class TimeFamily:
    """P(t) = Θ⁻¹ (I − e^{−tΘ}) Y = t φ(tΘ) Y for every t, from one spectral decomposition.

    Attributes:
        values: (Ritz) eigenvalues of Θ, (m,).
        vectors: their vectors, (n, m).
        rows: vectorsᵀ Y, (m, c).
    """

    values: np.ndarray
    vectors: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, operator: GramOperator, targets: np.ndarray, longest: float) -> TimeFamily:
        """Dense for small n, else a Krylov basis that resolves every t up to ``longest``.

        Returns:
            The family.

        Raises:
            NumericalError: the basis that fits into memory does not reach ``longest``.
        """
        if operator.n <= DENSE_LIMIT:
            values, vectors = np.linalg.eigh(operator.dense())
            return cls(values=np.maximum(values, 0.0), vectors=vectors, rows=vectors.T @ targets)
        basis = Basis.of(np.ones(operator.n), targets)
        error = grow(operator.product, [basis], tolerance=TOLERANCE, time=longest, max_columns=operator.max_columns)
        if error > TOLERANCE:
            raise NumericalError(
                f"{basis.size} Krylov columns reach t = {basis.reach(longest, TOLERANCE):.3g} of {longest:.3g}",
                where="early stopping",
                remedy="raise compute.memory_mb, or lower the option 'decades' of the method",
            )
        values, inner = basis.ritz()
        return cls(values=values, vectors=basis.vectors @ inner, rows=inner.T @ basis.start_rows)

    def coef(self, t: float) -> np.ndarray:
        """P(t), (n, c)."""
        return np.asarray(self.vectors @ ((t * phi(t * self.values))[:, None] * self.rows))


def search(score: Callable[[float], Row], unit: float, options: Options) -> tuple[float, list[Row]]:
    """The best t of a logarithmic grid, refined around its best point.

    Args:
        score: accuracies on val at a time t.
        unit: 1 over the mean diagonal of Θ.
        options: extent and spacing of the grid.

    Returns:
        The best t, and the rows of all that were tried, by t.
    """
    count = round(2 * options.decades * options.per_decade) + 1
    exponents = list(np.linspace(-options.decades, options.decades, count))
    spacing = exponents[1] - exponents[0]
    total = count + 2 * options.halvings
    progress = Progress("early stopping", total, unit="times")
    tried: dict[float, Row] = {}

    def visit(exponent: float) -> None:
        if exponent not in tried:
            tried[exponent] = score(unit * 10.0**exponent)
            row = tried[exponent]
            progress.advance(note=f"t {row['step']:.3g}: val robust {row['robust_accuracy']:.3f}")

    for exponent in exponents:
        visit(float(exponent))
    for _ in range(options.halvings):
        spacing /= 2
        best = max(tried, key=lambda e: merit(tried[e]))
        visit(best - spacing)
        visit(best + spacing)
    best = max(tried, key=lambda e: merit(tried[e]))
    return float(tried[best]["step"]), [tried[e] for e in sorted(tried)]


def stopped_on_val(task: Task) -> Fit:
    """The predictor of the opt images at the t that is best on the selecting images of val.

    They are attacked with a seed that evaluation does not use.

    Returns:
        The fit; ``checkpoints.final.t`` is the time.
    """
    opt, operator = task.split.training("opt"), theta_of(task, "opt")
    engine = make_engine(
        task.spec, task.split.input_shape, engine=task.compute.kernel_engine, device=task.compute.device
    )
    kernel = engine.bind(opt.images, memory_mb=task.compute.memory_mb)
    unit = 1.0 / operator.mean_diagonal()
    longest = unit * 10.0 ** (task.options.decades + (1 - 0.5**task.options.halvings) / task.options.per_decade)
    family = TimeFamily.of(operator, targets_of(opt, task.split.classes), longest)

    def score(t: float) -> Row:
        predictor = KernelPredictor(kernel, family.coef(t), task.split.input_shape)
        return accuracy_row(
            predictor,
            task.monitors["val"],
            name="val",
            step=t,
            threat=task.threat,
            attack=task.options.attack,
            seed=stream_seed(task.seed, "select"),
        )

    t, rows = search(score, unit, task.options)
    return Fit(
        checkpoints={"final": {"t": t}},
        arrays={"coef.final": family.coef(t)},
        curves=rows,
        training={"t": t, "t_times_mean_diagonal": t / unit, "spectrum_columns": len(family.values)},
    )


ENTRY = Method(
    options=Options,
    kind="kernel",
    depends_on_radius=True,
    checkpoints=("final",),
    trains_in_steps=False,
    fit=stopped_on_val,
    load=load_kernel,
    description="infinitely wide network stopped at the one time t that is most robust on val",
)
