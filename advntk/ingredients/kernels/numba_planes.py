"""Loops of the ReLU CNN kernel: LANES training images side by side, so that SIMD is full whatever the image size.

A plane holds one quantity of a pair at every pixel, for LANES training images at once: (H, (W + 2) · LANES), pixel by
pixel, the outer two columns of pixels zero. Every innermost loop runs along a whole row, contiguous; what depends on
one image only (√a) is first spread over the lanes of a row. Rows are named by index and not sliced: a slice counts
references, which costs as much as a short row. ``box`` is the zero-padded 3×3 sum, w9 = σ_w²/9:

    D₁ = (w9/C) box(Σ_ch (x − x')²),  D_{l+1} = w9 box(D'_l),  T_{l+1} = w9 box(κ_l T_l) + K_{l+1},  T₁ = K₁
    Θ  = σ_w²/(HW) Σ_pixels (F_L + κ_L T_L) + σ_b²

The box sum follows the activation row by row, in place, so that a row is still in the first-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from advntk.ingredients.kernels.numba_math import FAST, HALF, ONE, QUARTER, TINY, TWO, ZERO, relu_slopes, relu_step

LANES = 32
"""Training images side by side."""


@njit(cache=True, fastmath=FAST)
def _spread(values: Any, row: int, line: Any) -> None:
    """One number a pixel, row ``row`` of (H, W), → the same for every lane, (W · LANES,)."""
    cells = line.reshape((-1, LANES))
    for c in range(cells.shape[0]):
        value = values[row, c]
        for k in range(LANES):
            cells[c, k] = value


@njit(cache=True, fastmath=FAST)
def _spread_inverse(values: Any, row: int, line: Any) -> None:
    """As :func:`_spread` of 1/value; finite where the value is 0."""
    cells = line.reshape((-1, LANES))
    for c in range(cells.shape[0]):
        value = ONE / max(values[row, c], TINY)
        for k in range(LANES):
            cells[c, k] = value


@njit(cache=True, fastmath=FAST)
def _gather(plane: Any, out: Any) -> None:
    """Sum over lanes, (H, W · LANES) → (H, W), added to ``out``."""
    height, width = out.shape
    cells = plane.reshape((height, width, LANES))
    for r in range(height):
        for c in range(width):
            total = ZERO
            for k in range(LANES):
                total += cells[r, c, k]
            out[r, c] += total


@njit(cache=True, fastmath=FAST)
def _push(plane: Any, ring: Any, row: int, scale: Any) -> None:
    """Box sum in place, one row behind: take in ``row``, write ``row − 1``; call it for row = 0 … H in turn.

    ``ring`` (3, W · LANES) holds the last three rows of horizontal sums.
    """
    size = ring.shape[1]
    slot = row % 3
    if row == 0:
        for k in range(size):
            ring[2, k] = ZERO
    if row < plane.shape[0]:
        for k in range(size):
            ring[slot, k] = plane[row, k] + plane[row, k + LANES] + plane[row, k + 2 * LANES]
    else:
        for k in range(size):
            ring[slot, k] = ZERO
    if row > 0:
        for k in range(size):
            plane[row - 1, k + LANES] = scale * (ring[0, k] + ring[1, k] + ring[2, k])


@njit(cache=True, fastmath=FAST)
def _input_distance(xi: Any, xj: Any, dist: Any, ring: Any, line: Any, scale: Any) -> None:
    """D₁ of one image (C, H, W) and a block of training images (C, H, W · LANES)."""
    channels, height = xi.shape[0], xi.shape[1]
    for r in range(height):
        for k in range(line.shape[0]):
            dist[r, k + LANES] = ZERO
        for channel in range(channels):
            _spread(xi[channel], r, line)
            for k in range(line.shape[0]):
                difference = line[k] - xj[channel, r, k]
                dist[r, k + LANES] += difference * difference
        _push(dist, ring, r, scale)
    _push(dist, ring, height, scale)


@njit(cache=True, fastmath=FAST)
def _layer(dist: Any, tang: Any, ring_d: Any, ring_t: Any, line: Any, sa: Any, sb: Any, w9: Any) -> None:
    """(D_l, w9 box(κT) of the layer before) → the same of the next layer, in place."""
    height, size = sb.shape
    for r in range(height):
        _spread(sa, r, line)
        for k in range(size):
            a, b, distance = line[k], sb[r, k], dist[r, k + LANES]
            after, kappa, _, _, _ = relu_step(distance, a, b)
            tang[r, k + LANES] = kappa * (tang[r, k + LANES] + HALF * (a * a + b * b - distance))
            dist[r, k + LANES] = after
        _push(dist, ring_d, r, w9)
        _push(tang, ring_t, r, w9)
    _push(dist, ring_d, height, w9)
    _push(tang, ring_t, height, w9)


@njit(cache=True, fastmath=FAST)
def _readout(dist: Any, tang: Any, line: Any, column: Any, sa: Any, sb: Any, scale: Any, b2: Any, out: Any) -> None:
    """Θ of each lane (LANES,) from the last layer's D and w9 box(κT); ``line`` and ``column`` are scratch."""
    height, size = sb.shape
    column[:] = ZERO
    for r in range(height):
        _spread(sa, r, line)
        for k in range(size):
            a, b, distance = line[k], sb[r, k], dist[r, k + LANES]
            after, kappa, _, _, _ = relu_step(distance, a, b)
            squares = a * a + b * b
            covariance = QUARTER * squares - HALF * after
            here = covariance + kappa * (tang[r, k + LANES] + HALF * (squares - distance))
            column[k] += here
    cells = column.reshape((-1, LANES))
    for c in range(1, cells.shape[0]):
        for k in range(LANES):
            cells[0, k] += cells[c, k]
    for k in range(LANES):
        out[k] = scale * cells[0, k] + b2


