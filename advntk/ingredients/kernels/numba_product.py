"""Θ times a few columns on a CPU: Θ read once as it is stored, every product and sum in float64.

The matrix is tall and the columns are few, so the arithmetic (2n²b FLOPs) and not memory (4n² bytes in float32) is the
limit: five rows of Θ meet five columns at a time, 25 sums in registers for ten loads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from advntk.ingredients.kernels.numba_cache import compiled
from advntk.ingredients.kernels.numba_math import FAST

GROUP = 5
"""Rows, and columns, that meet in registers."""
CHUNK = 2048
"""Columns of Θ at a time: the pieces of five columns of the block stay in the second-level cache."""


@njit(fastmath=FAST, forceinline=True)
def _add(sums: Any, x: Any, y: Any) -> Any:
    return (sums[0] + x * y[0], sums[1] + x * y[1], sums[2] + x * y[2], sums[3] + x * y[3], sums[4] + x * y[4])


@njit(fastmath=FAST, forceinline=True)
def _store(sums: Any, out: Any, k: int, row: int) -> None:
    """Add the five sums of one row of Θ to rows ``k`` … of its column of ``out`` (b, m)."""
    out[k, row] += sums[0]
    out[k + 1, row] += sums[1]
    out[k + 2, row] += sums[2]
    out[k + 3, row] += sums[3]
    out[k + 4, row] += sums[4]


@njit(fastmath=FAST, forceinline=True)
def _five_rows(theta: Any, row: int, block: Any, k: int, first: int, last: int, out: Any) -> None:
    """Add what columns ``first`` to ``last`` of Θ contribute to the 25 sums of five rows from ``row`` on."""
    t0, t1, t2 = theta[row, first:last], theta[row + 1, first:last], theta[row + 2, first:last]
    t3, t4 = theta[row + 3, first:last], theta[row + 4, first:last]
    y0, y1, y2 = block[k, first:last], block[k + 1, first:last], block[k + 2, first:last]
    y3, y4 = block[k + 3, first:last], block[k + 4, first:last]
    nothing = (0.0, 0.0, 0.0, 0.0, 0.0)
    a, b, c, d, e = nothing, nothing, nothing, nothing, nothing
    for j in range(y0.shape[0]):
        y = (y0[j], y1[j], y2[j], y3[j], y4[j])
        a = _add(a, np.float64(t0[j]), y)
        b = _add(b, np.float64(t1[j]), y)
        c = _add(c, np.float64(t2[j]), y)
        d = _add(d, np.float64(t3[j]), y)
        e = _add(e, np.float64(t4[j]), y)
    _store(a, out, k, row)
    _store(b, out, k, row + 1)
    _store(c, out, k, row + 2)
    _store(d, out, k, row + 3)
    _store(e, out, k, row + 4)


@compiled(parallel=True, fastmath=FAST)
def multiply(theta: Any, block: Any, out: Any) -> None:
    """Fill out = block Θᵀ, that is Θ times the columns that the rows of ``block`` hold.

    Each entry is summed by one thread in a fixed order: the result does not depend on the number of threads.

    Args:
        theta: rows of Θ, (m, n), float32 or float64.
        block: (b, n) float64, b a multiple of ``GROUP``.
        out: (b, m) float64.
    """
    m, n = theta.shape
    for group in prange((m + GROUP - 1) // GROUP):
        row = group * GROUP
        rows = min(GROUP, m - row)
        for k in range(0, block.shape[0], GROUP):
            out[k : k + GROUP, row : row + rows] = 0.0
            for first in range(0, n, CHUNK):
                last = min(first + CHUNK, n)
                if rows == GROUP:
                    _five_rows(theta, row, block, k, first, last, out)
                else:
                    for r in range(row, m):
                        for q in range(k, k + GROUP):
                            for j in range(first, last):
                                out[q, r] += np.float64(theta[r, j]) * block[q, j]
