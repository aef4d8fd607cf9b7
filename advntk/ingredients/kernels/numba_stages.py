"""Loops of the kernel of ReLU networks with shortcuts, in rows of LANES training images (:mod:`numba_lanes`).

A stage is an activation and the convolution after it. Between stages two planes of rows are carried, the distance D and
U = T − K: both add where paths meet, and neither sees a bias. ``box`` is the zero-padded 3×3 sum, w9 = σ_w²/9:

    D₁ = (w9/C) box(Σ_ch (x − x')²),  U₁ = 0,  T = U + K
    D  → w9 box(D' + D₊) + D₋,  U → w9 box(κT + T₊) + U₋
    Θ  = σ_w²/(HW) Σ_pixels (F + κT) + σ_b²                    after the last activation

with ₊ the start of a shortcut with a convolution of its own, ₋ that of one without, where one ends here.

Each stage goes down the image by itself, row by row, so that what it holds on to, the horizontal sums of two rows
(``rings``), stays in the first-level cache, and the planes in the second. A ``program`` (4, L) says what to do
with L activations: where the planes of each activation's input are (:data:`PLACE`: 0, or 1 inside of a residual
block), where the shortcuts ₊ and ₋ that end at its stage start, or −1 (:data:`BEFORE`, :data:`AFTER`), and whether one
starts at its input (:data:`OPENS`).
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
    half_inverse_of,
    relu_slopes,
    relu_step,
    versine,
)

PLACE, BEFORE, AFTER, OPENS = 0, 1, 2, 3


@compiled(fastmath=FAST)
def _box_row(here: Any, rings: Any, row: int, keep: Any, planes: Any, to: int, at: int) -> None:
    """Take in a row of what is summed, and give the box sums of the row above it.

    Args:
        here: the row at ``row``, (2, (W + 2) · LANES); its outer pixels are zero.
        rings: horizontal sums of the row above it, and those plus the ones of the row above that, (2, 2, W · LANES).
        row: from 0 on.
        keep: the sums are added to this multiple of what there was.
        planes: where they go: row ``at`` of the planes ``to``; nowhere at the first row.
        to: see there.
        at: see there.
    """
    for part in range(2):
        if row == 0:
            for k in range(rings.shape[2]):
                total = here[part, k] + here[part, k + LANES] + here[part, k + 2 * LANES]
                rings[part, 0, k] = total
                rings[part, 1, k] = total
            continue
        for k in range(rings.shape[2]):
            total = here[part, k] + here[part, k + LANES] + here[part, k + 2 * LANES]
            box = total + rings[part, 1, k]
            planes[to, part, at, k] = keep * planes[to, part, at, k] + box
            rings[part, 1, k] = total + rings[part, 0, k]
            rings[part, 0, k] = total


@compiled(fastmath=FAST)
def _activate(
    planes: Any,
    at: int,
    stage: int,
    here: Any,
    lines: Any,
    sa: Any,
    sb: Any,
    i: int,
    j: int,
    row: int,
    w9: Any,
) -> None:
    """Row of (w9 D', w9 κT) of one activation, whose input is in the planes ``at``."""
    spread(sa, i, stage, row, lines, 0)
    half = HALF * w9
    for k in range(lines.shape[1]):
        inverse = half_inverse_of(lines[0, k] * sb[j, stage, row, k])
        square, product, g, tau, covariance = relu_step(
            planes[at, 0, row, k], lines[0, k], sb[j, stage, row, k], inverse
        )
        here[0, k + LANES] = half * square + (w9 * product) * g
        here[1, k + LANES] = (half - half * tau) * (planes[at, 1, row, k] + covariance)


@compiled(fastmath=FAST)
def _join(
    planes: Any, at: int, stage: int, here: Any, lines: Any, sa: Any, sb: Any, i: int, j: int, row: int, w9: Any
) -> None:
    """Add a row of (w9 D, w9 T) of the input of ``stage``, in the planes ``at``: where a shortcut ends."""
    spread(sa, i, stage, row, lines, 0)
    for k in range(lines.shape[1]):
        distance, product = planes[at, 0, row, k], lines[0, k] * sb[j, stage, row, k]
        y, _ = versine(distance, lines[0, k], sb[j, stage, row, k], half_inverse_of(product))
        here[0, k + LANES] += w9 * distance
        here[1, k + LANES] += w9 * (planes[at, 1, row, k] + product * (ONE - y))


@compiled(fastmath=FAST)
def _forward(
    planes: Any,
    place: Any,
    program: Any,
    rings: Any,
    here: Any,
    lines: Any,
    xa: Any,
    sa: Any,
    xb: Any,
    sb: Any,
    i: int,
    j: int,
    w9: Any,
) -> None:
    """Fill the planes of the input of every activation, at ``place`` (L,)."""
    depth, height = sa.shape[1], sa.shape[2]
    first = w9 / np.float32(xa.shape[1])
    for stage in range(-1, depth - 1):
        before = program[BEFORE, stage] if stage >= 0 else -1
        after = program[AFTER, stage] if stage >= 0 else -1
        keep, to = ZERO if after < 0 else ONE, place[stage + 1]
        for row in range(height + 1):
            if row == height:
                here[:] = ZERO
            elif stage < 0:
                input_row(xa, xb, i, j, row, here, lines, first)
            else:
                _activate(planes, place[stage], stage, here, lines, sa, sb, i, j, row, w9)
                if before >= 0:
                    _join(planes, place[before], before, here, lines, sa, sb, i, j, row, w9)
            if row > 0 and after >= 0 and place[after] != to:
                planes[to, :, row - 1, :] = planes[place[after], :, row - 1, :]
            _box_row(here, rings, row, keep, planes, to, row - 1)


@compiled(fastmath=FAST)
def _readout(
    planes: Any,
    column: Any,
    lines: Any,
    sa: Any,
    sb: Any,
    i: int,
    j: int,
    row: int,
) -> None:
    """Add a row of 2 (F + κT) of the last activation to ``column``."""
    stage = sa.shape[1] - 1
    spread(sa, i, stage, row, lines, 0)
    for k in range(lines.shape[1]):
        inverse = half_inverse_of(lines[0, k] * sb[j, stage, row, k])
        _, product, g, tau, covariance = relu_step(planes[0, 0, row, k], lines[0, k], sb[j, stage, row, k], inverse)
        column[k] += product * (ONE - g) + (ONE - tau) * (planes[0, 1, row, k] + covariance)


@compiled(parallel=True, fastmath=FAST)
def theta_blocks(program: Any, xa: Any, sa: Any, xb: Any, sb: Any, w2: Any, b2: Any, above: int, out: Any) -> None:
    """Θ of images and blocks of training images.

    Args:
        program: what the stages do, (4, L).
        xa: images − 0.5, (m, C, H, W).
        sa: s_a of every activation, (m, L, H, W).
        xb: training images − 0.5, (blocks, C, H, W · LANES).
        sb: s_b of every activation, (blocks, L, H, W · LANES).
        w2: σ_w².
        b2: σ_b².
        above: images before the first block of training images; a block meets those before it, and its own number.
        out: Θ, (m, blocks · LANES), filled.
    """
    images, _, height, width = sa.shape
    blocks, size = xb.shape[0], width * LANES
    w9 = w2 / np.float32(9)
    scale = HALF * w2 / np.float32(height * width)
    places = program[PLACE].max() + 1
    for task in prange(blocks):
        j = task // 2 if task % 2 == 0 else blocks - 1 - task // 2  # short and long columns take turns
        planes = aligned_rows(places * 2 * height, size).reshape((places, 2, height, size))
        rings = aligned_rows(4, size).reshape((2, 2, size))
        here = aligned_rows(2, size + 2 * LANES)
        lines = aligned_rows(2, size)
        column = np.zeros(size, np.float32)
        for i in range(min(images, above + (j + 1) * LANES)):
            _forward(planes, program[PLACE], program, rings, here, lines, xa, sa, xb, sb, i, j, w9)
            column[:] = ZERO
            for row in range(height):
                _readout(planes, column, lines, sa, sb, i, j, row)
            for k in range(LANES):
                total = ZERO
                for c in range(width):
                    total += column[c * LANES + k]
                out[i, j * LANES + k] = scale * total + b2


@compiled(fastmath=FAST)
def _readout_pullback(
    planes: Any,
    at: int,
    bars: Any,
    lines: Any,
    sa: Any,
    ia: Any,
    sb: Any,
    i: int,
    j: int,
    row: int,
    weight: Any,
    by_a: Any,
) -> None:
    """Start of the reverse sweep: a row of the adjoints of D and U before the last activation.

    ``weight`` (W · LANES,) is the cotangent of Θ times σ_w²/(HW), the same for every pixel; the adjoint of a is added
    to ``by_a`` (L, H, W · LANES), by lane.
    """
    stage = sa.shape[1] - 1
    spread(sa, i, stage, row, lines, 0)
    spread(ia, i, stage, row, lines, 1)
    for k in range(lines.shape[1]):
        inverse = half_inverse_of(lines[0, k] * sb[j, stage, row, k])
        _, _, _, tau, covariance, kappa_d, kappa_a, after_a = relu_slopes(
            planes[at, 0, row, k], lines[0, k], sb[j, stage, row, k], lines[1, k], inverse
        )
        tangent = planes[at, 1, row, k] + covariance
        kappa = HALF - HALF * tau
        w = weight[k]
        by_a[stage, row, k] += w * (QUARTER - HALF * after_a + tangent * kappa_a + HALF * kappa)
        bars[0, 0, row, k] = w * (tangent * kappa_d - kappa)
        bars[0, 1, row, k] = w * kappa


@compiled(fastmath=FAST)
def _take_up(bars: Any, at: int, row: int, here: Any, scale: Any) -> None:
    """A row of scale · the adjoints ``at`` → ``here``."""
    for k in range(bars.shape[3]):
        here[0, k + LANES] = scale * bars[at, 0, row, k]
        here[1, k + LANES] = scale * bars[at, 1, row, k]


@compiled(fastmath=FAST)
def _join_pullback(sums: Any, bars: Any, at: int, stage: int, row: int, by_a: Any) -> None:
    """Reverse of :func:`_join`: a row of the adjoints of the input of ``stage``, with ∂K/∂D = −½ and ∂K/∂a = ½."""
    for k in range(sums.shape[3]):
        by_a[stage, row, k] += HALF * sums[0, 1, 0, k]
        bars[at, 0, row, k] = sums[0, 0, 0, k] - HALF * sums[0, 1, 0, k]
        bars[at, 1, row, k] = sums[0, 1, 0, k]


@compiled(fastmath=FAST)
def _activate_pullback(
    planes: Any,
    sums: Any,
    bars: Any,
    at: int,
    keep: Any,
    stage: int,
    lines: Any,
    sa: Any,
    ia: Any,
    sb: Any,
    i: int,
    j: int,
    row: int,
    by_a: Any,
) -> None:
    """Reverse of :func:`_activate`: add a row of the adjoints of the input of ``stage`` to those ``at``."""
    spread(sa, i, stage, row, lines, 0)
    spread(ia, i, stage, row, lines, 1)
    for k in range(lines.shape[1]):
        dist_bar, tang_bar = sums[0, 0, 0, k], sums[0, 1, 0, k]
        inverse = half_inverse_of(lines[0, k] * sb[j, stage, row, k])
        _, _, _, tau, covariance, kappa_d, kappa_a, after_a = relu_slopes(
            planes[stage, 0, row, k], lines[0, k], sb[j, stage, row, k], lines[1, k], inverse
        )
        tangent = planes[stage, 1, row, k] + covariance
        kappa = HALF - HALF * tau
        by_a[stage, row, k] += dist_bar * after_a + tang_bar * (tangent * kappa_a + HALF * kappa)
        change = kappa * dist_bar + (tangent * kappa_d - HALF * kappa) * tang_bar
        bars[at, 0, row, k] = keep * bars[at, 0, row, k] + change
        bars[at, 1, row, k] = keep * bars[at, 1, row, k] + kappa * tang_bar


@compiled(fastmath=FAST)
def _input_pullback(sums: Any, xa: Any, xb: Any, i: int, j: int, row: int, lines: Any, by_x: Any) -> None:
    """Add a row of D̄₀ (x − x') to the gradient of one image by lane, (C, H, W · LANES)."""
    for channel in range(xa.shape[1]):
        spread(xa, i, channel, row, lines, 0)
        for k in range(lines.shape[1]):
            by_x[channel, row, k] += sums[0, 0, 0, k] * (lines[0, k] - xb[j, channel, row, k])


@compiled(fastmath=FAST)
def _backward(
    planes: Any,
    bars: Any,
    program: Any,
    rings: Any,
    sums: Any,
    here: Any,
    lines: Any,
    xa: Any,
    sa: Any,
    ia: Any,
    xb: Any,
    sb: Any,
    i: int,
    j: int,
    w9: Any,
    by_a: Any,
    by_x: Any,
) -> None:
    """From the adjoints of the last activation's input, in ``bars``, to those of the image."""
    depth, height = sa.shape[1], sa.shape[2]
    for stage in range(depth - 2, -2, -1):
        at, before = (program[PLACE, stage], program[BEFORE, stage]) if stage >= 0 else (0, -1)
        scale = w9 if stage >= 0 else w9 / np.float32(xa.shape[1])
        for ahead in range(height + 1):
            if ahead == height:
                here[:] = ZERO
            else:
                _take_up(bars, program[PLACE, stage + 1], ahead, here, scale)
            _box_row(here, rings, ahead, ZERO, sums, 0, 0)
            row = ahead - 1
            if row < 0:
                continue
            if stage < 0:
                _input_pullback(sums, xa, xb, i, j, row, lines, by_x)
                continue
            if before >= 0:
                _join_pullback(sums, bars, program[PLACE, before], before, row, by_a)
            keep = ONE if program[OPENS, stage] else ZERO
            _activate_pullback(planes, sums, bars, at, keep, stage, lines, sa, ia, sb, i, j, row, by_a)


@compiled(parallel=True, fastmath=FAST)
def pullback_blocks(
    program: Any, xa: Any, sa: Any, ia: Any, xb: Any, sb: Any, w2: Any, cotangent: Any, gradient: Any, by_a: Any
) -> None:
    """Pull a cotangent of Θ back to the images, the part through the variances a left to the caller.

    Args:
        program: what the stages do, (4, L).
        xa: images − 0.5, (m, C, H, W).
        sa: s_a of every activation, (m, L, H, W).
        ia: 1/s_a.
        xb: training images − 0.5, (blocks, C, H, W · LANES).
        sb: s_b of every activation, (blocks, L, H, W · LANES).
        w2: σ_w².
        cotangent: ∂loss/∂Θ, (m, blocks · LANES); blocks of zeros cost nothing.
        gradient: Σ_j of the part through D, (m, C, H, W), added to.
        by_a: Σ_j of the adjoints of a, (m, L, H, W), added to.
    """
    images, depth, height, width = sa.shape
    channels, size = xa.shape[1], width * LANES
    w9 = w2 / np.float32(9)
    scale = w2 / np.float32(height * width)
    places = program[PLACE].max() + 1
    every = np.arange(depth)
    for i in prange(images):
        planes = aligned_rows(depth * 2 * height, size).reshape((depth, 2, height, size))
        bars = aligned_rows(places * 2 * height, size).reshape((places, 2, height, size))
        rings = aligned_rows(4, size).reshape((2, 2, size))
        here = aligned_rows(2, size + 2 * LANES)
        lines = aligned_rows(2, size)
        sums = aligned_rows(2, size).reshape((1, 2, 1, size))
        weight = np.empty(size, np.float32)
        lanes_a = aligned_rows(depth * height, size).reshape((depth, height, size))
        lanes_x = aligned_rows(channels * height, size).reshape((channels, height, size))
        for j in range(xb.shape[0]):
            lanes = cotangent[i, j * LANES : (j + 1) * LANES]
            if not np.any(lanes):
                continue
            for c in range(width):
                weight[c * LANES : (c + 1) * LANES] = scale * lanes
            _forward(planes, every, program, rings, here, lines, xa, sa, xb, sb, i, j, w9)
            for row in range(height):
                _readout_pullback(planes, depth - 1, bars, lines, sa, ia, sb, i, j, row, weight, lanes_a)
            _backward(planes, bars, program, rings, sums, here, lines, xa, sa, ia, xb, sb, i, j, w9, lanes_a, lanes_x)
        for layer in range(depth):
            gather(lanes_a[layer], by_a[i, layer], ONE)
        for channel in range(channels):
            gather(lanes_x[channel], gradient[i, channel], TWO)
