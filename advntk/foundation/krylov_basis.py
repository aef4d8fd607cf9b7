"""An orthonormal basis of the block Krylov space of A = D^½ Θ D^½, and what it knows of its own error.

The block Lanczos recursion keeps  A V = V T + W C Eᵀ,  V (n, m) the basis, T = Vᵀ A V, W the next block, C its
coupling and E the last block of the identity. What V makes of u(t) = e^{−tA} b, b the starting block, is

    u_m(t) = V e^{−tT} Vᵀ b   with the residual   u_m' + A u_m = W C Eᵀ e^{−tT} Vᵀ b.

A is positive semi-definite, so ‖e^{−tA}‖ ≤ 1 and the error of u_m(t) is at most ∫₀ᵗ ‖C Eᵀ e^{−sT} Vᵀ b‖ ds: a bound,
not an estimate, known without another product, and in practice close to the error itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
from scipy.linalg import lapack

from advntk.foundation.errors import NotPositiveDefinite, NumericalError
from advntk.foundation.phi_functions import alpha, graded_rule
from advntk.foundation.semidefinite import REMEDY, SLACK

if TYPE_CHECKING:
    from jaxtyping import Float

DEFLATION = 1e-13
"""Columns whose residual is below this share of ‖A‖ add nothing to a basis."""
TAIL = 1e-3
"""Rows of D^½ below this share of the largest one cannot be divided by: Θ D^½ V is kept for them."""
_BOUND_ORDER = 3


@dataclass(kw_only=True)
class Basis:
    """An orthonormal basis V of a block Krylov space of A = D^½ Θ D^½, grown one block at a time.

    Attributes:
        root: D^½, (n,).
        start: the starting block in the first columns of V, (k, b).
        pending: the next block W, (n, k).
        tail: rows where D^½ is too small to divide by.
        size: number of columns m.
        blocks: how often a block was absorbed.
        asymmetry: largest |Vᵀ A V − (Vᵀ A V)ᵀ| over the largest |Vᵀ A V|: what the products are off by.
    """

    root: Float[np.ndarray, " n"]
    start: Float[np.ndarray, "k b"]
    pending: Float[np.ndarray, "n k"]
    tail: np.ndarray = field(init=False)
    size: int = 0
    blocks: int = 0
    asymmetry: float = 0.0
    _vectors: Float[np.ndarray, "n cap"] = field(init=False)
    _images: Float[np.ndarray, "tail cap"] = field(init=False)
    _projected: Float[np.ndarray, "cap cap"] = field(init=False)
    _coupling: Float[np.ndarray, "k k"] = field(init=False)
    _scale: float = field(init=False, default=0.0)
    _ritz: tuple[np.ndarray, np.ndarray] | None = field(init=False, default=None)
    _bound: tuple[int, float, float] = field(init=False, default=(0, 0.0, np.inf))

    def __post_init__(self) -> None:
        capacity = max(12 * self.pending.shape[1], 1)
        self.tail = np.flatnonzero(~(self.root > TAIL * self.root.max(initial=0.0)))
        self._vectors = np.empty((len(self.root), capacity), order="F")
        self._images = np.empty((len(self.tail), capacity), order="F")
        self._projected = np.zeros((capacity, capacity))
        self._coupling = np.zeros((self.pending.shape[1], 0))

    @classmethod
    def of(cls, root: np.ndarray, block: np.ndarray) -> Basis:
        """An empty basis whose space starts at ``block`` (n, b); dependent columns are dropped."""
        pending, coefficients = _orthonormal(block, scale=float(np.linalg.norm(block)))
        return cls(root=root, start=coefficients, pending=pending)

    @property
    def exhausted(self) -> bool:
        """The space is invariant, so the basis is exact."""
        return bool(self.pending.shape[1] == 0)

    @property
    def vectors(self) -> np.ndarray:
        """V, (n, m)."""
        return self._vectors[:, : self.size]

    @property
    def images(self) -> np.ndarray:
        """Θ D^½ V in the rows of ``tail``, (tail, m)."""
        return self._images[:, : self.size]

    @property
    def projected(self) -> np.ndarray:
        """T = Vᵀ A V, (m, m), symmetric."""
        return self._projected[: self.size, : self.size]

    @property
    def start_rows(self) -> np.ndarray:
        """Vᵀ · (starting block), (m, b): nonzero in its first rows only."""
        padded = np.zeros((self.size, self.start.shape[1]))
        padded[: self.start.shape[0]] = self.start[: self.size]
        return padded

    def absorb(self, image: np.ndarray) -> None:
        """Take Θ D^½ · pending (n, k) into the basis and make the next pending block.

        The two blocks that the recursion couples to come off first, then all of V once: what is left over after
        that is at rounding level, and what the second pass finds in older blocks is the asymmetry of the products.
        """
        width = self.pending.shape[1]
        low, high = self.size, self.size + width
        self._reserve(high)
        self._vectors[:, low:high] = self.pending
        self._images[:, low:high] = image[self.tail]
        near = slice(low - self._coupling.shape[1], high)
        basis = self._vectors[:, :high]
        residual = np.asfortranarray(self.root[:, None] * image)
        rows = np.zeros((high, width))
        rows[near] = basis[:, near].T @ residual
        residual -= basis[:, near] @ rows[near]
        again = basis.T @ residual
        residual -= basis @ again
        rows += again
        self._scale = max(self._scale, float(np.abs(rows).max(initial=0.0)))
        self._note_asymmetry(rows, low)
        rows[: near.start] = 0.0
        rows[near.start : low] = self._coupling.T
        own = rows[low:] + rows[low:].T
        self._projected[:high, low:high] = rows
        self._projected[low:high, :high] = rows.T
        self._projected[low:high, low:high] = own / 2
        self.size, self.blocks = high, self.blocks + 1
        pending, coupling = _orthonormal(residual, scale=self._scale, against=basis)
        room = max(len(self.root) - high, 0)
        self.pending, self._coupling = pending[:, :room], coupling[:room]

    def _note_asymmetry(self, rows: np.ndarray, low: int) -> None:
        if self._scale > 0:
            off = np.abs(rows[low:] - rows[low:].T).max()
            if low:
                near = low - self._coupling.shape[1]
                off = max(off, np.abs(rows[:near]).max(initial=0.0), np.abs(rows[near:low] - self._coupling.T).max())
            self.asymmetry = max(self.asymmetry, float(off) / self._scale)

    def _reserve(self, columns: int) -> None:
        capacity = self._vectors.shape[1]
        if columns > capacity:
            wanted = max(columns, capacity + capacity // 2)
            for name in ("_vectors", "_images"):
                old = getattr(self, name)
                grown = np.empty((len(old), wanted), order="F")
                grown[:, : self.size] = old[:, : self.size]
                setattr(self, name, grown)
            self._projected = np.pad(self._projected, ((0, wanted - capacity), (0, wanted - capacity)))

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Ritz values (m,), clipped at 0, and vectors (m, m) in the basis.

        Returns:
            Values, ascending, and vectors.

        Raises:
            NotPositiveDefinite: a Ritz value is negative beyond rounding.
        """
        if self.size == 0:
            return np.zeros(0), np.zeros((0, 0))
        if self._ritz is not None and len(self._ritz[0]) == self.size:
            return self._ritz
        values, vectors = np.linalg.eigh(self.projected)
        slack = SLACK * max(float(values[-1]), 0.0)
        if float(values[0]) < -slack - 1e-300:
            raise NotPositiveDefinite(
                f"D^½ΘD^½ has the eigenvalue {values[0]:.3g} beside the largest {values[-1]:.3g}",
                where="kernel",
                remedy=REMEDY,
            )
        self._ritz = np.maximum(values, 0.0), vectors
        return self._ritz

    def decay(self, time: float) -> np.ndarray:
        """e^{−time·T} Vᵀ b in the Ritz basis, (m, b)."""
        values, vectors = self.ritz()
        return np.asarray(np.exp(-time * values)[:, None] * (vectors.T @ self.start_rows))

    def integral(self, time: float) -> np.ndarray:
        """V ∫₀^time e^{−sT} ds Vᵀ b = V α_time(T) Vᵀ b, (n, b)."""
        values, vectors = self.ritz()
        inner = vectors @ (alpha(time, values)[:, None] * (vectors.T @ self.start_rows))
        return np.asarray(self.vectors @ inner)

    def error(self, time: float) -> float:
        """Bound of the relative error of :meth:`integral`, the norm taken over all columns.

        The same number bounds the error of e^{−sA} b averaged over s ∈ [0, time], relative to the average.

        Returns:
            ∫₀^time (time − s) ‖C Eᵀ e^{−sT} Vᵀ b‖ ds over ‖α_time(T) Vᵀ b‖; 0 where V is exact.
        """
        if self.exhausted:
            return 0.0
        if self._bound[:2] != (self.size, time):
            self._bound = (self.size, time, self._error(time))
        return self._bound[2]

    def _error(self, time: float) -> float:
        if self.size == 0:
            return np.inf
        values, vectors = self.ritz()
        coefficients = vectors.T @ self.start_rows
        s, weight = graded_rule(time * float(values[-1]), order=_BOUND_ORDER)
        s, weight = time * s, time * weight
        last = self._coupling @ vectors[self.size - self._coupling.shape[1] :]
        residual = (last * np.exp(-s[:, None, None] * values)) @ coefficients
        bound = weight @ ((time - s) * np.linalg.norm(residual, axis=(1, 2)))
        size = float(np.linalg.norm(alpha(time, values)[:, None] * coefficients))
        return float(bound) / max(size, 1e-300)

    def ridge_error(self, ridge: float) -> float:
        """Bound of the relative error of V (T + ρ)⁻¹ Vᵀ b, which stands for (A + ρ)⁻¹ b.

        The residual is W C Eᵀ (T + ρ)⁻¹ Vᵀ b, and ‖(A + ρ)⁻¹‖ ≤ 1/ρ.

        Args:
            ridge: ρ > 0.

        Returns:
            ‖C Eᵀ (T + ρ)⁻¹ Vᵀ b‖ over ρ ‖(T + ρ)⁻¹ Vᵀ b‖; 0 where V is exact.
        """
        if self.exhausted:
            return 0.0
        if self.size == 0:
            return np.inf
        values, vectors = self.ritz()
        solved = (vectors.T @ self.start_rows) / (values + ridge)[:, None]
        last = self._coupling @ vectors[self.size - self._coupling.shape[1] :]
        return float(np.linalg.norm(last @ solved)) / max(ridge * float(np.linalg.norm(solved)), 1e-300)

    def reach(self, time: float, tolerance: float) -> float:
        """The longest time, at most ``time``, over which :meth:`error` keeps a tolerance (to a few percent)."""
        return _furthest(self.error, time, tolerance)

    def least_ridge(self, ridge: float, tolerance: float) -> float:
        """The smallest ridge, at least ``ridge``, at which :meth:`ridge_error` keeps a tolerance (to a few percent).

        Returns:
            The ridge; infinity if there is none.
        """
        if self.ridge_error(ridge) <= tolerance:
            return ridge
        inverse = _furthest(lambda inverse: self.ridge_error(1.0 / inverse), 1.0 / ridge, tolerance)
        return 1.0 / inverse if inverse > 0 else np.inf


