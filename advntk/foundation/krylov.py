"""The stable form of Adv-NTK's predictor and its exact gradient, from block Krylov bases.

With D = Diag(d) ≥ 0, A = D^½ Θ D^½ and φ(z) = (1 − e^{−z})/z,

    P(D) = Θ⁻¹ (I − e^{−ΘD}) Y = D^½ φ(A) D^½ Y,

so neither an inverse nor a dense matrix exponential is needed: only the action of φ(A) on a few columns.
For ∂L/∂P = G the gradient is (Duhamel's formula)

    ∂L/∂D_i = ∫₀¹ Σ_k [e^{−(1−s)ΘD} G]_ik [e^{−sΘD} Y]_ik ds.

Where d_i is not small, e^{−sΘD} Y = D^{−½} e^{−sA} D^½ Y, the integral over a pair of Ritz values is
e^{−min(λ,μ)} α₁(|λ − μ|), and nothing cancels, however large λmax(A) is. In the other rows, zeros included,
e^{−sΘD} Y = Y − Θ D^½ α_s(A) D^½ Y with α_s(λ) = (1 − e^{−sλ})/λ, under a fixed quadrature.

A ``per_class`` diagonal (n, c) gives each column its own A; their bases grow in lockstep, so that each product with Θ
is still one matrix product of c columns. Where a basis may not grow as far as the tolerance asks, time is split: the
basis is used as far as its error bound reaches, e^{−tΘD} Y starts the next one, and P and the gradient add up.

Cost: (blocks) products Θ·(n, c), 2n²c FLOPs each, and O(n m²) for m basis columns, for P and for the gradient alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from advntk.foundation.errors import NumericalError
from advntk.foundation.krylov_basis import Basis
from advntk.foundation.phi_functions import alpha, graded_rule
from advntk.foundation.threads import one_blas_thread

if TYPE_CHECKING:
    from jaxtyping import Float

Product = Callable[[np.ndarray], np.ndarray]
"""Θ times a block of columns, (n, b) → (n, b), accumulated in float64."""

TOLERANCE = 1e-10
ASYMMETRY = 1e-12
"""What float64 products of a symmetric matrix stay below."""
ROUNDING = -10.0
"""Decimal logarithm of an error below which a bound that no longer falls has met rounding."""
SHORTEST = 1e-4
"""A basis that reaches less than this share of the time that is left is not worth going on with."""


def grow(
    product: Product,
    bases: Sequence[Basis],
    *,
    tolerance: float = TOLERANCE,
    max_columns: int | None = None,
    time: float = 1.0,
    expected_blocks: int = 0,
    error: Callable[[Basis], float] | None = None,
) -> float:
    """Grow bases in lockstep until ∫₀^time e^{−sA} ds acts on their starting blocks to a tolerance.

    Args:
        product: Θ times a block.
        bases: grown in place; each product with Θ takes the pending blocks of all unfinished ones.
        tolerance: relative, in the norm of the result.
        max_columns: bound of all bases together; None: n each. Growth stops there.
        time: length of the integral.
        expected_blocks: where the first look at the error is worth it; 0: unknown.
        error: bound of the error of a basis, where something else than that integral is wanted.

    Returns:
        The largest error bound among the bases, at most ``tolerance`` unless ``max_columns`` stopped them.

    Raises:
        NumericalError: the products are not those of a symmetric matrix in float64, or the error stagnates.
    """
    watches = [_Watch(basis, error or (lambda basis: basis.error(time)), expected_blocks) for basis in bases]
    most = None if max_columns is None or not bases else max_columns // len(bases)
    while active := [watch for watch in watches if watch.wants_more(tolerance, most)]:
        widths = np.cumsum([watch.basis.pending.shape[1] for watch in active])
        stacked = np.concatenate([(watch.basis.root * watch.basis.pending.T) for watch in active]).T
        for watch, image in zip(active, np.split(product(stacked), widths[:-1], axis=1), strict=True):
            watch.basis.absorb(image)
            watch.check_symmetry(tolerance)
    return max((watch.error for watch in watches), default=0.0)


class _Watch:
    """The error bound of one growing basis, looked at as seldom as its decrease allows: each look costs O(m³)."""

    def __init__(self, basis: Basis, bound: Callable[[Basis], float], expected_blocks: int) -> None:
        self.basis, self.bound = basis, bound
        self.error = np.inf
        self._seen: list[tuple[int, float]] = []
        self._next_look = expected_blocks or min(4, max(1, len(basis.root) // 50))

    def wants_more(self, tolerance: float, most: int | None) -> bool:
        """Whether another block is needed and allowed."""
        basis = self.basis
        width = basis.pending.shape[1]
        full = most is not None and basis.size > 0 and basis.size + width > most
        if basis.exhausted or full or basis.blocks >= self._next_look:
            self._look(tolerance)
        return not (full or self.error <= tolerance)

    def _look(self, tolerance: float) -> None:
        if self._seen and self._seen[-1][0] == self.basis.blocks:
            return
        self.error = self.bound(self.basis)
        blocks = self.basis.blocks
        self._seen.append((blocks, np.log10(max(self.error, 1e-300))))
        long_ago = [value for then, value in self._seen if 1.3 * then <= blocks]
        at_rounding = bool(long_ago) and long_ago[-1] < ROUNDING and self._seen[-1][1] > long_ago[-1] - 0.5
        if at_rounding and self.error > tolerance:
            raise NumericalError(
                f"the error of the Krylov basis stagnates at {self.error:.1e} > {tolerance:.1e}",
                where="krylov",
                remedy="loosen the tolerance",
            )
        now, here = self._seen[-1]
        before, above = self._seen[-2] if len(self._seen) > 1 else (0, 0.0)
        slope = (above - here) / max(now - before, 1)
        # the bound falls faster and faster, so a straight line promises too late an end
        ahead = int(np.ceil(0.8 * (here - np.log10(tolerance)) / slope)) if slope > 0 else blocks
        self._next_look = blocks + int(np.clip(ahead, 1, max(2, blocks // 2)))

    def check_symmetry(self, tolerance: float) -> None:
        """Products in float32, or of a matrix that is not symmetric, would make P silently wrong."""
        if self.basis.asymmetry > max(tolerance, ASYMMETRY):
            raise NumericalError(
                f"the products with Θ are asymmetric by {self.basis.asymmetry:.1e} of the largest Ritz value, "
                f"more than the tolerance of {tolerance:.1e}",
                where="krylov",
                remedy="check that the Gram matrix is symmetric and products accumulate in float64",
            )


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A part of the time [0, 1] that one set of bases covers.

    Attributes:
        begin: where it starts.
        length: how long it is.
        state: e^{−begin·ΘD} Y, (n, c).
        bases: of D^½ · state; dropped where more than one stretch was needed, to be grown again for the gradient.
        blocks: of the largest basis.
    """

    begin: float
    length: float
    state: Float[np.ndarray, "n c"]
    bases: list[Basis] | None
    blocks: int


