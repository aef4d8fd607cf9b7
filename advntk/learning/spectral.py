"""Filters of the spectrum of Θ: predictors f(x) = k(x) g(Θ) Y of one number, all from one decomposition.

Gradient flow stopped at time t has g(λ) = (1 − e^{−tλ})/λ, ridge regression g(λ) = 1/(λ + ρ). The flow averaged over
exponentially distributed times of mean τ is the ridge ρ = 1/τ; averaged over all times up to T, as SWA does, it has
g(λ) = (1 − (1 − e^{−λT})/(λT))/λ.

The flow of sharpness-aware minimisation (SAM) on the weights w of the linearised network, ẇ = −∇L(w + ρ ∇L/‖∇L‖) with
L = ½‖r‖², is dP/dt = −(r + ρ Θr/√(tr rᵀΘr)) for the residual r = ΘP − Y. It has the filter
g(λ) = (1 − e^{−λt − ρλ²σ})/λ, σ = ∫ dt/√(tr rᵀΘr): a second clock, which only ‖∇L‖ drives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from advntk.foundation.errors import NumericalError
from advntk.foundation.krylov import grow
from advntk.foundation.krylov_basis import Basis
from advntk.foundation.phi_functions import alpha, mean_alpha
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.gram_sizes import DENSE_LIMIT

TOLERANCE = 1e-6
FITTED = 1e-9
"""Share of its first value below which ‖∇L‖ counts as this: the SAM flow fits the labels in finite time, σ = ∞."""


@dataclass(frozen=True, kw_only=True)
class SpectralFamily:
    """g(Θ) Y for filters g.

    A Krylov basis is grown for gradient flow or for ridge regression; how far it resolves other filters is not known,
    but for means of the flow.

    Attributes:
        values: (Ritz) eigenvalues of Θ, (m,).
        vectors: their vectors, (n, m).
        rows: vectorsᵀ Y, (m, c).
        reach: the longest time, or the smallest ridge, that the decomposition resolves to ``TOLERANCE``.
    """

    values: np.ndarray
    vectors: np.ndarray
    rows: np.ndarray
    reach: float

    @classmethod
    def of_times(cls, operator: GramOperator, targets: np.ndarray, longest: float) -> SpectralFamily:
        """For gradient flow: dense for small n, else a Krylov basis grown as far as memory allows.

        Args:
            operator: Θ.
            targets: Y, (n, c).
            longest: time t up to which it is to be resolved.

        Returns:
            The family; ``reach`` is ``longest`` or, where memory does not suffice, less.
        """
        return cls._of(
            operator,
            targets,
            longest,
            lambda basis: basis.error(longest),
            lambda basis: basis.reach(longest, TOLERANCE),
        )

    @classmethod
    def of_ridges(cls, operator: GramOperator, targets: np.ndarray, smallest: float) -> SpectralFamily:
        """For ridge regression, likewise.

        Args:
            operator: Θ.
            targets: Y, (n, c).
            smallest: ridge ρ down to which it is to be resolved.

        Returns:
            The family; ``reach`` is ``smallest`` or, where memory does not suffice, more, infinity at worst.
        """
        return cls._of(
            operator,
            targets,
            smallest,
            lambda basis: basis.ridge_error(smallest),
            lambda basis: basis.least_ridge(smallest, TOLERANCE),
        )

    @classmethod
    def of_matrix(cls, theta: np.ndarray, targets: np.ndarray) -> SpectralFamily:
        """By a dense decomposition of Θ (n, n), which resolves everything; Y is (n, c)."""
        values, vectors = np.linalg.eigh(theta)
        return cls(values=np.maximum(values, 0.0), vectors=vectors, rows=vectors.T @ targets, reach=np.inf)

    @classmethod
    def _of(
        cls,
        operator: GramOperator,
        targets: np.ndarray,
        wanted: float,
        error: Callable[[Basis], float],
        reach: Callable[[Basis], float],
    ) -> SpectralFamily:
        if operator.n <= DENSE_LIMIT:
            return replace(cls.of_matrix(operator.dense(), targets), reach=wanted)
        basis = Basis.of(np.ones(operator.n), targets)
        grow(operator.product, [basis], tolerance=TOLERANCE, error=error, max_columns=operator.max_columns)
        values, inner = basis.ritz()
        return cls(values=values, vectors=basis.vectors @ inner, rows=inner.T @ basis.start_rows, reach=reach(basis))

    def check(self, time: float) -> None:
        """Whether gradient flow is resolved up to a time.

        Raises:
            NumericalError: the basis that fits into memory does not reach it.
        """
        if self.reach < time:
            raise NumericalError(
                f"{len(self.values)} Krylov columns reach t = {self.reach:.3g} of {time:.3g}",
                where="early stopping",
                remedy="raise compute.memory_mb, or lower the option 'decades' of the method",
            )

    def flow(self, time: float) -> np.ndarray:
        """P = Θ⁻¹ (I − e^{−tΘ}) Y, (n, c)."""
        return self._filtered(alpha(time, self.values))

    def ridge(self, ridge: float) -> np.ndarray:
        """P = (Θ + ρI)⁻¹ Y, (n, c)."""
        return self._filtered(1.0 / (self.values + ridge))

    def average(self, time: float) -> np.ndarray:
        """The mean of :meth:`flow` over all times up to this one, (n, c)."""
        return self._filtered(mean_alpha(time, self.values))

    def sam(self, time: float, rho: float) -> np.ndarray:
        """P of the SAM flow.

        Args:
            time: t.
            rho: ρ, length of the step in the weights.

        Returns:
            P(t), (n, c).
        """
        exponent = self.values * time + rho * self.values**2 * self._second_clock(time, rho)
        safe = np.where(self.values > 0, self.values, 1.0)
        return self._filtered(np.where(self.values > 0, -np.expm1(-exponent) / safe, time))

    def _second_clock(self, time: float, rho: float) -> float:
        """σ(t) of the SAM flow."""
        from scipy.integrate import solve_ivp  # costs a start-up that other filters need not pay

        energies = self.values * (self.rows**2).sum(axis=1)
        whole = float(np.sqrt(energies.sum()))

        def rate(moment: float, clock: np.ndarray) -> list[float]:
            exponent = self.values * moment + rho * self.values**2 * clock[0]
            norm = float(np.sqrt((energies * np.exp(-2 * exponent)).sum()))
            return [1 / max(norm, FITTED * whole)]

        tiny = 1e-12 * time / whole
        found = solve_ivp(rate, (0.0, time), [0.0], method="DOP853", rtol=1e-10, atol=tiny)
        return float(found.y[0, -1])

    def distilled(self, time: float, share: float) -> SpectralFamily:
        """The family whose targets are (1 − s) Y + s ΘP(t), P(t) of the flow: soft labels of a stopped teacher.

        Args:
            time: t at which the teacher is stopped.
            share: s of the teacher's outputs in the targets.

        Returns:
            The family, which reaches as far.
        """
        kept = 1 - share * np.exp(-time * self.values)
        return replace(self, rows=kept[:, None] * self.rows)

    def _filtered(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors @ (weights[:, None] * self.rows))
