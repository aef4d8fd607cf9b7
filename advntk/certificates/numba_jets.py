"""Enclosures of the Taylor coefficients of Θ along two coordinates, over a cell, by interval arithmetic.

For one training image x_i, Θ(x', x_i) depends on t = x'·x_i − κ|x'|² and q = |x'|² alone. With t = t_c + h x and
q = q_c + g y, a jet holds intervals for the Taylor coefficients of x^i y^j, i + j ≤ ORDER, at every point of a cell
|x|, |y| ≤ 1. With a_l, b_l the variances of x' and x_i before activation l, and ρ_l = √(a_l b_l),

    c_0 = (A/√a + κ √a)/√b,  A = α t + β (1 − κ)                   cosine before the first activation
    c_{l+1} = A_l(q) k₁(c_l) + B_l(q)                              cosines
    τ_{l+1} = A_l(q) k₀(c_l) τ_l + c_{l+1},  τ_0 = c_0             tangent kernel over ρ_l
    A_l = √(2 σ_w² b_l/b_{l+1}) √(1 − β/a_{l+1}),  B_l = β/ρ_{l+1},  Θ = ρ_L τ_L

α = σ_w²/d, β = σ_b². See docs/certificates.md, lemmas 1 to 4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from advntk.certificates.numba_cosines import affine_part, arc_cosine_kernels, first_cosine, one_minus_square
from advntk.certificates.numba_intervals import ONE_OVER_2_PI, TINY, add, down, inverse, mul, root, up

ORDER = 4
POWERS = [(order - j, j) for order in range(ORDER + 1) for j in range(order + 1)]
"""Exponents of x and y of each coefficient, by degree."""
SIZE = len(POWERS)
PLACE = {powers: place for place, powers in enumerate(POWERS)}
SIZES = np.array([(order + 1) * (order + 2) // 2 for order in range(ORDER + 1)])
"""Number of coefficients up to each order."""
_PRODUCTS = sorted(
    (PLACE[a[0] + b[0], a[1] + b[1]], PLACE[a], PLACE[b]) for a in POWERS for b in POWERS if sum(a) + sum(b) <= ORDER
)
PRODUCTS = np.array(_PRODUCTS)
"""Coefficient of a product, and those of the two factors that contribute to it."""
COUNTS = np.array([sum(product[0] < size for product in _PRODUCTS) for size in SIZES])
X_POWER = np.array([i for i, _ in POWERS])
Y_POWER = np.array([j for _, j in POWERS])
AT = np.array([[PLACE.get((i, j), -1) for j in range(ORDER + 1)] for i in range(ORDER + 1)])
"""Place of the coefficient of x^i y^j."""
BINOMIALS = np.array([[math.prod((p - m) / (m + 1) for m in range(j)) for j in range(ORDER + 1)] for p in (-0.5, 0.5)])
"""Of the exponents −½ and ½, exact in floats."""

GUARD = 1e-4
"""Derivatives are used only where every cosine is this far from ±1, where they are infinite."""

# rows of the workspace: jets in x and y, then jets in y alone
THETA, COS, POWER2, POWER3, POWER4, FIRST, ZEROTH, SPARE, DERIVATIVE, SLOPE, OFFSET, SHARE = range(12)
ROWS = 12


@njit(error_model="numpy")
def workspace() -> Any:
    """Scratch for :func:`enclose`: lower and upper ends of jets."""
    return np.zeros((ROWS, 2, SIZE))


@njit(error_model="numpy")
def multiply(w: Any, a: int, b: int, out: int, order: int, constant: bool) -> None:
    """Product of two jets; without ``constant`` their constant terms count as 0."""
    for place in range(SIZES[order]):
        w[out, 0, place] = 0.0
        w[out, 1, place] = 0.0
    for k in range(COUNTS[order]):
        place, i, j = PRODUCTS[k, 0], PRODUCTS[k, 1], PRODUCTS[k, 2]
        if constant or (i > 0 and j > 0):
            lo, hi = mul(w[a, 0, i], w[a, 1, i], w[b, 0, j], w[b, 1, j])
            w[out, 0, place], w[out, 1, place] = add(w[out, 0, place], w[out, 1, place], lo, hi)


@njit(error_model="numpy")
def multiply_by_y(w: Any, a: int, b: int, out: int, order: int) -> None:
    """Product of a jet and one in y alone."""
    for place in range(SIZES[order]):
        i, j = X_POWER[place], Y_POWER[place]
        lo, hi = 0.0, 0.0
        for k in range(j + 1):
            other = AT[i, j - k]
            p, q = mul(w[a, 0, other], w[a, 1, other], w[b, 0, k], w[b, 1, k])
            lo, hi = add(lo, hi, p, q)
        w[out, 0, place], w[out, 1, place] = lo, hi


@njit(error_model="numpy")
def power_of_affine(w: Any, out: int, a_lo: Any, a_hi: Any, g_lo: Any, g_hi: Any, half: int, order: int) -> None:
    """Jet in y of (a + g y)^p for positive a and g, p = −½ (``half`` = 0) or ½ (1).

    The coefficients binom(p, j) g^j a^(p − j) are monotone in a.
    """
    root_lo, root_hi = root(a_lo, a_hi)
    size_lo, size_hi = inverse(root_lo, root_hi)
    ratio_lo, ratio_hi = down(g_lo / a_hi), up(g_hi / a_lo)
    w[out, 0, 0], w[out, 1, 0] = size_lo, size_hi
    if half == 1:
        w[out, 0, 0], w[out, 1, 0] = root_lo, root_hi
        size_lo, size_hi = mul(size_lo, size_hi, g_lo, g_hi)
    for j in range(1, order + 1):
        if half == 0 or j > 1:
            size_lo, size_hi = mul(size_lo, size_hi, ratio_lo, ratio_hi)
        factor = BINOMIALS[half, j]
        w[out, 0, j], w[out, 1, j] = mul(size_lo, size_hi, factor, factor)


@njit(error_model="numpy")
def derivatives(w: Any, lo: Any, hi: Any) -> None:
    """Ranges over cosines in [lo, hi] of k₁ and its derivatives, of which k₀ is the first.

    All Taylor coefficients of k₁ and k₀ beyond the constant are non-negative: k₁, k₀ and derivatives of k₀ of even
    order rise; those of odd order are extreme at the largest and the least |c|.

    Args:
        w: workspace; row DERIVATIVE gets k₁, k₀, k₀′, k₀″, k₀‴, k₀⁗.
        lo: least cosine.
        hi: largest cosine.
    """
    first_lo, _, zeroth_lo, _ = arc_cosine_kernels(lo)
    _, first_hi, _, zeroth_hi = arc_cosine_kernels(hi)
    w[DERIVATIVE, 0, 0], w[DERIVATIVE, 1, 0] = first_lo, first_hi
    w[DERIVATIVE, 0, 1], w[DERIVATIVE, 1, 1] = zeroth_lo, zeroth_hi
    if hi > 1.0 - GUARD or lo < -1.0 + GUARD:
        return
    large = max(abs(lo), abs(hi))
    small = 0.0 if lo <= 0.0 <= hi else min(abs(lo), abs(hi))
    for side in range(2):
        end, size = (lo, small) if side == 0 else (hi, large)
        square_lo, square_hi = one_minus_square(size)
        square = square_hi if side == 0 else square_lo  # the smaller 1 − c², the larger the derivative
        even = _outward(ONE_OVER_2_PI / math.sqrt(square), side)
        w[DERIVATIVE, side, 2] = even
        w[DERIVATIVE, side, 4] = _outward(even * (1.0 + 2.0 * size * size) / (square * square), side)
        away_lo, away_hi = one_minus_square(end)
        away = away_hi if (side == 0) == (end >= 0.0) else away_lo
        odd = ONE_OVER_2_PI * end / (away * math.sqrt(away))
        w[DERIVATIVE, side, 3] = _outward(odd, side)
        w[DERIVATIVE, side, 5] = _outward(odd * (9.0 + 6.0 * end * end) / (away * away), side)


@njit(error_model="numpy")
def _outward(x: Any, side: int) -> Any:
    """A bound, lower (side 0) or upper, of what a handful of roundings made ``x``."""
    margin = abs(x) * 4e-15 + TINY
    return x - margin if side == 0 else x + margin


@njit(error_model="numpy")
def compose(w: Any, order: int) -> None:
    """Jets of k₁(c) and k₀(c), rows FIRST and ZEROTH, from the jet of c and the ranges of derivatives."""
    multiply(w, COS, COS, POWER2, order, False)
    if order > 2:
        multiply(w, POWER2, COS, POWER3, order, False)
    if order > 3:
        multiply(w, POWER3, COS, POWER4, order, False)
    for place in range(1, SIZES[order]):
        degree = X_POWER[place] + Y_POWER[place]
        first_lo, first_hi, zeroth_lo, zeroth_hi = 0.0, 0.0, 0.0, 0.0
        factorial = 1.0
        for k in range(1, degree + 1):
            factorial *= k
            row = COS if k == 1 else POWER2 + k - 2
            lo, hi = w[row, 0, place], w[row, 1, place]
            if k > 2:
                lo, hi = down(lo / factorial), up(hi / factorial)
            elif k == 2:
                lo, hi = 0.5 * lo, 0.5 * hi
            p, q = mul(lo, hi, w[DERIVATIVE, 0, k], w[DERIVATIVE, 1, k])
            first_lo, first_hi = add(first_lo, first_hi, p, q)
            p, q = mul(lo, hi, w[DERIVATIVE, 0, k + 1], w[DERIVATIVE, 1, k + 1])
            zeroth_lo, zeroth_hi = add(zeroth_lo, zeroth_hi, p, q)
        w[FIRST, 0, place], w[FIRST, 1, place] = first_lo, first_hi
        w[ZEROTH, 0, place], w[ZEROTH, 1, place] = zeroth_lo, zeroth_hi
    for side in range(2):
        w[FIRST, side, 0] = w[DERIVATIVE, side, 0]
        w[ZEROTH, side, 0] = w[DERIVATIVE, side, 1]


@njit(error_model="numpy")
def next_layer(
    w: Any, w2: Any, b2: Any, a_lo: Any, a_hi: Any, g_lo: Any, g_hi: Any, b_lo: Any, b_hi: Any, order: int
) -> Any:
    """Jets in y of A_l and B_l, rows SLOPE and OFFSET.

    Args:
        w: workspace.
        w2: σ_w².
        b2: σ_b².
        a_lo: least variance a_l of x' over the cell.
        a_hi: largest one.
        g_lo: bound of ∂a_l/∂y from below.
        g_hi: from above.
        b_lo: bound of b_l from below.
        b_hi: from above.
        order: of the jets.

    Returns:
        Bounds of a_{l+1}, of its derivative by y, and of b_{l+1}.
    """
    half = 0.5 * w2
    next_a_lo, next_a_hi = down(down(half * a_lo) + b2), up(up(half * a_hi) + b2)
    next_g_lo, next_g_hi = down(half * g_lo), up(half * g_hi)
    next_b_lo, next_b_hi = down(down(half * b_lo) + b2), up(up(half * b_hi) + b2)
    root_lo, root_hi = root(next_b_lo, next_b_hi)
    inverse_lo, inverse_hi = inverse(root_lo, root_hi)
    # B = β a^(−½)/√b, and β/a = (β^½ a^(−½))²
    power_of_affine(w, OFFSET, next_a_lo, next_a_hi, next_g_lo, next_g_hi, 0, order)
    for j in range(order + 1):
        lo, hi = 0.0, 0.0
        for k in range(j + 1):
            p, q = mul(w[OFFSET, 0, k], w[OFFSET, 1, k], w[OFFSET, 0, j - k], w[OFFSET, 1, j - k])
            lo, hi = add(lo, hi, p, q)
        w[SHARE, 0, j], w[SHARE, 1, j] = mul(lo, hi, b2, b2)
    for j in range(order + 1):
        lo, hi = mul(w[OFFSET, 0, j], w[OFFSET, 1, j], inverse_lo, inverse_hi)
        w[OFFSET, 0, j], w[OFFSET, 1, j] = mul(lo, hi, b2, b2)
    # s = √(1 − β/a): s² = 1 − β/a gives its coefficients one by one
    rest_lo, rest_hi = max(down(1.0 - w[SHARE, 1, 0]), 0.0), up(1.0 - w[SHARE, 0, 0])
    w[SLOPE, 0, 0], w[SLOPE, 1, 0] = root(rest_lo, rest_hi)
    twice_lo, twice_hi = inverse(2.0 * w[SLOPE, 0, 0], 2.0 * w[SLOPE, 1, 0])
    for j in range(1, order + 1):
        lo, hi = -w[SHARE, 1, j], -w[SHARE, 0, j]
        for k in range(1, j):
            p, q = mul(w[SLOPE, 0, k], w[SLOPE, 1, k], w[SLOPE, 0, j - k], w[SLOPE, 1, j - k])
            lo, hi = add(lo, hi, -q, -p)
        w[SLOPE, 0, j], w[SLOPE, 1, j] = mul(lo, hi, twice_lo, twice_hi)
    factor_lo, factor_hi = down(2.0 * w2 * b_lo), up(2.0 * w2 * b_hi)
    factor_lo, factor_hi = down(factor_lo / next_b_hi), up(factor_hi / next_b_lo)
    factor_lo, factor_hi = root(down(factor_lo), up(factor_hi))
    for j in range(order + 1):
        w[SLOPE, 0, j], w[SLOPE, 1, j] = mul(w[SLOPE, 0, j], w[SLOPE, 1, j], factor_lo, factor_hi)
    return next_a_lo, next_a_hi, next_g_lo, next_g_hi, next_b_lo, next_b_hi


@njit(error_model="numpy")
def start_jets(
    w: Any,
    b2: Any,
    alpha_lo: Any,
    alpha_hi: Any,
    t_lo: Any,
    t_hi: Any,
    a_lo: Any,
    a_hi: Any,
    g_lo: Any,
    g_hi: Any,
    h: Any,
    kappa: Any,
    b_lo: Any,
    b_hi: Any,
    order: int,
) -> None:
    """Jet of c_0, row COS: affine in x, and in y a sum of two powers of a."""
    s_lo, s_hi = affine_part(alpha_lo, alpha_hi, b2, t_lo, t_hi, kappa)
    root_lo, root_hi = root(b_lo, b_hi)
    norm_lo, norm_hi = inverse(root_lo, root_hi)
    step_lo, step_hi = mul(alpha_lo, alpha_hi, h, h)
    part_lo, part_hi = mul(a_lo, a_hi, kappa, kappa)
    power_of_affine(w, OFFSET, a_lo, a_hi, g_lo, g_hi, 0, order)
    for place in range(SIZES[order]):
        w[COS, 0, place], w[COS, 1, place] = 0.0, 0.0
    for j in range(order + 1):
        size_lo, size_hi = mul(w[OFFSET, 0, j], w[OFFSET, 1, j], norm_lo, norm_hi)
        if j > 0:
            odd = 2.0 * j - 1.0
            lo, hi = add(s_lo, s_hi, down(-part_hi / odd), up(-part_lo / odd))
            w[COS, 0, AT[0, j]], w[COS, 1, AT[0, j]] = mul(size_lo, size_hi, lo, hi)
        if j < order:
            w[COS, 0, AT[1, j]], w[COS, 1, AT[1, j]] = mul(size_lo, size_hi, step_lo, step_hi)
    w[COS, 0, 0], w[COS, 1, 0] = first_cosine(a_lo, a_hi, s_lo, s_hi, kappa, b_lo, b_hi)


@njit(error_model="numpy")
def enclose(
    w: Any,
    hidden: int,
    net: Any,
    t_lo: Any,
    t_hi: Any,
    q_lo: Any,
    q_hi: Any,
    h: Any,
    g: Any,
    kappa: Any,
    b_lo: Any,
    b_hi: Any,
    cosine: Any,
    order: int,
) -> bool:
    """Jet of Θ over t in [t_lo, t_hi], q in [q_lo, q_hi], where c_0 ≤ ``cosine``; row THETA.

    Args:
        w: workspace.
        hidden: activations L.
        net: σ_w², σ_b², bounds of α = σ_w²/d.
        t_lo: least t.
        t_hi: largest t.
        q_lo: least q; α q + β must be positive.
        q_hi: largest q.
        h: unit of x.
        g: unit of y.
        kappa: κ.
        b_lo: bound of b_0 from below.
        b_hi: from above.
        cosine: bound of c_0.
        order: of the jet.

    Returns:
        Whether all coefficients are enclosed; else the first one only: the values of Θ.
    """
    w2, b2, alpha_lo, alpha_hi = net[0], net[1], net[2], net[3]
    a_lo, a_hi = down(down(alpha_lo * q_lo) + b2), up(up(alpha_hi * q_hi) + b2)
    g_lo, g_hi = down(alpha_lo * g), up(alpha_hi * g)
    start_jets(w, b2, alpha_lo, alpha_hi, t_lo, t_hi, a_lo, a_hi, g_lo, g_hi, h, kappa, b_lo, b_hi, order)
    w[COS, 1, 0] = min(w[COS, 1, 0], cosine)
    smooth = True
    for place in range(SIZES[order]):
        w[THETA, 0, place], w[THETA, 1, place] = w[COS, 0, place], w[COS, 1, place]
    for _ in range(hidden):
        hi = max(min(w[COS, 1, 0], 1.0), -1.0)
        lo = max(min(w[COS, 0, 0], hi), -1.0)
        smooth = smooth and hi <= 1.0 - GUARD and lo >= -1.0 + GUARD
        w[COS, 0, 0], w[COS, 1, 0] = lo, hi
        derivatives(w, lo, hi)
        a_lo, a_hi, g_lo, g_hi, b_lo, b_hi = next_layer(w, w2, b2, a_lo, a_hi, g_lo, g_hi, b_lo, b_hi, order)
        used = order if smooth else 0
        if smooth:
            compose(w, order)
        else:
            for side in range(2):
                w[FIRST, side, 0] = w[DERIVATIVE, side, 0]
                w[ZEROTH, side, 0] = w[DERIVATIVE, side, 1]
        multiply_by_y(w, FIRST, SLOPE, COS, used)
        multiply(w, ZEROTH, THETA, SPARE, used, True)
        multiply_by_y(w, SPARE, SLOPE, THETA, used)
        for j in range(used + 1):
            place = AT[0, j]
            w[COS, 0, place], w[COS, 1, place] = add(
                w[COS, 0, place], w[COS, 1, place], w[OFFSET, 0, j], w[OFFSET, 1, j]
            )
        for place in range(SIZES[used]):
            w[THETA, 0, place], w[THETA, 1, place] = add(
                w[THETA, 0, place], w[THETA, 1, place], w[COS, 0, place], w[COS, 1, place]
            )
    used = order if smooth else 0
    power_of_affine(w, SLOPE, a_lo, a_hi, g_lo, g_hi, 1, used)
    root_lo, root_hi = root(b_lo, b_hi)
    for j in range(used + 1):
        w[SLOPE, 0, j], w[SLOPE, 1, j] = mul(w[SLOPE, 0, j], w[SLOPE, 1, j], root_lo, root_hi)
    multiply_by_y(w, THETA, SLOPE, SPARE, used)
    for place in range(SIZES[used]):
        w[THETA, 0, place], w[THETA, 1, place] = w[SPARE, 0, place], w[SPARE, 1, place]
    return smooth