@dataclass(frozen=True, kw_only=True)
class Solution:
    """P(D) and the bases it was computed with, which the gradient reuses.

    Attributes:
        coef: P(D), (n, c).
        diagonal: D, (n,) or (n, c).
        stretches: of time, one where memory allows.
        error: bound of the relative error of P in the norm of D^{−½} P; with several stretches, the largest of the
            bounds of each by itself, not counting what its start carries over.
        columns: basis columns in all.
        lambda_max: largest Ritz value of A over the bases.
    """

    coef: Float[np.ndarray, "n c"]
    diagonal: np.ndarray
    stretches: list[Stretch]
    error: float
    columns: int
    lambda_max: float

    @property
    def blocks(self) -> int:
        """Products with Θ in all."""
        return sum(stretch.blocks for stretch in self.stretches)


def _bases_of(diagonal: np.ndarray, columns: np.ndarray) -> list[Basis]:
    """Empty bases of D^½ · columns: one in all, or one a class."""
    roots = np.sqrt(diagonal)
    if diagonal.ndim == 1:
        return [Basis.of(roots, roots[:, None] * columns)]
    return [Basis.of(roots[:, k], (roots * columns)[:, k : k + 1]) for k in range(columns.shape[1])]


def _columns(count: int, classes: int) -> list[slice]:
    """The columns of (n, c) that each of ``count`` bases serves."""
    return [slice(0, classes)] if count == 1 else [slice(k, k + 1) for k in range(classes)]


