"""The stable form of Adv-NTK's predictor and its exact gradient, from block Krylov bases.

With D = Diag(d) ≥ 0, A = D^½ Θ D^½ and φ(z) = (1 − e^{−z})/z,

    P(D) = Θ⁻¹ (I − e^{−ΘD}) Y = D^½ φ(A) D^½ Y,

so neither an inverse nor a dense matrix exponential is needed: only the action of φ(A) on a few columns.
For ∂L/∂P = G the gradient is (Duhamel's formula)

    ∂L/∂D_i = ∫₀¹ Σ_k [e^{−(1−s)ΘD} G]_ik [e^{−sΘD} Y]_ik ds,
    e^{−sΘD} Y = Y − Θ D^½ α_s(A) D^½ Y,      α_s(λ) = (1 − e^{−sλ})/λ,

which needs no D^{−½}: zeros in D are fine. The basis of D^½Y serves P and the gradient; only the basis of D^½G is
new. A ``per_class`` diagonal (n, c) gives each column its own A; their bases grow in lockstep, so that each
product with Θ is still one matrix product of c columns.

Cost: (blocks) products Θ·(n, c), 2n²c FLOPs each, and O(n m²) for m basis columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.linalg
from jaxtyping import Float

from advntk.foundation.errors import NotPositiveDefinite, NumericalError
from advntk.foundation.phi_functions import alpha, graded_rule, phi

Product = Callable[[np.ndarray], np.ndarray]
"""Θ times a block of columns, (n, b) → (n, b), accumulated in float64."""

TOLERANCE = 1e-10
DEFLATION = 1e-13
"""Columns whose residual is below this share of ‖A‖ add nothing to a basis."""


@dataclass(kw_only=True)
class Basis:
    """An orthonormal basis V of a block Krylov space of A = D^½ Θ D^½, grown one block at a time.

    Attributes:
        root: D^½, (n,).
        size: number of columns m.
        start: Vᵀ times the starting block, (m, b) after padding with zeros.
        exhausted: the space is invariant, so the basis is exact.
    """

    root: Float[np.ndarray, " n"]
    start: Float[np.ndarray, "b b"]
    pending: Float[np.ndarray, "n b"]
    size: int = 0
    blocks: int = 0
    exhausted: bool = False
    _vectors: Float[np.ndarray, "n cap"] = field(init=False)
    _images: Float[np.ndarray, "n cap"] = field(init=False)
    _projected: Float[np.ndarray, "cap cap"] = field(init=False)
    _ritz: tuple[np.ndarray, np.ndarray] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        n, capacity = len(self.root), max(8 * self.pending.shape[1], 1)
        self._vectors = np.empty((n, capacity))
        self._images = np.empty((n, capacity))
        self._projected = np.zeros((capacity, capacity))
        self.exhausted = self.pending.shape[1] == 0

    @classmethod
    def of(cls, root: np.ndarray, block: np.ndarray) -> Basis:
        """An empty basis whose space starts at ``block`` (n, b); dependent columns are dropped."""
        pending, coefficients = _orthonormal(block, scale=float(np.linalg.norm(block)))
        return cls(root=root, start=coefficients, pending=pending)

    @property
    def vectors(self) -> np.ndarray:
        """V, (n, m)."""
        return self._vectors[:, : self.size]

    @property
    def images(self) -> np.ndarray:
        """Θ D^½ V, (n, m)."""
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
        """Take Θ D^½ · pending (n, b) into the basis and make the next pending block (two Gram-Schmidt passes)."""
        low, high = self.size, self.size + self.pending.shape[1]
        self._reserve(high)
        self._vectors[:, low:high] = self.pending
        self._images[:, low:high] = image
        basis = self._vectors[:, :high]
        residual = self.root[:, None] * image
        rows = basis.T @ residual
        residual -= basis @ rows
        again = basis.T @ residual
        residual -= basis @ again
        rows += again
        self._projected[:high, low:high] = rows
        self._projected[low:high, :high] = rows.T
        self._projected[low:high, low:high] = (rows[low:] + rows[low:].T) / 2
        self.size, self.blocks = high, self.blocks + 1
        scale = float(np.abs(self._projected[:high, :high]).max(initial=0.0))
        self.pending, _ = _orthonormal(residual, scale=scale, against=basis)
        room = len(self.root) - high
        self.pending = self.pending[:, : max(room, 0)]
        self.exhausted = self.pending.shape[1] == 0

    def _reserve(self, columns: int) -> None:
        capacity = self._vectors.shape[1]
        if columns > capacity:
            extra = max(columns - capacity, capacity // 2)
            self._vectors = np.pad(self._vectors, ((0, 0), (0, extra)))
            self._images = np.pad(self._images, ((0, 0), (0, extra)))
            self._projected = np.pad(self._projected, ((0, extra), (0, extra)))

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
        slack = 1e-6 * max(float(values[-1]), 0.0)
        if float(values[0]) < -slack - 1e-300:
            raise NotPositiveDefinite(
                f"D^½ΘD^½ has the eigenvalue {values[0]:.3g} beside the largest {values[-1]:.3g}",
                where="kernel",
                remedy="remove duplicate training images, or compute the Gram matrix in float64",
            )
        self._ritz = np.maximum(values, 0.0), vectors
        return self._ritz


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
    q, r, order = scipy.linalg.qr(block, mode="economic", pivoting=True, check_finite=False)
    diagonal = np.abs(np.diag(r))
    if not np.isfinite(diagonal).all():
        raise NumericalError("NaN or infinity in a product with the kernel", where="krylov", remedy="check the Gram")
    keep = int((diagonal > max(DEFLATION * scale, 1e-300)).sum())
    q = q[:, :keep]
    if against is not None and keep and diagonal[keep - 1] < 1e-4 * scale:
        q = q - against @ (against.T @ q)
        q, _ = scipy.linalg.qr(q, mode="economic", check_finite=False)
    coefficients = np.empty((keep, block.shape[1]))
    coefficients[:, order] = r[:keep]
    return q, coefficients


def grow(
    product: Product,
    bases: Sequence[Basis],
    *,
    tolerance: float = TOLERANCE,
    max_columns: int | None = None,
    time: float = 1.0,
) -> float:
    """Grow bases in lockstep until φ(time·A) and e^{−time·A} act on their starting blocks to a tolerance.

    The error of each is estimated by how much the result moved since the last check, at least two blocks ago.

    Args:
        product: Θ times a block.
        bases: grown in place; each product with Θ takes the pending blocks of all unfinished ones.
        tolerance: relative, in the norm of the result.
        max_columns: bound of each basis; None: n.
        time: factor on A.

    Returns:
        The largest error estimate among the bases (0 where all are exact).

    Raises:
        NumericalError: the bound was reached before the tolerance.
    """
    watches = [_Watch(basis, time) for basis in bases]
    while active := [watch for watch in watches if not watch.done(tolerance)]:
        for watch in active:
            bound = max_columns or len(watch.basis.root)
            if watch.basis.size + watch.basis.pending.shape[1] > max(bound, watch.basis.pending.shape[1]):
                raise NumericalError(
                    f"Krylov basis of {watch.basis.size} columns reached its bound with relative error "
                    f"{watch.estimate:.1e} > {tolerance:.1e}",
                    where="krylov",
                    remedy="raise memory_mb, lower the learning rate (smaller D), or loosen the tolerance",
                )
        widths = np.cumsum([watch.basis.pending.shape[1] for watch in active])
        stacked = np.concatenate([watch.basis.root[:, None] * watch.basis.pending for watch in active], axis=1)
        for watch, image in zip(active, np.split(product(stacked), widths[:-1], axis=1), strict=True):
            watch.basis.absorb(image)
    return max((watch.estimate for watch in watches), default=0.0)


class _Watch:
    """The error estimate of one growing basis."""

    def __init__(self, basis: Basis, time: float) -> None:
        self.basis, self.time = basis, time
        self.estimate = np.inf
        self._next_check = 0
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def done(self, tolerance: float) -> bool:
        """Whether the tolerance is met; checks at growing distances, as each check costs an eigendecomposition."""
        basis = self.basis
        if basis.exhausted:
            self.estimate = 0.0
            return True
        if basis.size == 0 or basis.blocks < self._next_check:
            return False
        values, vectors = basis.ritz()
        coefficients = vectors.T @ basis.start_rows
        now = (
            vectors @ (phi(self.time * values)[:, None] * coefficients),
            vectors @ (np.expm1(-self.time * values)[:, None] * coefficients),
        )
        if self._last is not None:
            self.estimate = max(map(_relative_change, self._last, now))
        self._last = now
        self._next_check = basis.blocks + max(2, basis.blocks // 5)
        return self.estimate <= tolerance


def _relative_change(before: np.ndarray, after: np.ndarray) -> float:
    change = after.copy()
    change[: before.shape[0]] -= before
    return float(np.linalg.norm(change)) / max(float(np.linalg.norm(after)), 1e-300)


@dataclass(frozen=True, kw_only=True)
class Solution:
    """P(D) and what made it; the gradient reuses the bases.

    Attributes:
        coef: P(D), (n, c).
        bases: one for a shared diagonal, c for a diagonal per class.
        targets: Y, (n, c).
        diagonal: D, (n,) or (n, c).
        error: estimated relative error.
    """

    coef: Float[np.ndarray, "n c"]
    bases: list[Basis]
    targets: Float[np.ndarray, "n c"]
    diagonal: np.ndarray
    error: float

    @property
    def columns(self) -> int:
        """Basis columns in all."""
        return sum(basis.size for basis in self.bases)

    @property
    def lambda_max(self) -> float:
        """Largest Ritz value of A over the bases."""
        return max((float(basis.ritz()[0][-1]) for basis in self.bases if basis.size), default=0.0)


def _bases_of(diagonal: np.ndarray, columns: np.ndarray) -> list[Basis]:
    """Empty bases of D^½ · columns: one in all, or one a class."""
    if diagonal.ndim == 1:
        root = np.sqrt(diagonal)
        return [Basis.of(root, root[:, None] * columns)]
    roots = np.sqrt(diagonal)
    return [Basis.of(roots[:, k], (roots * columns)[:, k : k + 1]) for k in range(columns.shape[1])]


def _check_diagonal(diagonal: np.ndarray) -> None:
    if not np.isfinite(diagonal).all() or (diagonal < 0).any():
        raise NumericalError("D must be finite and >= 0", where="krylov", remedy="lower the learning rate")


def solve(
    product: Product,
    diagonal: Float[np.ndarray, " n"] | Float[np.ndarray, "n c"],
    targets: Float[np.ndarray, "n c"],
    *,
    tolerance: float = TOLERANCE,
    max_columns: int | None = None,
) -> Solution:
    """P(D) = Θ⁻¹ (I − e^{−ΘD}) Y = D^½ φ(D^½ΘD^½) D^½ Y (Fu & Wang 2024, Thm. 3; the stable form).

    Args:
        product: Θ times a block (n, b), Θ symmetric PSD.
        diagonal: D ≥ 0 in units of training time, shared (n,) or per class (n, c).
        targets: Y, (n, c).
        tolerance: relative error at which the basis stops growing.
        max_columns: bound of the basis; None: n.

    Returns:
        P and the bases behind it.

    Raises:
        NumericalError: D is negative or not finite, or the bound was reached first.
        NotPositiveDefinite: Θ has a negative eigenvalue beyond rounding.
    """
    _check_diagonal(diagonal)
    bases = _bases_of(diagonal, targets)
    error = grow(product, bases, tolerance=tolerance, max_columns=max_columns)
    parts = []
    for basis in bases:
        values, vectors = basis.ritz()
        inner = vectors @ (phi(values)[:, None] * (vectors.T @ basis.start_rows))
        parts.append(basis.root[:, None] * (basis.vectors @ inner))
    return Solution(coef=np.concatenate(parts, axis=1), bases=bases, targets=targets, diagonal=diagonal, error=error)


def gradient(
    product: Product,
    solution: Solution,
    cotangent: Float[np.ndarray, "n c"],
    *,
    tolerance: float = TOLERANCE,
    max_columns: int | None = None,
) -> np.ndarray:
    """∂L/∂D for ∂L/∂P = G, exact up to the tolerance of the bases.

    Args:
        product: Θ times a block.
        solution: of :func:`solve`, with the same Θ.
        cotangent: G, (n, c).
        tolerance: relative error at which the basis of D^½G stops growing.
        max_columns: bound of that basis.

    Returns:
        The gradient, of the shape of D. At D = 0 it is Σ_k G_ik Y_ik. Where e^{−ΘD} is tiny it is a small difference of
        terms of the size of G ∘ Y, and its accuracy is relative to those.
    """
    duals = _bases_of(solution.diagonal, cotangent)
    grow(product, duals, tolerance=tolerance, max_columns=max_columns)
    if solution.diagonal.ndim == 1:
        return _duhamel(solution.bases[0], duals[0], solution.targets, cotangent)
    columns = [
        _duhamel(primal, dual, solution.targets[:, k : k + 1], cotangent[:, k : k + 1])
        for k, (primal, dual) in enumerate(zip(solution.bases, duals, strict=True))
    ]
    return np.stack(columns, axis=1)


def _duhamel(primal: Basis, dual: Basis, targets: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
    """∫₀¹ Σ_k [e^{−(1−s)ΘD}G]_ik [e^{−sΘD}Y]_ik ds, (n,), from the bases of D^½Y and D^½G."""
    mu, left = primal.ritz()
    lam, right = dual.ritz()
    y, g = left.T @ primal.start_rows, right.T @ dual.start_rows
    s, weight = graded_rule(float(max([0.0, *mu, *lam])))
    alpha_mu, alpha_lam = alpha(s[:, None], mu), alpha(1 - s[:, None], lam)
    kernel = (alpha_lam * weight[:, None]).T @ alpha_mu
    smooth_y = primal.images @ (left @ ((weight @ alpha_mu)[:, None] * y))
    smooth_g = dual.images @ (right @ ((weight @ alpha_lam)[:, None] * g))
    crossed = dual.images @ (right @ (kernel * (g @ y.T)) @ left.T)
    slope: np.ndarray = (
        np.einsum("ik,ik->i", cotangent, targets - smooth_y)
        - np.einsum("ik,ik->i", smooth_g, targets)
        + np.einsum("im,im->i", crossed, primal.images)
    )
    return slope
