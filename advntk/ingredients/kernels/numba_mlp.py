"""ReLU MLP kernel on a CPU: one BLAS product, then every layer of a pair in registers.

With |x|² and |x − x'|² over d pixels the first layer has a₁ = σ_w²|x|²/d + σ_b² and D₁ = σ_w²|x − x'|²/d. Each ReLU
maps (D, T) to (D', T'), see :mod:`numba_math`; T is the tangent kernel and K = (a + b − D)/2:

    a_{l+1} = σ_w² a_l/2 + σ_b²,  D_{l+1} = σ_w² D'_l,  T_{l+1} = σ_w² κ_l T_l + K_{l+1},  T₁ = K₁,  Θ = T_L

For input gradients the derivatives by D₁ and by a₁ are carried forward beside the values, so that there is no
backward pass: ∂Θ/∂x = 2σ_w²/d · (∂Θ/∂D₁ (x − x') + ∂Θ/∂a₁ x).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from advntk.foundation import threads
from advntk.foundation.arrays import checked_images, require_images, require_labels, require_matrix
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Pullback
from advntk.ingredients.kernels.numba_cache import compiled
from advntk.ingredients.kernels.numba_math import (
    FAST,
    HALF,
    ONE,
    ZERO,
    inverse_of,
    mirror_upper,
    relu_slopes,
    relu_step,
)

BLOCK = 256
"""Training columns at a time: their state stays in the first-level cache."""

ROWS = 512
"""Rows of the triangle in one BLAS product; a multiple of BLOCK, so that no block of columns starts before it."""

NEAR = np.float32(0.02)
"""Below this |x − x'|²/(|x|² + |x'|²) the BLAS product has cancelled too far: the distance is summed directly."""


@compiled(fastmath=FAST)
def _distances(dot: Any, xi: Any, xb: Any, norm_i: Any, norm_b: Any, start: int, out: Any) -> None:
    """|x − x'|² of one image and a block of columns, from x·x' or, where they are close, directly."""
    width = out.shape[0]
    close = 0
    for k in range(width):
        total = norm_i + norm_b[start + k]
        out[k] = total - dot[k] - dot[k]
        close += out[k] < NEAR * total
    if close > 0:
        for k in range(width):
            if out[k] < NEAR * (norm_i + norm_b[start + k]):
                other = xb[start + k]
                square = ZERO
                for pixel in range(xi.shape[0]):
                    difference = xi[pixel] - other[pixel]
                    square += difference * difference
                out[k] = square


@compiled(fastmath=FAST)
def _theta_block(
    dist: Any, tang: Any, sa: Any, ia: Any, sb: Any, ib: Any, i: int, start: int, w2: Any, scale: Any, out: Any
) -> None:
    """Θ of one image and a block of columns; ``dist`` and ``tang`` are scratch, ``dist`` holds |x − x'|²."""
    width, last = out.shape[0], sa.shape[1] - 1
    half = HALF * w2
    for k in range(width):
        dist[k] *= scale
        tang[k] = ZERO
    for layer in range(last):
        a, inverse_a = sa[i, layer], ia[i, layer]
        for k in range(width):
            b, inverse = sb[layer, start + k], inverse_a * ib[layer, start + k]
            square, product, g, tau, covariance = relu_step(dist[k], a, b, inverse)
            tang[k] = (half - half * tau) * (tang[k] + covariance)
            dist[k] = half * square + (w2 * product) * g
    a = sa[i, last]
    for k in range(width):
        b = sb[last, start + k]
        out[k] = tang[k] + HALF * (a * a + b * b - dist[k])


