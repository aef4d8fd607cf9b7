"""Filters of the spectrum of Θ: predictors f(x) = k(x) g(Θ) Y of one number, all from one decomposition.

Gradient flow stopped at time t has g(λ) = (1 − e^{−tλ})/λ, ridge regression g(λ) = 1/(λ + ρ). The flow averaged over
exponentially distributed times of mean τ is the ridge ρ = 1/τ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advntk.foundation.errors import NumericalError
from advntk.foundation.krylov import grow
from advntk.foundation.krylov_basis import Basis
from advntk.foundation.phi_functions import alpha
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.gram_sizes import DENSE_LIMIT

TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class SpectralFamily:
    """g(Θ) Y for the filters g of gradient flow and of ridge regression.

    A Krylov basis is grown for one of the two; how far it resolves the other is not known.

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
    def _of(
        cls,
        operator: GramOperator,
        targets: np.ndarray,
        wanted: float,
        error: Callable[[Basis], float],
        reach: Callable[[Basis], float],
    ) -> SpectralFamily:
        if operator.n <= DENSE_LIMIT:
            values, vectors = np.linalg.eigh(operator.dense())
            return cls(values=np.maximum(values, 0.0), vectors=vectors, rows=vectors.T @ targets, reach=wanted)
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

    def _filtered(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.vectors @ (weights[:, None] * self.rows))