@njit(cache=True, parallel=True, fastmath=FAST)
def theta_blocks(xa: Any, sa: Any, xb: Any, sb: Any, w2: Any, b2: Any, triangle: bool, out: Any) -> None:
    """Θ of images and blocks of training images.

    Args:
        xa: images − 0.5, (m, C, H, W).
        sa: √a of every layer, (m, L, H, W).
        xb: training images − 0.5, (blocks, C, H, W · LANES).
        sb: √b of every layer, (blocks, L, H, W · LANES).
        w2: σ_w².
        b2: σ_b².
        triangle: skip the blocks wholly below the diagonal.
        out: Θ, (m, blocks · LANES), filled.
    """
    images, depth, height, width = sa.shape
    blocks, size, last = xb.shape[0], width * LANES, depth - 1
    w9 = w2 / np.float32(9)
    first = w9 / np.float32(xa.shape[1])
    scale = w2 / np.float32(height * width)
    for task in prange(blocks):
        j = task // 2 if task % 2 == 0 else blocks - 1 - task // 2  # short and long columns take turns
        dist = np.zeros((height, size + 2 * LANES), np.float32)
        tang = np.zeros((height, size + 2 * LANES), np.float32)
        ring_d = np.empty((3, size), np.float32)
        ring_t = np.empty((3, size), np.float32)
        line = np.empty(size, np.float32)
        column = np.empty(size, np.float32)
        for i in range(min(images, (j + 1) * LANES) if triangle else images):
            _input_distance(xa[i], xb[j], dist, ring_d, line, first)
            tang[:] = ZERO
            for layer in range(last):
                _layer(dist, tang, ring_d, ring_t, line, sa[i, layer], sb[j, layer], w9)
            theta = out[i, j * LANES : (j + 1) * LANES]
            _readout(dist, tang, line, column, sa[i, last], sb[j, last], scale, b2, theta)


