"""Arithmetic shared by the numba kernels of ReLU networks, in a form that stays accurate for equal inputs.

A pair of inputs with pre-activation variances a, b and covariance K is carried as its distance D = a + b − 2K, the
variance of the difference, and not as K: D is a sum of squares at the input, hence small without cancellation where
two inputs (or only two patches of them) nearly agree. With s_a = √a, s_b = √b, p = s_a s_b and θ the angle:

    y  = 1 − cos θ = (D − (s_a − s_b)²) / 2p
    s  = sin θ = √(y (2 − y)),  τ = θ/π,  K = p (1 − y)
    κ  = (1 − τ)/2 = ∂F/∂K                               arc-cosine kernel of order 0, halved
    F  = ½ p (1 − g),  g = y + τ (1 − y) − s/π           order 1, halved: covariance after ReLU
    D' = a/2 + b/2 − 2F = ½(s_a − s_b)² + p g

The angle needs one square root and one polynomial in min(y, 2 − y) ∈ [0, 1]. Nothing is divided: 1/2p is a product of
what is known of each input alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from advntk.ingredients.kernels.numba_cache import compiled
from advntk.ingredients.kernels.numba_target import use_wide_vectors

use_wide_vectors()  # before the first kernel is compiled

FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}
"""Fast-math flags that allow vectorised reductions but keep comparisons with infinity and NaN meaningful."""

HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
ZERO = np.float32(0.0)
QUARTER = np.float32(0.25)
TINY = np.float32(1e-30)
INVERSE_2_PI = np.float32(0.5 / math.pi)
SINE_FLOOR = np.float32(6e-7)
"""Below this sin θ the angle's derivative counts as zero: equal inputs, where it does not exist."""

P0 = np.float32(1 / math.pi)
# (θ/(π sin θ) − 1/π) / y in y = 1 − cos θ on [0, 1]: least largest relative error of g, 1.4e-8; that of τ is 1e-8.
# An error of g is the same for all pixels of a deep layer, and would add up over the layers.
_ARC = [0.106103472, 0.0424316004, 0.0183458235, 0.00693987682, 0.00815632939, -0.00842169113, 0.0141092092]
_ARC += [-0.00929952133, 0.0033250039]
P1, P2, P3, P4, P5, P6, P7, P8, P9 = (np.float32(value) for value in _ARC)


def inverse_of(deviations: np.ndarray) -> np.ndarray:
    """1/s, and 0 where s = 0: an input without variance then counts as parallel to all others."""
    out = np.zeros_like(deviations)
    np.divide(1, deviations, out=out, where=deviations > 0)
    return out


@njit(fastmath=FAST, forceinline=True, error_model="numpy")
def half_inverse_of(product: Any) -> Any:
    """1/2p, and 0 where p = s_a s_b is none."""
    return HALF / product if product > TINY else ZERO


@njit(fastmath=FAST, forceinline=True)
def versine(distance: Any, sa: Any, sb: Any, half_inverse: Any) -> Any:
    """The y = 1 − cos θ ∈ [0, 2] of D, s_a, s_b and 1/2p, and beside it s_a − s_b."""
    gap = sa - sb
    return min(max((distance - gap * gap) * half_inverse, ZERO), TWO), gap


@njit(fastmath=FAST, forceinline=True)
def angle(y: Any) -> Any:
    """Angle terms of y = 1 − cos θ.

    Args:
        y: ∈ [0, 2].

    Returns:
        s = sin θ, never quite zero, and τ = θ/π, with absolute errors below 1e-7, and g, with a relative one: with
        τ = s (1/π + m q) or 1 − s (1/π + m q), g is min(y, 1) + s m (q (1 − m) − 1/π), where little cancels.
    """
    other = TWO - y
    m = min(y, other)
    sine = math.sqrt(y * other + TINY)
    q = P1 + m * (P2 + m * (P3 + m * (P4 + m * (P5 + m * (P6 + m * (P7 + m * (P8 + m * P9)))))))
    arc = sine * (P0 + m * q)
    tau = arc if y <= ONE else ONE - arc
    return sine, tau, min(y, ONE) + sine * m * (q * (ONE - m) - P0)


