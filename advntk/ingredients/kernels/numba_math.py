"""Arithmetic shared by the numba kernels of ReLU networks, in a form that stays accurate for equal inputs.

A pair of inputs with pre-activation variances a, b and covariance K is carried as its distance D = a + b − 2K, the
variance of the difference, and not as K: D is a sum of squares at the input, hence small without cancellation where
two inputs (or only two patches of them) nearly agree. With s_a = √a, s_b = √b and θ the angle, c = cos θ:

    z  = sin²(θ/2) = (D − (s_a − s_b)²) / (4 s_a s_b)
    κ  = (π − θ) / 2π = ∂F/∂K                                  arc-cosine kernel of order 0, halved
    F  = s_a s_b (sin θ + (π − θ) c) / 2π                       order 1, halved: covariance after ReLU
    D' = a/2 + b/2 − 2F = ½(s_a − s_b)² + 2 s_a s_b (2 z κ + φ − σ)   with φ = θ/2π, σ = sin θ / 2π

The angle needs one square root and two polynomials in min(z, 1 − z) ∈ [0, ½].
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, prange

from advntk.ingredients.kernels.numba_cache import drop_stale

drop_stale(Path(__file__).parent)  # before the first kernel is looked up

FAST = {"reassoc", "contract", "nsz", "arcp", "afn"}
"""Fast-math flags that allow vectorised reductions but keep comparisons with infinity and NaN meaningful."""

HALF = np.float32(0.5)
ONE = np.float32(1.0)
TWO = np.float32(2.0)
ZERO = np.float32(0.0)
QUARTER = np.float32(0.25)
TINY = np.float32(1e-30)
INVERSE_8_PI_SQUARED = np.float32(1 / (8 * math.pi**2))
ANGLE_FLOOR = np.float32(1e-7)
"""Below this sin θ / 2π the angle's derivative counts as zero: equal inputs, where it does not exist."""

# asin(√m)/(π√m) and √(1 − m)/π on [0, ½]: Chebyshev interpolation, relative error 1.6e-8 and 2.7e-8
_ARC = [0.31830988, 0.05305269, 0.02383137, 0.01484477, 0.00503818, 0.02490104, -0.02993586, 0.03563826]
_SINE = [0.31830989, -0.15915609, -0.03974266, -0.02059309, -0.00732887, -0.02831603, 0.03264736, -0.03969881]
P0, P1, P2, P3, P4, P5, P6, P7 = (np.float32(value) for value in _ARC)
S0, S1, S2, S3, S4, S5, S6, S7 = (np.float32(value) for value in _SINE)


@njit(fastmath=FAST, forceinline=True)
def half_angle(z: Any) -> Any:
    """Angle terms of sin²(θ/2).

    Args:
        z: sin²(θ/2) ∈ [0, 1].

    Returns:
        φ = θ/2π ∈ [0, ½] and σ = sin θ / 2π, with absolute errors below 1e-7, both 0 at z = 0.
    """
    m = min(z, ONE - z)
    root = math.sqrt(m)
    arc = root * (P0 + m * (P1 + m * (P2 + m * (P3 + m * (P4 + m * (P5 + m * (P6 + m * P7)))))))
    sigma = root * (S0 + m * (S1 + m * (S2 + m * (S3 + m * (S4 + m * (S5 + m * (S6 + m * S7)))))))
    phi = arc if z <= HALF else HALF - arc
    return phi, sigma


@njit(fastmath=FAST, forceinline=True)
def sine_squared(distance: Any, product: Any, gap: Any) -> Any:
    """The z = sin²(θ/2) of D, s_a s_b and s_a − s_b; ½ (a right angle) where an input has no variance."""
    excess = max(distance - gap * gap, ZERO)
    z = min(QUARTER * excess / max(product, TINY), ONE)
    return z if product > TINY else HALF


@njit(fastmath=FAST, forceinline=True)
def relu_step(distance: Any, sa: Any, sb: Any) -> Any:
    """One ReLU on a pair.

    Args:
        distance: D before the activation.
        sa: s_a, standard deviation of the first input.
        sb: s_b, that of the second.

    Returns:
        D' after the activation, κ, φ, σ and z.
    """
    gap = sa - sb
    product = sa * sb
    z = sine_squared(distance, product, gap)
    phi, sigma = half_angle(z)
    kappa = HALF - phi
    after = HALF * gap * gap + TWO * product * (TWO * z * kappa + phi - sigma)
    return after, kappa, phi, sigma, z


@njit(fastmath=FAST, forceinline=True)
def relu_slopes(sa: Any, sb: Any, inverse_a: Any, phi: Any, sigma: Any, z: Any) -> Any:
    """Derivatives of one ReLU step by D and by a = s_a², at the other one fixed (∂D'/∂D = κ needs no work).

    ∂κ/∂D = −1 / (8π² p σ), ∂κ/∂a = ((s_a − s_b) + 2 z s_b) / (s_a · 8π² p σ), ∂D'/∂a = φ − σ s_b/s_a, p = s_a s_b.

    Args:
        sa: s_a.
        sb: s_b.
        inverse_a: 1/s_a, or anything finite where s_a = 0 (the divider is what these loops wait for).
        phi: φ.
        sigma: σ.
        z: sin²(θ/2).

    Returns:
        ∂κ/∂D, ∂κ/∂a and ∂D'/∂a; zero where the angle has no derivative or an input no variance.
    """
    product = sa * sb
    smooth = (sigma > ANGLE_FLOOR) & (product > TINY)  # no `and`: a branch would keep the loop scalar
    steep = INVERSE_8_PI_SQUARED / max(product * sigma, TINY) if smooth else ZERO
    by_variance = steep * ((sa - sb) + TWO * z * sb) * inverse_a
    return -steep, by_variance, phi - sigma * sb * inverse_a if product > TINY else ZERO


@njit(cache=True, parallel=True)
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


@njit(cache=True, parallel=True, fastmath=FAST)
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


@njit(cache=True, parallel=True, fastmath=FAST)
def expand(slope: Any, coef: Any, out: Any) -> None:
    """Fill out = slope coef (m, n) from slope (m, c) and coef (c, n); see :func:`project`."""
    for i in prange(slope.shape[0]):
        for j in range(coef.shape[1]):
            out[i, j] = ZERO
        for k in range(coef.shape[0]):
            factor = slope[i, k]
            for j in range(coef.shape[1]):
                out[i, j] += factor * coef[k, j]