@njit(cache=True, fastmath=FAST)
def _layer_with_slopes(
    dist: Any, tang: Any, ring_d: Any, ring_t: Any, line: Any, inverse: Any, sa: Any, sb: Any, w9: Any, slopes: Any
) -> None:
    """As :func:`_layer`; also stores κ, T ∂κ/∂D, ∂D'/∂a and T ∂κ/∂a in ``slopes`` (4, H, W · LANES)."""
    height, size = sb.shape
    for r in range(height):
        _spread(sa, r, line)
        _spread_inverse(sa, r, inverse)
        for k in range(size):
            a, b, distance = line[k], sb[r, k], dist[r, k + LANES]
            after, kappa, phi, sigma, z = relu_step(distance, a, b)
            kappa_d, kappa_a, after_a = relu_slopes(a, b, inverse[k], phi, sigma, z)
            tangent = tang[r, k + LANES] + HALF * (a * a + b * b - distance)
            slopes[0, r, k] = kappa
            slopes[1, r, k] = tangent * kappa_d
            slopes[2, r, k] = after_a
            slopes[3, r, k] = tangent * kappa_a
            tang[r, k + LANES] = kappa * tangent
            dist[r, k + LANES] = after
        _push(dist, ring_d, r, w9)
        _push(tang, ring_t, r, w9)
    _push(dist, ring_d, height, w9)
    _push(tang, ring_t, height, w9)


@njit(cache=True, fastmath=FAST)
def _readout_pullback(
    dist: Any,
    tang: Any,
    ring_d: Any,
    ring_t: Any,
    line: Any,
    inverse: Any,
    sa: Any,
    sb: Any,
    w9: Any,
    weight: Any,
    by_a: Any,
) -> None:
    """Start of the reverse sweep: (D_L, w9 box(κT)) → the box sums of their adjoints, in place.

    Args:
        dist: D_L in, adjoint of D'_{L−1} out.
        tang: as ``dist``, of κT.
        ring_d: scratch.
        ring_t: scratch.
        line: scratch.
        inverse: scratch.
        sa: √a_L, (H, W).
        sb: √b_L, (H, W · LANES).
        w9: σ_w²/9, or over 9C where the input follows.
        weight: cotangent of Θ times σ_w²/(HW), the same for every pixel, (W · LANES,).
        by_a: adjoint of a_L by lane, (H, W · LANES), added to.
    """
    height, size = sb.shape
    for r in range(height):
        _spread(sa, r, line)
        _spread_inverse(sa, r, inverse)
        for k in range(size):
            a, b, distance, w = line[k], sb[r, k], dist[r, k + LANES], weight[k]
            _, kappa, phi, sigma, z = relu_step(distance, a, b)
            kappa_d, kappa_a, after_a = relu_slopes(a, b, inverse[k], phi, sigma, z)
            tangent = tang[r, k + LANES] + HALF * (a * a + b * b - distance)
            by_a[r, k] += w * (QUARTER - HALF * after_a + tangent * kappa_a + HALF * kappa)
            tang[r, k + LANES] = w * kappa
            dist[r, k + LANES] = w * (tangent * kappa_d - kappa)
        _push(dist, ring_d, r, w9)
        _push(tang, ring_t, r, w9)
    _push(dist, ring_d, height, w9)
    _push(tang, ring_t, height, w9)


@njit(cache=True, fastmath=FAST)
def _layer_pullback(dist: Any, tang: Any, ring_d: Any, ring_t: Any, slopes: Any, w9: Any, by_a: Any) -> None:
    """Reverse of :func:`_layer`: adjoints of (D', κT) → box sums of the adjoints of the layer before, in place."""
    _, height, size = slopes.shape
    for r in range(height):
        for k in range(size):
            dist_bar, tang_bar, kappa = dist[r, k + LANES], tang[r, k + LANES], slopes[0, r, k]
            through = HALF * kappa * tang_bar
            by_a[r, k] += dist_bar * slopes[2, r, k] + tang_bar * slopes[3, r, k] + through
            tang[r, k + LANES] = kappa * tang_bar
            dist[r, k + LANES] = kappa * dist_bar + slopes[1, r, k] * tang_bar - through
        _push(dist, ring_d, r, w9)
        _push(tang, ring_t, r, w9)
    _push(dist, ring_d, height, w9)
    _push(tang, ring_t, height, w9)