def _advance(bases: list[Basis], state: np.ndarray, time: float) -> np.ndarray:
    """e^{−time·ΘD} · state, (n, c), from the bases of D^½ · state."""
    parts = []
    for basis, part in zip(bases, _columns(len(bases), state.shape[1]), strict=True):
        values, vectors = basis.ritz()
        moved = (basis.vectors @ (vectors @ basis.decay(time))) / np.where(basis.root > 0, basis.root, 1.0)[:, None]
        smooth = vectors @ (alpha(time, values)[:, None] * basis.decay(0.0))
        moved[basis.tail] = state[basis.tail, part] - basis.images @ smooth
        parts.append(moved)
    return np.concatenate(parts, axis=1)


def _reach(bases: list[Basis], time: float, tolerance: float) -> float:
    """How far bases can be used; ``time`` itself unless their growth was bounded.

    Returns:
        A time in (0, ``time``].

    Raises:
        NumericalError: it is too short to go on.
    """
    length = min(basis.reach(time, tolerance) for basis in bases)
    if length < SHORTEST * time:
        columns = sum(basis.size for basis in bases)
        raise NumericalError(
            f"Krylov bases of {columns} columns, their bound, keep a relative error of {tolerance:.1e} over only "
            f"{length / time:.1e} of the time that is left",
            where="krylov",
            remedy="raise memory_mb, lower the learning rate (smaller D), or loosen the tolerance",
        )
    return length


def _cut(stretch: Stretch, length: float, state: np.ndarray) -> list[Stretch]:
    """A stretch in two, the first of a given length and the second with its own state."""
    begin, left = stretch.begin + length, stretch.length - length
    return [
        replace(stretch, length=length, bases=None),
        replace(stretch, begin=begin, length=left, state=state, bases=None),
    ]


@one_blas_thread()
def solve(
    product: Product,
    diagonal: Float[np.ndarray, " n"] | Float[np.ndarray, "n c"],
    targets: Float[np.ndarray, "n c"],
    *,
    tolerance: float = TOLERANCE,
    max_columns: int | None = None,
    expected_blocks: int = 0,
) -> Solution:
    """P(D) = Θ⁻¹ (I − e^{−ΘD}) Y = D^½ φ(D^½ΘD^½) D^½ Y (Fu & Wang 2024, Thm. 3; the stable form).

    Args:
        product: Θ times a block (n, b), Θ symmetric PSD.
        diagonal: D ≥ 0 in units of training time, shared (n,) or per class (n, c).
        targets: Y, (n, c).
        tolerance: bound of the relative error at which a basis stops growing.
        max_columns: bound of all columns that are held at once; None: n a basis. Below what the tolerance asks
            for, time is split and products are repeated.
        expected_blocks: of a problem nearby, such as the last training step's; saves looking at the error.

    Returns:
        P and the bases behind it.

    Raises:
        NumericalError: D is negative or not finite, the products are not symmetric, or ``max_columns`` is too small.
        NotPositiveDefinite: Θ has a negative eigenvalue beyond rounding.
    """
    if not np.isfinite(diagonal).all() or (diagonal < 0).any():
        raise NumericalError("D must be finite and >= 0", where="krylov", remedy="lower the learning rate")
    coef, state, begin = np.zeros(np.shape(targets)), np.asarray(targets, dtype=np.float64), 0.0
    stretches: list[Stretch] = []
    error, columns, lambda_max = 0.0, 0, 0.0
    while begin < 1.0:
        bases, left = _bases_of(diagonal, state), 1.0 - begin
        looks = expected_blocks if not stretches else stretches[-1].blocks
        grow(product, bases, tolerance=tolerance, max_columns=max_columns, time=left, expected_blocks=looks)
        length = _reach(bases, left, tolerance)
        for basis, part in zip(bases, _columns(len(bases), state.shape[1]), strict=True):
            coef[:, part] += basis.root[:, None] * basis.integral(length)
            lambda_max = max(lambda_max, float(basis.ritz()[0][-1]) if basis.size else 0.0)
            error = max(error, basis.error(length))
        columns += sum(basis.size for basis in bases)
        blocks = max(basis.blocks for basis in bases)
        done = length == left
        kept = bases if done and not stretches else None
        stretches.append(Stretch(begin=begin, length=length, state=state, bases=kept, blocks=blocks))
        if not done:
            state = _advance(bases, state, length)
        begin = 1.0 if done else begin + length
    return Solution(
        coef=coef, diagonal=diagonal, stretches=stretches, error=error, columns=columns, lambda_max=lambda_max
    )