def _furthest(error: Callable[[float], float], far: float, tolerance: float) -> float:
    """The largest number, at most ``far``, at which a growing error keeps a tolerance; 0 if none does."""
    if error(far) <= tolerance:
        return far
    low, high = 0.0, far
    for _ in range(200):
        middle = (low * high) ** 0.5 if low > 0 else high / 16
        if error(middle) <= tolerance:
            low = middle
        else:
            high = middle
        if low > 0.97 * high or high < 1e-12 * far:
            break
    return low


def _orthonormal(
    block: np.ndarray, *, scale: float, against: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns Q that span ``block`` up to rounding at ``scale``, and QᵀB.

    With ``against``, Q is made orthogonal to those columns once more where dropping made rounding visible.

    Returns:
        Q (n, k) and QᵀB (k, b), k ≤ b.

    Raises:
        NumericalError: the block holds NaN or infinity.
    """
    # LAPACK itself: the wrapper around it takes as long as the factorisation
    packed, order, tau, _, _ = lapack.dgeqp3(block)
    q, _, _ = lapack.dorgqr(packed[:, : len(tau)], tau)
    r = np.triu(packed[: len(tau)])
    diagonal = np.abs(np.diag(r))
    if not np.isfinite(diagonal).all():
        raise NumericalError("NaN or infinity in a product with the kernel", where="krylov", remedy="check the Gram")
    keep = int((diagonal > max(DEFLATION * scale, 1e-300)).sum())
    q = q[:, :keep]
    if against is not None and keep and diagonal[keep - 1] < 1e-4 * scale:
        q = q - against @ (against.T @ q)
        q, turn = scipy.linalg.qr(q, mode="economic", check_finite=False)
        r = turn @ r[:keep]
    coefficients = np.empty((keep, block.shape[1]))
    coefficients[:, order - 1] = r[:keep]
    return q, coefficients