@njit(cache=True, fastmath=FAST)
def _input_pullback(xi: Any, xj: Any, dist: Any, line: Any, by_x: Any) -> None:
    """Add 2 D̄₀ (x − x') to the gradient of one image by lane, (C, H, W · LANES)."""
    channels, height, _ = xi.shape
    for channel in range(channels):
        for r in range(height):
            _spread(xi[channel], r, line)
            for k in range(line.shape[0]):
                by_x[channel, r, k] += TWO * dist[r, k + LANES] * (line[k] - xj[channel, r, k])


@njit(cache=True, parallel=True, fastmath=FAST)
def pullback_blocks(xa: Any, sa: Any, xb: Any, sb: Any, w2: Any, cotangent: Any, gradient: Any, by_a: Any) -> None:
    """Pull a cotangent of Θ back to the images, the part through the variances a_l left to the caller.

    Args:
        xa: images − 0.5, (m, C, H, W).
        sa: √a of every layer, (m, L, H, W).
        xb: training images − 0.5, (blocks, C, H, W · LANES).
        sb: √b of every layer, (blocks, L, H, W · LANES).
        w2: σ_w².
        cotangent: ∂loss/∂Θ, (m, blocks · LANES); blocks of zeros cost nothing.
        gradient: Σ_j of the part through D, (m, C, H, W), added to.
        by_a: Σ_j of the adjoints of a_l, (m, L, H, W), added to.
    """
    images, depth, height, width = sa.shape
    size, last = width * LANES, depth - 1
    w9 = w2 / np.float32(9)
    first = w9 / np.float32(xa.shape[1])
    scale = w2 / np.float32(height * width)
    for i in prange(images):
        dist = np.zeros((height, size + 2 * LANES), np.float32)
        tang = np.zeros((height, size + 2 * LANES), np.float32)
        ring_d = np.empty((3, size), np.float32)
        ring_t = np.empty((3, size), np.float32)
        line = np.empty(size, np.float32)
        weight = np.empty(size, np.float32)
        inverse = np.empty(size, np.float32)
        lanes_a = np.zeros((depth, height, size), np.float32)
        lanes_x = np.zeros((xa.shape[1], height, size), np.float32)
        slopes = np.empty((last, 4, height, size), np.float32)
        for j in range(xb.shape[0]):
            lanes = cotangent[i, j * LANES : (j + 1) * LANES]
            if not np.any(lanes):
                continue
            for c in range(width):
                weight[c * LANES : (c + 1) * LANES] = scale * lanes
            _input_distance(xa[i], xb[j], dist, ring_d, line, first)
            tang[:] = ZERO
            for layer in range(last):
                sa_i, sb_j, store = sa[i, layer], sb[j, layer], slopes[layer]
                _layer_with_slopes(dist, tang, ring_d, ring_t, line, inverse, sa_i, sb_j, w9, store)
            step = w9 if last > 0 else first
            sa_i, sb_j = sa[i, last], sb[j, last]
            _readout_pullback(dist, tang, ring_d, ring_t, line, inverse, sa_i, sb_j, step, weight, lanes_a[last])
            for layer in range(last - 1, -1, -1):
                step = w9 if layer > 0 else first
                _layer_pullback(dist, tang, ring_d, ring_t, slopes[layer], step, lanes_a[layer])
            _input_pullback(xa[i], xb[j], dist, line, lanes_x)
        for layer in range(depth):
            _gather(lanes_a[layer], by_a[i, layer])
        for channel in range(xa.shape[1]):
            _gather(lanes_x[channel], gradient[i, channel])
