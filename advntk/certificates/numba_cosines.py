"""Bounds of the arc-cosine kernels, and of the cosine before the first activation."""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from advntk.certificates.numba_intervals import ONE_OVER_2_PI, add, down, inverse, mul, root, up

ARCCOS_ERROR = 2e-15
"""Bound on the error of the C library's arccos: 4 ulp of π. (glibc documents 1 ulp.)"""


@njit(error_model="numpy")
def one_minus_square(c: Any) -> Any:
    """1 − c² of a float in [−1, 1], as (1 − c)(1 + c): relative precision near the ends."""
    lo, hi = mul(down(1.0 - c), up(1.0 - c), down(1.0 + c), up(1.0 + c))
    return max(lo, 0.0), hi


@njit(error_model="numpy")
def arc_cosine_kernels(c: Any) -> Any:
    """k₁(c) = (√(1 − c²) + (π − arccos c) c)/2π and k₀(c) = k₁′(c) = (π − arccos c)/2π of a float in [−1, 1].

    Args:
        c: cosine.

    Returns:
        Bounds of k₁, then of k₀.
    """
    opposite = math.pi - math.acos(c)
    low, high = max(down(opposite - 2.0 * ARCCOS_ERROR), 0.0), up(opposite + 2.0 * ARCCOS_ERROR)
    square_lo, square_hi = one_minus_square(c)
    sine_lo, sine_hi = root(square_lo, square_hi)
    part_lo, part_hi = mul(low, high, c, c)
    sum_lo, sum_hi = add(max(sine_lo, 0.0), sine_hi, part_lo, part_hi)
    factor_lo, factor_hi = down(ONE_OVER_2_PI), up(ONE_OVER_2_PI)
    first_lo, first_hi = mul(sum_lo, sum_hi, factor_lo, factor_hi)
    zeroth_lo, zeroth_hi = mul(low, high, factor_lo, factor_hi)
    return first_lo, first_hi, zeroth_lo, zeroth_hi


@njit(error_model="numpy")
def affine_part(alpha_lo: Any, alpha_hi: Any, b2: Any, t_lo: Any, t_hi: Any, kappa: Any) -> Any:
    """A = α t + β (1 − κ) for t in an interval."""
    lo, hi = mul(alpha_lo, alpha_hi, t_lo, t_hi)
    rest_lo, rest_hi = mul(down(1.0 - kappa), up(1.0 - kappa), b2, b2)
    return add(lo, hi, rest_lo, rest_hi)


@njit(error_model="numpy")
def cosine_at(a: Any, slope_lo: Any, slope_hi: Any, kappa: Any) -> Any:
    """(A + κ a)/√a at one a, for A in an interval."""
    part_lo, part_hi = mul(kappa, kappa, a, a)
    sum_lo, sum_hi = add(slope_lo, slope_hi, part_lo, part_hi)
    root_lo, root_hi = root(a, a)
    inverse_lo, inverse_hi = inverse(root_lo, root_hi)
    return mul(sum_lo, sum_hi, inverse_lo, inverse_hi)


@njit(error_model="numpy")
def first_cosine(a_lo: Any, a_hi: Any, s_lo: Any, s_hi: Any, kappa: Any, b_lo: Any, b_hi: Any) -> Any:
    """Range of c_0 over a in [a_lo, a_hi] and A in [s_lo, s_hi].

    c_0 rises with A, and at fixed A it is extreme in a at the ends or at A/κ, where it is ±2√(Aκ/b).

    Returns:
        Lower and upper bound.
    """
    lo, hi = cosine_at(a_lo, s_lo, s_hi, kappa)
    other_lo, other_hi = cosine_at(a_hi, s_lo, s_hi, kappa)
    lo, hi = min(lo, other_lo), max(hi, other_hi)
    slack = 1e-12 * abs(kappa) * a_hi
    if kappa > 0.0 and s_lo > 0.0 and kappa * a_lo - slack <= s_lo and s_lo <= kappa * a_hi + slack:
        lo = min(lo, 2.0 * down(math.sqrt(down(s_lo * kappa))))
    if kappa < 0.0 and s_hi < 0.0 and -kappa * a_lo - slack <= -s_hi and -s_hi <= -kappa * a_hi + slack:
        hi = max(hi, -2.0 * down(math.sqrt(down(s_hi * kappa))))
    root_lo, root_hi = root(b_lo, b_hi)
    inverse_lo, inverse_hi = inverse(root_lo, root_hi)
    return mul(lo, hi, inverse_lo, inverse_hi)
