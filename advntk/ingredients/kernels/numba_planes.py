"""Loops of the ReLU CNN kernel, in rows of LANES training images (:mod:`numba_lanes`).

``box`` is the zero-padded 3×3 sum, w9 = σ_w²/9:

    D₁ = (w9/C) box(Σ_ch (x − x')²),  D_{l+1} = w9 box(D'_l),  T_{l+1} = w9 box(κ_l T_l) + K_{l+1},  T₁ = K₁
    Θ  = σ_w²/(HW) Σ_pixels (F_L + κ_L T_L) + σ_b²

All layers go down the image together, each one row behind the layer before, so that whatever passes between them is
still in the first-level cache: a stage hands on the horizontal sums of its last three rows (``rings``), and the next
stage adds those three. Stage 0 is the input, stage l the l-th activation, stage L the readout; in the pullback stages
L + 1 … 2L go back from the readout to the input.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from advntk.ingredients.kernels.numba_cache import compiled
from advntk.ingredients.kernels.numba_lanes import LANES, gather, input_row, spread
from advntk.ingredients.kernels.numba_math import (
    FAST,
    HALF,
    ONE,
    QUARTER,
    TWO,
    ZERO,
    aligned_rows,
    relu_slopes,
    relu_step,
)


@compiled(fastmath=FAST)
def _hand_on(here: Any, rings: Any, stage: int, row: int) -> None:
    """Horizontal sums of ``here`` (2, (W + 2) · LANES), whose outer pixels are zero, → the ring of ``stage``."""
    size = rings.shape[3]
    slot = row % 3
    for k in range(size):
        rings[stage, 0, slot, k] = here[0, k] + here[0, k + LANES] + here[0, k + 2 * LANES]
        rings[stage, 1, slot, k] = here[1, k] + here[1, k + LANES] + here[1, k + 2 * LANES]
    if row == 0:
        _hand_on_nothing(rings, stage, 2)


@compiled(fastmath=FAST)
def _hand_on_nothing(rings: Any, stage: int, row: int) -> None:
    """A row outside of the image."""
    slot = row % 3
    for k in range(rings.shape[3]):
        rings[stage, 0, slot, k] = ZERO
        rings[stage, 1, slot, k] = ZERO


@compiled(fastmath=FAST)
def _layer(
    rings: Any, stage: int, here: Any, lines: Any, sa: Any, ia: Any, sb: Any, ib: Any, i: int, j: int, row: int, w9: Any
) -> None:
    """Row of (w9 D', w9 κT) of one activation."""
    layer, before = stage - 1, stage - 1
    spread(sa, i, layer, row, lines, 0)
    spread(ia, i, layer, row, lines, 1)
    half = HALF * w9
    for k in range(lines.shape[1]):
        distance = rings[before, 0, 0, k] + rings[before, 0, 1, k] + rings[before, 0, 2, k]
        tangent = rings[before, 1, 0, k] + rings[before, 1, 1, k] + rings[before, 1, 2, k]
        inverse = lines[1, k] * ib[j, layer, row, k]
        square, product, g, tau, covariance = relu_step(distance, lines[0, k], sb[j, layer, row, k], inverse)
        here[0, k + LANES] = half * square + (w9 * product) * g
        here[1, k + LANES] = (half - half * tau) * (tangent + covariance)


@compiled(fastmath=FAST)
def _readout(
    rings: Any, stage: int, column: Any, lines: Any, sa: Any, ia: Any, sb: Any, ib: Any, i: int, j: int, row: int
) -> None:
    """Add a row of 2 (F + κT) of the last activation to ``column``."""
    layer, before = stage - 1, stage - 1
    spread(sa, i, layer, row, lines, 0)
    spread(ia, i, layer, row, lines, 1)
    for k in range(lines.shape[1]):
        distance = rings[before, 0, 0, k] + rings[before, 0, 1, k] + rings[before, 0, 2, k]
        tangent = rings[before, 1, 0, k] + rings[before, 1, 1, k] + rings[before, 1, 2, k]
        inverse = lines[1, k] * ib[j, layer, row, k]
        _, product, g, tau, covariance = relu_step(distance, lines[0, k], sb[j, layer, row, k], inverse)
        column[k] += product * (ONE - g) + (ONE - tau) * (tangent + covariance)


@compiled(parallel=True, fastmath=FAST)
def theta_blocks(xa: Any, sa: Any, ia: Any, xb: Any, sb: Any, ib: Any, w2: Any, b2: Any, above: int, out: Any) -> None:
    """Θ of images and blocks of training images.

    Args:
        xa: images − 0.5, (m, C, H, W).
        sa: s_a of every layer, (m, L, H, W).
        ia: 1/s_a.
        xb: training images − 0.5, (blocks, C, H, W · LANES).
        sb: s_b of every layer, (blocks, L, H, W · LANES).
        ib: 1/(2 s_b).
        w2: σ_w².
        b2: σ_b².
        above: images before the first block of training images; a block meets those before it, and its own number.
        out: Θ, (m, blocks · LANES), filled.
    """
    images, depth, height, width = sa.shape
    blocks, size = xb.shape[0], width * LANES
    w9 = w2 / np.float32(9)
    first = w9 / np.float32(xa.shape[1])
    scale = HALF * w2 / np.float32(height * width)
    for task in prange(blocks):
        j = task // 2 if task % 2 == 0 else blocks - 1 - task // 2  # short and long columns take turns
        rings = aligned_rows(depth * 6, size).reshape((depth, 2, 3, size))
        here = aligned_rows(2, size + 2 * LANES)
        lines = aligned_rows(2, size)
        column = np.zeros(size, np.float32)
        for i in range(min(images, above + (j + 1) * LANES)):
            column[:] = ZERO
            for tick in range(height + depth):
                for stage in range(max(0, tick - height), min(tick, depth) + 1):
                    row = tick - stage
                    if row == height:
                        _hand_on_nothing(rings, stage, row)
                    elif stage == depth:
                        _readout(rings, stage, column, lines, sa, ia, sb, ib, i, j, row)
                    else:
                        if stage == 0:
                            input_row(xa, xb, i, j, row, here, lines, first)
                        else:
                            _layer(rings, stage, here, lines, sa, ia, sb, ib, i, j, row, w9)
                        _hand_on(here, rings, stage, row)
            for k in range(LANES):
                total = ZERO
                for c in range(width):
                    total += column[c * LANES + k]
                out[i, j * LANES + k] = scale * total + b2


@compiled(fastmath=FAST)
def _layer_with_slopes(
    rings: Any,
    stage: int,
    here: Any,
    lines: Any,
    sa: Any,
    ia: Any,
    sb: Any,
    ib: Any,
    i: int,
    j: int,
    row: int,
    w9: Any,
    slopes: Any,
    step: Any,
) -> None:
    """As :func:`_layer`; also fills a row of ``slopes`` (L − 1, 4, H, W · LANES).

    Those are step · κ, step · (T ∂κ/∂D − κ/2), ∂D'/∂a and T ∂κ/∂a + κ/2, with ``step`` the factor of the box sum
    before the layer.
    """
    layer, before = stage - 1, stage - 1
    spread(sa, i, layer, row, lines, 0)
    spread(ia, i, layer, row, lines, 1)
    half = HALF * w9
    for k in range(lines.shape[1]):
        distance = rings[before, 0, 0, k] + rings[before, 0, 1, k] + rings[before, 0, 2, k]
        tangent = rings[before, 1, 0, k] + rings[before, 1, 1, k] + rings[before, 1, 2, k]
        inverse = lines[1, k] * ib[j, layer, row, k]
        square, product, g, tau, covariance, kappa_d, kappa_a, after_a = relu_slopes(
            distance, lines[0, k], sb[j, layer, row, k], lines[1, k], inverse
        )
        tangent += covariance
        kappa = HALF - HALF * tau
        here[0, k + LANES] = half * square + (w9 * product) * g
        here[1, k + LANES] = w9 * kappa * tangent
        slopes[layer, 0, row, k] = step * kappa
        slopes[layer, 1, row, k] = step * (tangent * kappa_d - HALF * kappa)
        slopes[layer, 2, row, k] = after_a
        slopes[layer, 3, row, k] = tangent * kappa_a + HALF * kappa


@compiled(fastmath=FAST)
def _readout_pullback(
    rings: Any,
    stage: int,
    here: Any,
    lines: Any,
    sa: Any,
    ia: Any,
    sb: Any,
    ib: Any,
    i: int,
    j: int,
    row: int,
    step: Any,
    weight: Any,
    by_a: Any,
) -> None:
    """Start of the reverse sweep: a row of step · the adjoints of D_L and of the tangent that came in.

    ``weight`` (W · LANES,) is the cotangent of Θ times σ_w²/(HW), the same for every pixel; the adjoint of a_L is added
    to ``by_a`` (L, H, W · LANES), by lane.
    """
    layer, before = stage - 1, stage - 1
    spread(sa, i, layer, row, lines, 0)
    spread(ia, i, layer, row, lines, 1)
    for k in range(lines.shape[1]):
        distance = rings[before, 0, 0, k] + rings[before, 0, 1, k] + rings[before, 0, 2, k]
        tangent = rings[before, 1, 0, k] + rings[before, 1, 1, k] + rings[before, 1, 2, k]
        inverse = lines[1, k] * ib[j, layer, row, k]
        _, _, _, tau, covariance, kappa_d, kappa_a, after_a = relu_slopes(
            distance, lines[0, k], sb[j, layer, row, k], lines[1, k], inverse
        )
        tangent += covariance
        kappa = HALF - HALF * tau
        w = weight[k]
        by_a[layer, row, k] += w * (QUARTER - HALF * after_a + tangent * kappa_a + HALF * kappa)
        w *= step
        here[0, k + LANES] = w * (tangent * kappa_d - kappa)
        here[1, k + LANES] = w * kappa


@compiled(fastmath=FAST)
def _layer_pullback(rings: Any, stage: int, here: Any, slopes: Any, layer: int, row: int, by_a: Any) -> None:
    """Reverse of :func:`_layer`: a row of the adjoints of (D', κT) → step · those of what came in."""
    before = stage - 1
    for k in range(slopes.shape[3]):
        dist_bar = rings[before, 0, 0, k] + rings[before, 0, 1, k] + rings[before, 0, 2, k]
        tang_bar = rings[before, 1, 0, k] + rings[before, 1, 1, k] + rings[before, 1, 2, k]
        by_a[layer, row, k] += dist_bar * slopes[layer, 2, row, k] + tang_bar * slopes[layer, 3, row, k]
        here[0, k + LANES] = slopes[layer, 0, row, k] * dist_bar + slopes[layer, 1, row, k] * tang_bar
        here[1, k + LANES] = slopes[layer, 0, row, k] * tang_bar


@compiled(fastmath=FAST)
def _input_pullback(rings: Any, stage: int, xa: Any, xb: Any, i: int, j: int, row: int, lines: Any, by_x: Any) -> None:
    """Add a row of D̄₀ (x − x') to the gradient of one image by lane, (C, H, W · LANES)."""
    before = stage - 1
    for k in range(lines.shape[1]):
        lines[1, k] = rings[before, 0, 0, k] + rings[before, 0, 1, k] + rings[before, 0, 2, k]
    for channel in range(xa.shape[1]):
        spread(xa, i, channel, row, lines, 0)
        for k in range(lines.shape[1]):
            by_x[channel, row, k] += lines[1, k] * (lines[0, k] - xb[j, channel, row, k])


@compiled(parallel=True, fastmath=FAST)
def pullback_blocks(
    xa: Any, sa: Any, ia: Any, xb: Any, sb: Any, ib: Any, w2: Any, cotangent: Any, gradient: Any, by_a: Any
) -> None:
    """Pull a cotangent of Θ back to the images, the part through the variances a_l left to the caller.

    Args:
        xa: images − 0.5, (m, C, H, W).
        sa: s_a of every layer, (m, L, H, W).
        ia: 1/s_a.
        xb: training images − 0.5, (blocks, C, H, W · LANES).
        sb: s_b of every layer, (blocks, L, H, W · LANES).
        ib: 1/(2 s_b).
        w2: σ_w².
        cotangent: ∂loss/∂Θ, (m, blocks · LANES); blocks of zeros cost nothing.
        gradient: Σ_j of the part through D, (m, C, H, W), added to.
        by_a: Σ_j of the adjoints of a_l, (m, L, H, W), added to.
    """
    images, depth, height, width = sa.shape
    channels, size = xa.shape[1], width * LANES
    w9 = w2 / np.float32(9)
    first = w9 / np.float32(channels)
    scale = w2 / np.float32(height * width)
    for i in prange(images):
        rings = aligned_rows(2 * depth * 6, size).reshape((2 * depth, 2, 3, size))
        here = aligned_rows(2, size + 2 * LANES)
        lines = aligned_rows(2, size)
        weight = np.empty(size, np.float32)
        lanes_a = aligned_rows(depth * height, size).reshape((depth, height, size))
        lanes_x = aligned_rows(channels * height, size).reshape((channels, height, size))
        slopes = aligned_rows((depth - 1) * 4 * height, size).reshape((depth - 1, 4, height, size))
        for j in range(xb.shape[0]):
            lanes = cotangent[i, j * LANES : (j + 1) * LANES]
            if not np.any(lanes):
                continue
            for c in range(width):
                weight[c * LANES : (c + 1) * LANES] = scale * lanes
            for tick in range(height + 2 * depth):
                for stage in range(max(0, tick - height), min(tick, 2 * depth) + 1):
                    row = tick - stage
                    if row == height:
                        _hand_on_nothing(rings, stage, row)
                        continue
                    if stage == 2 * depth:
                        _input_pullback(rings, stage, xa, xb, i, j, row, lines, lanes_x)
                        continue
                    if stage == 0:
                        input_row(xa, xb, i, j, row, here, lines, first)
                    elif stage < depth:
                        step = w9 if stage > 1 else first
                        _layer_with_slopes(rings, stage, here, lines, sa, ia, sb, ib, i, j, row, w9, slopes, step)
                    elif stage == depth:
                        step = w9 if depth > 1 else first
                        _readout_pullback(rings, stage, here, lines, sa, ia, sb, ib, i, j, row, step, weight, lanes_a)
                    else:
                        _layer_pullback(rings, stage, here, slopes, 2 * depth - 1 - stage, row, lanes_a)
                    _hand_on(here, rings, stage, row)
        for layer in range(depth):
            gather(lanes_a[layer], by_a[i, layer], ONE)
        for channel in range(channels):
            gather(lanes_x[channel], gradient[i, channel], TWO)
