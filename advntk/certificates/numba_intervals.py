"""Interval arithmetic with outward rounding.

IEEE operations round to the nearest: fl(a ∘ b) is within half an ulp of a ∘ b. One step outwards, by at least that
much, therefore gives a bound. An interval is two floats, and stays an enclosure through every function here.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

STEP = 2.0**-52
"""Relative step outwards: between one and two ulp."""
TINY = 1e-100
"""Absolute step outwards, for results that underflow. A smaller one makes products denormal, four times slower."""
ONE_OVER_2_PI = 0.15915494309189535
"""1/2π to one ulp."""


@njit(error_model="numpy")
def down(x: Any) -> Any:
    """A lower bound of the exact result that was rounded to ``x``."""
    return x - (abs(x) * STEP + TINY)


@njit(error_model="numpy")
def up(x: Any) -> Any:
    """An upper bound of the exact result that was rounded to ``x``."""
    return x + (abs(x) * STEP + TINY)


@njit(error_model="numpy")
def add(a_lo: Any, a_hi: Any, b_lo: Any, b_hi: Any) -> Any:
    """Sum of two intervals."""
    return down(a_lo + b_lo), up(a_hi + b_hi)


@njit(error_model="numpy")
def mul(a_lo: Any, a_hi: Any, b_lo: Any, b_hi: Any) -> Any:
    """Product of two intervals."""
    p, q, r, s = a_lo * b_lo, a_lo * b_hi, a_hi * b_lo, a_hi * b_hi
    return down(min(min(p, q), min(r, s))), up(max(max(p, q), max(r, s)))


@njit(error_model="numpy")
def inverse(a_lo: Any, a_hi: Any) -> Any:
    """1/a of a positive interval."""
    return down(1.0 / a_hi), up(1.0 / a_lo)


@njit(error_model="numpy")
def root(a_lo: Any, a_hi: Any) -> Any:
    """√a of a non-negative interval."""
    return down(math.sqrt(a_lo)), up(math.sqrt(a_hi))
