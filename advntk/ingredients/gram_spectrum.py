"""Is a Gram matrix positive semi-definite? Exactly for small ones; for large ones what a few passes can tell.

Above DENSE_CHECK images two things are looked at. A principal submatrix of SUBSET evenly spaced images, whose spectrum
is exact: by interlacing its smallest eigenvalue is at least that of the whole, so a negative one condemns the whole,
and errors of the kernel's entries, alike everywhere, show in it as well as in the whole. And a block Krylov space of
the whole, PASSES products with BLOCK columns from a fixed random start: its Ritz values are inside the spectrum, the
largest is λmax to many digits, and tiles that are wrong or misplaced, which make eigenvalues far below zero, show in
the smallest. A passing check does not prove that no eigenvalue is slightly negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advntk.foundation.semidefinite import SLACK
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.gram_sizes import DENSE_CHECK, SUBSET

PASSES = 6
BLOCK = 16

_MEMORY_MB = 256


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """The ends of a spectrum as far as they are known.

    Attributes:
        top: λmax.
        bottom: λmin, or an upper bound of it.
        negative: an eigenvalue, of the whole or of the submatrix, is below what rounding explains.
        by: how they were found.
    """

    top: float
    bottom: float
    negative: bool
    by: str


def spectrum(gram: np.ndarray) -> Spectrum:
    """The ends of the spectrum of a symmetric float32 matrix (n, n), which may be a memory map."""
    n = len(gram)
    if n <= DENSE_CHECK:
        bottom, top = _ends(np.asarray(gram, dtype=np.float64))
        return Spectrum(top=top, bottom=bottom, negative=_negative(bottom, top), by="dense")
    chosen = np.linspace(0, n - 1, SUBSET).round().astype(int)
    part = np.array([gram[row, chosen] for row in chosen], dtype=np.float64)
    part_bottom, part_top = _ends(part)
    bottom, top = _ritz_ends(gram)
    return Spectrum(
        top=top,
        bottom=min(bottom, part_bottom),
        negative=_negative(bottom, top) or _negative(part_bottom, part_top),
        by=f"block-lanczos-{PASSES}x{BLOCK}, dense-{SUBSET}",
    )


def _negative(bottom: float, top: float) -> bool:
    return not top > 0 or bottom < -SLACK * top


def _ends(matrix: np.ndarray) -> tuple[float, float]:
    """(λmin, λmax)."""
    values = np.linalg.eigvalsh(matrix)
    return float(values[0]), float(values[-1])


def _ritz_ends(gram: np.ndarray) -> tuple[float, float]:
    """Smallest and largest Ritz value of a block Krylov space, fully reorthogonalised."""
    n = len(gram)
    operator = GramOperator(gram, device="cpu", memory_mb=_MEMORY_MB)
    columns = min(BLOCK, n)
    passes = min(PASSES, n // columns)
    basis, projected = np.empty((n, columns * passes)), np.zeros((columns * passes,) * 2)
    block: np.ndarray = np.random.default_rng(0).standard_normal((n, columns))
    for low in range(0, columns * passes, columns):
        high = low + columns
        for _ in range(2):
            block -= basis[:, :low] @ (basis[:, :low].T @ block)
            block, _ = np.linalg.qr(block)
        basis[:, low:high] = block
        block = np.array(operator.product(block))
        projected[:high, low:high] = basis[:, :high].T @ block
    upper = np.triu(projected)
    return _ends(upper + np.triu(projected, 1).T)