@njit(fastmath=FAST, forceinline=True)
def relu_step(distance: Any, sa: Any, sb: Any, half_inverse: Any) -> Any:
    """One ReLU on a pair.

    Args:
        distance: D before the activation.
        sa: s_a, standard deviation of the first input.
        sb: s_b, that of the second.
        half_inverse: 1/(2 s_a s_b), or 0 where one of them is.

    Returns:
        (s_a − s_b)², p, g, τ and K.
    """
    y, gap = versine(distance, sa, sb, half_inverse)
    product = sa * sb
    _, tau, g = angle(y)
    return gap * gap, product, g, tau, product * (ONE - y)


@njit(fastmath=FAST, forceinline=True, error_model="numpy")
def relu_slopes(distance: Any, sa: Any, sb: Any, inverse_a: Any, half_inverse: Any) -> Any:
    """One ReLU on a pair, and its derivatives by D and by a = s_a², at the other one fixed (∂D'/∂D = κ).

    ∂κ/∂D = −1 / (4π p s), ∂κ/∂a = ((s_a − s_b) + y s_b) / (s_a · 4π p s), ∂D'/∂a = τ/2 − s s_b/(2π s_a). Where the
    angle has no derivative the first two are zero; an input without variance is at right angles to all others.

    Args:
        distance: D before the activation.
        sa: s_a.
        sb: s_b.
        inverse_a: 1/s_a, or 0 where s_a = 0.
        half_inverse: 1/(2 s_a s_b), or 0 where one of them is.

    Returns:
        (s_a − s_b)², p, g, τ, K, ∂κ/∂D, ∂κ/∂a and ∂D'/∂a.
    """
    y, gap = versine(distance, sa, sb, half_inverse)
    product = sa * sb
    y = y if product > TINY else ONE
    sine, tau, g = angle(y)
    steep = INVERSE_2_PI * half_inverse / sine if sine > SINE_FLOOR else ZERO
    by_variance = steep * (gap + y * sb) * inverse_a
    after_a = HALF * tau - INVERSE_2_PI * sine * (sb * inverse_a)
    return gap * gap, product, g, tau, product * (ONE - y), -steep, by_variance, after_a


@compiled()
def aligned_rows(rows: int, size: int) -> Any:
    """Zeros (rows, size), float32, from a multiple of 64 bytes on: no vector then lies across two cache lines."""
    flat = np.zeros(rows * size + 16, np.float32)
    start = -(flat.ctypes.data // 4) % 16
    return flat[start : start + rows * size].reshape((rows, size))


@compiled(parallel=True)
def mirror_upper(matrix: Any) -> None:
    """Copy the upper triangle of a square matrix onto the lower one, by square blocks."""
    n = matrix.shape[0]
    size = 64
    blocks = (n + size - 1) // size
    for task in prange(blocks):
        block = task // 2 if task % 2 == 0 else blocks - 1 - task // 2  # short and long rows take turns
        for first in range(0, (block + 1) * size, size):
            for i in range(block * size, min((block + 1) * size, n)):
                for j in range(first, min(first + size, i)):
                    matrix[i, j] = matrix[j, i]


@compiled(parallel=True, fastmath=FAST)
def project(theta: Any, coef: Any, out: Any) -> None:
    """Fill out = Θ coefᵀ (m, c) from Θ (m, n) and coef (c, n), summed in float64.

    Not BLAS: after a product its idle threads spin for 25 ms, and slow the numba loop that follows by a half.
    """
    for i in prange(theta.shape[0]):
        for k in range(coef.shape[0]):
            total = 0.0
            for j in range(theta.shape[1]):
                total += np.float64(theta[i, j]) * np.float64(coef[k, j])
            out[i, k] = total


@compiled(parallel=True, fastmath=FAST)
def expand(slope: Any, coef: Any, out: Any) -> None:
    """Fill out = slope coef (m, n) from slope (m, c) and coef (c, n); see :func:`project`."""
    for i in prange(slope.shape[0]):
        for j in range(coef.shape[1]):
            out[i, j] = ZERO
        for k in range(coef.shape[0]):
            factor = slope[i, k]
            for j in range(coef.shape[1]):
                out[i, j] += factor * coef[k, j]
