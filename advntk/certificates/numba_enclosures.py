"""Enclosures of Θ over the cells of each training image's (t, q) rectangle, and of Θ − p for a polynomial p.

A training image's rectangle |x|, |y| ≤ 1 (t = t_mid + h x, q = q_mid + g y) is cut into equal cells, powers of two
along each side so that their centres and sizes are exact floats. Within a cell Θ is a Taylor polynomial of order 3 at
its centre and interval terms of order 4, or just an interval of values where a cosine comes too near to ±1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from advntk.certificates.compilation import compiled
from advntk.certificates.numba_cosines import affine_part, first_cosine
from advntk.certificates.numba_intervals import down, up
from advntk.certificates.numba_jets import ORDER, SIZE, SIZES, THETA, X_POWER, Y_POWER, enclose, workspace

CUBIC = int(SIZES[3])
"""Coefficients of a polynomial p, of degree 3 at most."""
EMPTY, VALUES, TAYLOR = 0, 1, 2
"""What a cell holds: no image of the threat set, values of Θ only, or Taylor coefficients too."""
ROUNDING = 2.0**-44
"""Of the range of a polynomial, relative to the sum of its absolute coefficients; docs/certificates.md, lemma 9."""


@njit(error_model="numpy")
def _cosine(net: Any, t: Any, q_lo: Any, q_hi: Any, kappa: Any, b_lo: Any, b_hi: Any) -> Any:
    """Bounds of c_0 at one t."""
    a_lo, a_hi = down(down(net[2] * q_lo) + net[1]), up(up(net[3] * q_hi) + net[1])
    s_lo, s_hi = affine_part(net[2], net[3], net[1], t, t, kappa)
    return first_cosine(a_lo, a_hi, s_lo, s_hi, kappa, b_lo, b_hi)


@compiled(parallel=True)
def enclose_cells(
    hidden: int,
    net: Any,
    t_mid: Any,
    h: Any,
    t_error: Any,
    q_mid: Any,
    g: Any,
    q_error: Any,
    kappa: Any,
    b: Any,
    cosine: Any,
    columns: int,
    rows: int,
    extent: float,
    kinds: Any,
    jets: Any,
    values: Any,
) -> None:
    """Enclose Θ over all cells of all training images.

    Args:
        hidden: activations.
        net: as :func:`enclose` takes it.
        t_mid: centres of t, (n,).
        h: half-widths of t, (n,).
        t_error: bounds on the error of t_mid, (n,).
        q_mid: centre of q.
        g: half-width of q.
        q_error: bound on the error of q_mid.
        kappa: κ, (n,).
        b: bounds of b_0, (n, 2).
        cosine: bounds of c_0 over the threat set, (n,).
        columns: cells along t, a power of two.
        rows: cells along q, a power of two.
        extent: 1, or 0 to take of each cell only its centre, in the same units.
        kinds: filled, (n, cells).
        jets: filled, (n, cells, 2, SIZE): coefficients in units of the cell.
        values: filled, (n, cells, 2): range of Θ.
    """
    for i in prange(len(t_mid)):
        w = workspace()
        hc, gc = h[i] / columns, g / rows
        for cell in range(columns * rows):
            x = -1.0 + (2.0 * (cell % columns) + 1.0) / columns
            y = -1.0 + (2.0 * (cell // columns) + 1.0) / rows
            shift = x * h[i]
            t_lo = down(down(t_mid[i] + down(shift)) - t_error[i])
            t_hi = up(up(t_mid[i] + up(shift)) + t_error[i])
            shift = y * g
            q_lo = max(down(down(q_mid + down(shift)) - q_error), 0.0)
            q_hi = up(up(q_mid + up(shift)) + q_error)
            wide_t_lo, wide_t_hi = down(t_lo - extent * hc), up(t_hi + extent * hc)
            wide_q_lo, wide_q_hi = max(down(q_lo - extent * gc), 0.0), up(q_hi + extent * gc)
            b_lo, b_hi = b[i, 0], b[i, 1]
            kinds[i, cell] = EMPTY
            if _cosine(net, wide_t_lo, wide_q_lo, wide_q_hi, kappa[i], b_lo, b_hi)[0] > cosine[i]:
                continue
            # the segments from the centre stay where c_0 ≤ m, a convex set for m ≥ 0
            most = min(max(max(cosine[i], _cosine(net, t_hi, q_lo, q_hi, kappa[i], b_lo, b_hi)[1]), 0.0), 1.0)
            smooth = True
            for order in (ORDER - 1, ORDER):
                if order == ORDER:  # beyond the Taylor coefficients at the centre, those over the whole cell
                    t_lo, t_hi, q_lo, q_hi = wide_t_lo, wide_t_hi, wide_q_lo, wide_q_hi
                args = (t_lo, t_hi, q_lo, q_hi, hc, gc, kappa[i], b_lo, b_hi, most, order)
                smooth = enclose(w, hidden, net, *args) and smooth
                for m in range(CUBIC if order == ORDER else 0, SIZES[order]):
                    jets[i, cell, 0, m], jets[i, cell, 1, m] = w[THETA, 0, m], w[THETA, 1, m]
            values[i, cell, 0], values[i, cell, 1] = w[THETA, 0, 0], w[THETA, 1, 0]
            kinds[i, cell] = TAYLOR if smooth else VALUES


@njit(error_model="numpy")
def quadratic_range(constant: Any, linear: Any, square: Any) -> Any:
    """Exact range of c + l x + s x² over |x| ≤ 1."""
    lo, hi = square - abs(linear), square + abs(linear)
    if 2.0 * abs(square) > abs(linear):
        vertex = -linear * linear / (4.0 * square)
        if square > 0.0:
            lo = vertex
        else:
            hi = vertex
    return constant + lo, constant + hi


@njit(error_model="numpy")
def polynomial_range(lo: Any, hi: Any) -> Any:
    """Range of a polynomial of order 4 over |x|, |y| ≤ 1 whose coefficients lie in intervals.

    T₃ = 4x³ − 3x and T₄ = 8x⁴ − 8x² + 1 are within ±1. By them the powers of x alone become a quadratic, whose range is
    exact, and a remainder. So do those of y alone. Mixed terms are taken by themselves.

    Returns:
        Lower and upper bound.
    """
    total = 0.0
    low, high = 0.0, 0.0
    for axis in range(2):
        # places of the powers of x alone, or of y alone
        first, second, third, fourth = (1, 3, 6, 10) if axis == 0 else (2, 5, 9, 14)
        constant = 0.5 * (lo[0] + hi[0]) if axis == 0 else 0.0
        linear, square = 0.5 * (lo[first] + hi[first]), 0.5 * (lo[second] + hi[second])
        cube, quartic = 0.5 * (lo[third] + hi[third]), 0.5 * (lo[fourth] + hi[fourth])
        bottom, top = quadratic_range(constant - 0.125 * quartic, linear + 0.75 * cube, square + quartic)
        rest = 0.25 * abs(cube) + 0.125 * abs(quartic)
        rest += 0.5 * ((hi[first] - lo[first]) + (hi[second] - lo[second]))
        rest += 0.5 * ((hi[third] - lo[third]) + (hi[fourth] - lo[fourth]))
        if axis == 0:
            rest += 0.5 * (hi[0] - lo[0])
        low += bottom - rest
        high += top + rest
    for m in range(SIZE):
        total += max(abs(lo[m]), abs(hi[m]))
        if X_POWER[m] > 0 and Y_POWER[m] > 0:
            if X_POWER[m] % 2 == 0 and Y_POWER[m] % 2 == 0:
                low += min(lo[m], 0.0)
                high += max(hi[m], 0.0)
            else:
                size = max(abs(lo[m]), abs(hi[m]))
                low -= size
                high += size
    return low - ROUNDING * total, high + ROUNDING * total


@compiled(parallel=True)
def remainder_ranges(kinds: Any, jets: Any, values: Any, shifts: Any, p: Any, out: Any) -> None:
    """Fill ``out`` (n, 2) with ranges of Θ − p.

    Args:
        kinds: of :func:`enclose_cells`.
        jets: of :func:`enclose_cells`.
        values: of :func:`enclose_cells`.
        shifts: exact, (cells, CUBIC, CUBIC): from the coefficients of p to those in units of a cell.
        p: coefficients, (n, CUBIC).
        out: filled.
    """
    for i in prange(len(p)):
        lo, hi = np.zeros(SIZE), np.zeros(SIZE)
        least, most = np.inf, -np.inf
        size = 0.0
        for m in range(CUBIC):
            size += abs(p[i, m])
        for cell in range(kinds.shape[1]):
            if kinds[i, cell] == EMPTY:
                continue
            for m in range(CUBIC):
                total = 0.0
                for k in range(m, CUBIC):
                    total += shifts[cell, m, k] * p[i, k]
                lo[m], hi[m] = -total, -total
            for m in range(CUBIC, SIZE):
                lo[m], hi[m] = 0.0, 0.0
            bottom, top = polynomial_range(lo, hi)
            bottom += values[i, cell, 0]
            top += values[i, cell, 1]
            whole = size + max(abs(values[i, cell, 0]), abs(values[i, cell, 1]))
            if kinds[i, cell] == TAYLOR:
                for m in range(SIZE):
                    lo[m] += jets[i, cell, 0, m]
                    hi[m] += jets[i, cell, 1, m]
                low, high = polynomial_range(lo, hi)
                bottom, top = max(bottom, low), min(top, high)
            least = min(least, bottom - ROUNDING * whole)
            most = max(most, top + ROUNDING * whole)
        out[i, 0], out[i, 1] = least, most
        if not least <= most:
            out[i, 0], out[i, 1] = -np.inf, np.inf