@one_blas_thread()
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
        tolerance: as in :func:`solve`.
        max_columns: as in :func:`solve`, for each of the two sides.

    Returns:
        The gradient, of the shape of D. At D = 0 it is Σ_k G_ik Y_ik.
    """
    diagonal, state = solution.diagonal, np.asarray(cotangent, dtype=np.float64)
    slope = np.zeros(diagonal.shape if diagonal.ndim == 2 else (*diagonal.shape, 1))
    stretches = list(solution.stretches)

    def grown(block: np.ndarray, time: float, expected: int) -> list[Basis]:
        bases = _bases_of(diagonal, block)
        grow(product, bases, tolerance=tolerance, max_columns=max_columns, time=time, expected_blocks=expected)
        return bases

    while stretches:
        stretch = stretches.pop()
        primals = stretch.bases
        if primals is None:
            primals = grown(stretch.state, stretch.length, stretch.blocks)
            if (length := _reach(primals, stretch.length, tolerance)) < stretch.length:  # less memory than solve had
                stretches += _cut(stretch, length, _advance(primals, stretch.state, length))
                continue
        left = stretch.length
        while left > 0.0:
            duals = grown(state, left, stretch.blocks)
            length = _reach(duals, left, tolerance)
            for k, part in enumerate(_columns(len(duals), state.shape[1])):
                sides = (stretch.state[:, part], state[:, part])
                slope[:, k] += _duhamel(primals[k], duals[k], *sides, offset=left - length, length=length)
            last = length == left and stretch.begin == 0.0
            state = state if last else _advance(duals, state, length)
            del duals  # before the next ones grow
            left = 0.0 if length == left else left - length
    return slope.reshape(diagonal.shape)


def _duhamel(
    primal: Basis, dual: Basis, state: np.ndarray, cotangent: np.ndarray, *, offset: float, length: float
) -> np.ndarray:
    """∫₀^τ Σ_k [e^{−(τ−s)ΘD} G]_ik [e^{−(o+s)ΘD} Z]_ik ds, (n,), for τ = ``length`` and o = ``offset``.

    Args:
        primal: basis of D^½ Z.
        dual: basis of D^½ G.
        state: Z, (n, c).
        cotangent: G, (n, c).
        offset: o.
        length: τ.

    Returns:
        The integral.
    """
    lam, right = primal.ritz()
    mu, left = dual.ritz()
    y, g = primal.decay(offset), dual.decay(0.0)
    overlap = np.exp(-length * np.minimum(mu[:, None], lam)) * alpha(length, np.abs(mu[:, None] - lam))
    crossed = dual.vectors @ (left @ (overlap * (g @ y.T)) @ right.T)
    diagonal = np.where(primal.root > 0, primal.root, 1.0) ** 2
    out: np.ndarray = np.einsum("im,im->i", crossed, primal.vectors) / diagonal
    if len(tail := primal.tail):
        z, cotangent, y = state[tail], cotangent[tail], primal.decay(0.0)
        s, weight = graded_rule(length * float(max([0.0, *mu, *lam])))
        s, weight = length * s, length * weight
        alpha_mu, alpha_lam = alpha((length - s)[:, None], mu), alpha((offset + s)[:, None], lam)
        overlap = (alpha_mu * weight[:, None]).T @ alpha_lam
        smooth_z = primal.images @ (right @ ((weight @ alpha_lam)[:, None] * y))
        smooth_g = dual.images @ (left @ ((weight @ alpha_mu)[:, None] * g))
        crossed = dual.images @ (left @ (overlap * (g @ y.T)) @ right.T)
        out[tail] = (
            np.einsum("ik,ik->i", cotangent, length * z - smooth_z)
            - np.einsum("ik,ik->i", smooth_g, z)
            + np.einsum("im,im->i", crossed, primal.images)
        )
    return out