@compiled(parallel=True, fastmath=FAST)
def theta_in_place(
    products: Any,
    xa: Any,
    xb: Any,
    norm_a: Any,
    norm_b: Any,
    sa: Any,
    ia: Any,
    sb: Any,
    ib: Any,
    w2: Any,
    scale: Any,
    triangle: bool,
) -> None:
    """Turn x·x' (m, n) into Θ (m, n) in place; with ``triangle`` only the blocks that meet the upper triangle."""
    m, n = products.shape
    for task in prange(m):
        i = task // 2 if task % 2 == 0 else m - 1 - task // 2  # short and long rows of a triangle take turns
        dist = np.empty(BLOCK, np.float32)
        tang = np.empty(BLOCK, np.float32)
        for start in range(i // BLOCK * BLOCK if triangle else 0, n, BLOCK):
            width = min(BLOCK, n - start)
            out = products[i, start : start + width]
            _distances(out, xa[i], xb, norm_a[i], norm_b, start, dist[:width])
            _theta_block(dist, tang, sa, ia, sb, ib, i, start, w2, scale, out)


@compiled(fastmath=FAST)
def _slopes_block(
    dist: Any,
    work: Any,
    sa: Any,
    ia: Any,
    sb: Any,
    ib: Any,
    i: int,
    start: int,
    w2: Any,
    scale: Any,
    theta: Any,
    by_d: Any,
    by_a: Any,
) -> None:
    """Θ, ∂Θ/∂D₁ and ∂Θ/∂a₁ of one image and a block of columns."""
    width, last = theta.shape[0], sa.shape[1] - 1
    half = HALF * w2
    tang, dist_d, tang_d, dist_a, tang_a = work[0], work[1], work[2], work[3], work[4]
    for k in range(width):
        dist[k] *= scale
        tang[k] = ZERO
        dist_d[k] = ONE
        tang_d[k] = ZERO
        dist_a[k] = ZERO
        tang_a[k] = ZERO
    growth = ONE  # ∂a_l/∂a₁
    for layer in range(last):
        a, inverse_a = sa[i, layer], ia[i, layer]
        for k in range(width):
            b, inverse = sb[layer, start + k], inverse_a * ib[layer, start + k]
            square, product, g, tau, covariance, kappa_d, kappa_a, after_a = relu_slopes(
                dist[k], a, b, inverse_a, inverse
            )
            kappa = half - half * tau
            tangent = tang[k] + covariance
            slope = w2 * tangent
            tang_d[k] = kappa * (tang_d[k] - HALF * dist_d[k]) + slope * (kappa_d * dist_d[k])
            tang_a[k] = kappa * (tang_a[k] + HALF * (growth - dist_a[k])) + slope * (
                kappa_d * dist_a[k] + kappa_a * growth
            )
            tang[k] = kappa * tangent
            dist[k] = half * square + (w2 * product) * g
            dist_d[k] = kappa * dist_d[k]
            dist_a[k] = kappa * dist_a[k] + (w2 * growth) * after_a
        growth = half * growth
    a = sa[i, last]
    for k in range(width):
        b = sb[last, start + k]
        theta[k] = tang[k] + HALF * (a * a + b * b - dist[k])
        by_d[k] = tang_d[k] - HALF * dist_d[k]
        by_a[k] = tang_a[k] + HALF * (growth - dist_a[k])


@compiled(parallel=True, fastmath=FAST)
def theta_and_slopes(
    products: Any,
    xa: Any,
    xb: Any,
    norm_a: Any,
    norm_b: Any,
    sa: Any,
    ia: Any,
    sb: Any,
    ib: Any,
    w2: Any,
    scale: Any,
    by_d: Any,
    by_a: Any,
) -> None:
    """Turn x·x' (m, n) into Θ in place, and fill ∂Θ/∂D₁ and ∂Θ/∂a₁ (m, n)."""
    m, n = products.shape
    for i in prange(m):
        dist = np.empty(BLOCK, np.float32)
        work = np.empty((5, BLOCK), np.float32)
        for start in range(0, n, BLOCK):
            width = min(BLOCK, n - start)
            end = start + width
            out = products[i, start:end]
            _distances(out, xa[i], xb, norm_a[i], norm_b, start, dist[:width])
            by_d_here, by_a_here = by_d[i, start:end], by_a[i, start:end]
            _slopes_block(dist, work, sa, ia, sb, ib, i, start, w2, scale, out, by_d_here, by_a_here)


class _Side:
    """Images as the kernels read them: rows x − 0.5 (m, d), |x|² (m,) and of every layer s and 1/s.

    ``deviations`` and ``inverses`` are s and 1/s (m, depth), ``columns`` and ``half_inverses`` s and 1/(2s) (depth, m).
    """

    def __init__(self, images: np.ndarray, engine: NumbaMlp) -> None:
        self.rows = np.ascontiguousarray(images, dtype=np.float32).reshape(len(images), engine.pixels) - HALF
        norms = np.einsum("id,id->i", self.rows, self.rows, dtype=np.float64)
        variance = engine.w2 * norms / self.rows.shape[1] + engine.b2
        deviations = []
        for _ in range(engine.depth):
            deviations.append(np.sqrt(variance))
            variance = engine.w2 * variance / 2 + engine.b2
        self.norms = norms.astype(np.float32)
        self.deviations = np.stack(deviations, axis=1).astype(np.float32)
        self.inverses = inverse_of(self.deviations)
        self.columns = np.ascontiguousarray(self.deviations.T)
        self.half_inverses = HALF * np.ascontiguousarray(self.inverses.T)


class NumbaMlp:
    """Θ of a ReLU MLP in float32.

    Args:
        depth: dense layers in all.
        sigma_w: σ_w.
        sigma_b: σ_b.
        input_shape: (H, W, C).
    """

    name = "numba"

    def __init__(self, *, depth: int, sigma_w: float, sigma_b: float, input_shape: tuple[int, int, int]) -> None:
        self.depth = depth
        self.input_shape = input_shape
        self.w2 = sigma_w**2
        self.b2 = sigma_b**2
        self.pixels = math.prod(input_shape)
        self.scale = self.w2 / self.pixels

    def _side(self, images: np.ndarray, where: str, *, least: int = 0) -> _Side:
        """Checked images; see :class:`_Side`."""
        return _Side(checked_images(images, self.input_shape, where=where, in_unit_box=False, least=least), self)

    def _theta(self, a: _Side, b: _Side) -> np.ndarray:
        threads.start("numba")
        out = a.rows @ b.rows.T
        theta_in_place(out, *self._arguments(a, b), False)
        return out

    def _arguments(self, a: _Side, b: _Side) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any, Any]:
        """What the two compiled loops have in common."""
        w2, scale = np.float32(self.w2), np.float32(self.scale)
        across = a.deviations, a.inverses, b.columns, b.half_inverses
        return (a.rows, b.rows, a.norms, b.norms, *across, w2, scale)

    def tile(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Θ(a, b), (len(a), len(b)), float32; no other array of that size is made."""
        return self._theta(self._side(a, "tile"), self._side(b, "tile"))

    def tile_symmetric(self, a: np.ndarray) -> np.ndarray:
        """Θ(a, a), exactly symmetric; only the upper triangle is evaluated."""
        threads.start("numba")
        side = self._side(a, "tile_symmetric")
        out = np.empty((len(a), len(a)), np.float32)
        for start in range(0, len(a), ROWS):
            rows = slice(start, start + ROWS)
            np.matmul(side.rows[rows], side.rows[start:].T, out=out[rows, start:])
        theta_in_place(out, *self._arguments(side, side), True)
        mirror_upper(out)
        return out

    def bind(self, train_images: np.ndarray, *, memory_mb: float) -> BoundNumbaMlp:
        """Fix the training images; see :class:`BoundNumbaMlp`."""
        return BoundNumbaMlp(self, train_images, memory_mb=memory_mb)


class BoundNumbaMlp:
    """Θ(·, X) of a ReLU MLP for fixed training images X.

    Args:
        engine: the kernel.
        train_images: X, (n, H, W, C) in [0, 1].
        memory_mb: bound on temporaries; images are taken in groups small enough for it.
    """

    def __init__(self, engine: NumbaMlp, train_images: np.ndarray, *, memory_mb: float) -> None:
        self.engine = engine
        self.train = engine._side(train_images, "bind", least=1)
        self.n = len(train_images)
        self.group = max(1, int(memory_mb * 2**20 / (12 * self.n)))

    def native(self, array: np.ndarray) -> np.ndarray:
        """The array itself: this engine works on numpy arrays."""
        return np.asarray(array)

    def reserve(self, batch: int) -> None:
        """Nothing: these loops take batches of any size."""

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Θ(images, X), (m, n), float32."""
        return self.engine._theta(self.engine._side(images, "rows"), self.train)

    def linearize(self, images: np.ndarray, coef: np.ndarray) -> tuple[np.ndarray, Pullback]:
        """Logits Θ(x, X) @ coef (m, c) and their pullback, which holds three (m, n) arrays and costs one product.

        Returns:
            Logits in the wider precision of Θ (float32) and ``coef``, and (m, c) → (m, H, W, C), float32.
        """
        images = np.asarray(images)
        require_images(images, self.engine.input_shape, where="linearize")
        require_matrix(coef, self.n, None, what="coef", where="linearize")
        groups = [slice(start, start + self.group) for start in range(0, max(1, len(images)), self.group)]
        parts = [self._linearize(images[group], coef) for group in groups]

        def pullback(cotangent: np.ndarray) -> np.ndarray:
            require_matrix(cotangent, len(images), coef.shape[1], what="cotangent", where="pullback")
            return np.concatenate([pull(cotangent[group]) for (_, pull), group in zip(parts, groups, strict=True)])

        return np.concatenate([logits for logits, _ in parts]), pullback

    def _linearize(self, images: np.ndarray, coef: np.ndarray) -> tuple[np.ndarray, Pullback]:
        threads.start("numba")
        engine, train = self.engine, self.train
        side = _Side(images, engine)
        theta = side.rows @ train.rows.T
        by_d, by_a = np.empty_like(theta), np.empty_like(theta)
        theta_and_slopes(theta, *engine._arguments(side, train), by_d, by_a)
        across = np.ascontiguousarray(coef.T, dtype=np.float32)

        def pullback(cotangent: np.ndarray) -> np.ndarray:
            weights = np.asarray(cotangent, dtype=np.float32) @ across
            by_distance = weights * by_d
            weights *= by_a
            own = (weights.sum(axis=1) + by_distance.sum(axis=1))[:, None] * side.rows
            return np.asarray(2 * np.float32(engine.scale) * (own - by_distance @ train.rows)).reshape(images.shape)

        return theta @ coef, pullback

    def loss_and_gradient(
        self, images: np.ndarray, labels: np.ndarray, coef: np.ndarray, loss: LossName
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits Θ(x, X) @ coef (m, c), losses (m,) and their gradients by the images (m, H, W, C), float32."""
        images = np.asarray(images)
        require_images(images, self.engine.input_shape, where="loss_and_gradient")
        require_labels(labels, len(images), where="loss_and_gradient")
        require_matrix(coef, self.n, None, what="coef", where="loss_and_gradient")
        coef = np.ascontiguousarray(coef, dtype=np.float32)
        logits = np.empty((len(images), coef.shape[1]), np.float32)
        values = np.empty(len(images), np.float32)
        gradient = np.empty(images.shape, np.float32)
        for start in range(0, len(images), self.group):
            part = slice(start, start + self.group)
            logits[part], pullback = self._linearize(images[part], coef)
            target = one_hot(labels[part], coef.shape[1], np.float32)
            values[part], slope = value_and_logit_gradient(loss, logits[part], target)
            gradient[part] = pullback(slope)
        return logits, values, gradient
