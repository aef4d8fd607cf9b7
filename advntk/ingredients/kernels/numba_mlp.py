"""ReLU MLP kernel on a CPU: one BLAS product, then every layer of a pair in registers.

With |x|² and |x − x'|² over d pixels the first layer has a₁ = σ_w²|x|²/d + σ_b² and D₁ = σ_w²|x − x'|²/d. Each ReLU
maps (D, T) to (D', T'), see :mod:`numba_math`; T is the tangent kernel and K = (a + b − D)/2:

    a_{l+1} = σ_w² a_l/2 + σ_b²,  D_{l+1} = σ_w² D'_l,  T_{l+1} = σ_w² κ_l T_l + K_{l+1},  T₁ = K₁,  Θ = T_L

For input gradients the derivatives by D₁ and by a₁ are carried forward beside the values, so that there is no
backward pass: ∂Θ/∂x = 2σ_w²/d · (∂Θ/∂D₁ (x − x') + ∂Θ/∂a₁ x).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Pullback
from advntk.ingredients.kernels.numba_math import FAST, HALF, ONE, TINY, ZERO, mirror_upper, relu_slopes, relu_step

BLOCK = 256
"""Training columns at a time: their state stays in the first-level cache."""

NEAR = np.float32(0.02)
"""Below this |x − x'|²/(|x|² + |x'|²) the BLAS product has cancelled too far: the distance is summed directly."""


@njit(cache=True, fastmath=FAST)
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


@njit(cache=True, fastmath=FAST)
def _theta_block(dist: Any, tang: Any, sa: Any, sb: Any, start: int, w2: Any, scale: Any, out: Any) -> None:
    """Θ of one image and a block of columns; ``dist`` and ``tang`` are scratch, ``dist`` holds |x − x'|²."""
    width = out.shape[0]
    for k in range(width):
        dist[k] *= scale
        tang[k] = ZERO
    for layer in range(sa.shape[0] - 1):
        a = sa[layer]
        columns = sb[layer, start : start + width]
        for k in range(width):
            b = columns[k]
            covariance = HALF * (a * a + b * b - dist[k])
            after, kappa, _, _, _ = relu_step(dist[k], a, b)
            tang[k] = w2 * kappa * (tang[k] + covariance)
            dist[k] = w2 * after
    a = sa[-1]
    columns = sb[sa.shape[0] - 1, start : start + width]
    for k in range(width):
        b = columns[k]
        out[k] = tang[k] + HALF * (a * a + b * b - dist[k])


@njit(cache=True, parallel=True, fastmath=FAST)
def theta_in_place(
    products: Any, xa: Any, xb: Any, norm_a: Any, norm_b: Any, sa: Any, sb: Any, w2: Any, scale: Any, triangle: bool
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
            _theta_block(dist, tang, sa[i], sb, start, w2, scale, out)


@njit(cache=True, fastmath=FAST)
def _slopes_block(
    dist: Any, work: Any, sa: Any, sb: Any, start: int, w2: Any, scale: Any, theta: Any, by_d: Any, by_a: Any
) -> None:
    """Θ, ∂Θ/∂D₁ and ∂Θ/∂a₁ of one image and a block of columns."""
    width = theta.shape[0]
    tang, dist_d, tang_d, dist_a, tang_a = work[0], work[1], work[2], work[3], work[4]
    for k in range(width):
        dist[k] *= scale
        tang[k] = ZERO
        dist_d[k] = ONE
        tang_d[k] = ZERO
        dist_a[k] = ZERO
        tang_a[k] = ZERO
    growth = ONE  # ∂a_l/∂a₁
    for layer in range(sa.shape[0] - 1):
        a = sa[layer]
        inverse_a = ONE / max(a, TINY)
        columns = sb[layer, start : start + width]
        for k in range(width):
            b = columns[k]
            after, kappa, phi, sigma, z = relu_step(dist[k], a, b)
            kappa_d, kappa_a, after_a = relu_slopes(a, b, inverse_a, phi, sigma, z)
            tangent = tang[k] + HALF * (a * a + b * b - dist[k])
            tangent_d = tang_d[k] - HALF * dist_d[k]
            tangent_a = tang_a[k] + HALF * (growth - dist_a[k])
            tang[k] = w2 * kappa * tangent
            tang_d[k] = w2 * (kappa * tangent_d + tangent * kappa_d * dist_d[k])
            tang_a[k] = w2 * (kappa * tangent_a + tangent * (kappa_d * dist_a[k] + kappa_a * growth))
            dist[k] = w2 * after
            dist_d[k] = w2 * kappa * dist_d[k]
            dist_a[k] = w2 * (kappa * dist_a[k] + after_a * growth)
        growth = HALF * w2 * growth
    a = sa[-1]
    columns = sb[sa.shape[0] - 1, start : start + width]
    for k in range(width):
        b = columns[k]
        theta[k] = tang[k] + HALF * (a * a + b * b - dist[k])
        by_d[k] = tang_d[k] - HALF * dist_d[k]
        by_a[k] = tang_a[k] + HALF * (growth - dist_a[k])


@njit(cache=True, parallel=True, fastmath=FAST)
def theta_and_slopes(
    products: Any,
    xa: Any,
    xb: Any,
    norm_a: Any,
    norm_b: Any,
    sa: Any,
    sb: Any,
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
            _slopes_block(dist, work, sa[i], sb, start, w2, scale, out, by_d[i, start:end], by_a[i, start:end])


class _Side:
    """Images as the kernels read them: rows x − 0.5 (m, d), |x|² (m,) and √a_l of every layer (m, depth)."""

    def __init__(self, images: np.ndarray, engine: NumbaMlp) -> None:
        self.rows = np.ascontiguousarray(images, dtype=np.float32).reshape(len(images), -1) - HALF
        norms = np.einsum("id,id->i", self.rows, self.rows, dtype=np.float64)
        variance = engine.w2 * norms / self.rows.shape[1] + engine.b2
        deviations = []
        for _ in range(engine.depth):
            deviations.append(np.sqrt(variance))
            variance = engine.w2 * variance / 2 + engine.b2
        self.norms = norms.astype(np.float32)
        self.deviations = np.stack(deviations, axis=1).astype(np.float32)


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
        self.scale = self.w2 / float(np.prod(input_shape))

    def _theta(self, a: _Side, b: _Side, columns: np.ndarray, *, triangle: bool) -> np.ndarray:
        out = a.rows @ b.rows.T
        w2, scale = np.float32(self.w2), np.float32(self.scale)
        theta_in_place(out, a.rows, b.rows, a.norms, b.norms, a.deviations, columns, w2, scale, triangle)
        return out

    def tile(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Θ(a, b), (len(a), len(b)), float32; no other array of that size is made."""
        left, right = _Side(a, self), _Side(b, self)
        return self._theta(left, right, np.ascontiguousarray(right.deviations.T), triangle=False)

    def tile_symmetric(self, a: np.ndarray) -> np.ndarray:
        """Θ(a, a), exactly symmetric; only the upper triangle is evaluated."""
        side = _Side(a, self)
        out = self._theta(side, side, np.ascontiguousarray(side.deviations.T), triangle=True)
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
        self.train = _Side(train_images, engine)
        self.columns = np.ascontiguousarray(self.train.deviations.T)
        self.group = max(1, int(memory_mb * 2**20 / (12 * max(1, len(train_images)))))

    def native(self, array: np.ndarray) -> np.ndarray:
        """The array itself: this engine works on numpy arrays."""
        return np.asarray(array)

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Θ(images, X), (m, n), float32."""
        return self.engine._theta(_Side(images, self.engine), self.train, self.columns, triangle=False)

    def linearize(self, images: np.ndarray, coef: np.ndarray) -> tuple[np.ndarray, Pullback]:
        """Logits Θ(x, X) @ coef (m, c) and their pullback, which holds three (m, n) arrays and costs one product.

        Returns:
            Logits in the wider precision of Θ (float32) and ``coef``, and (m, c) → (m, H, W, C), float32.
        """
        images = np.asarray(images)
        groups = [slice(start, start + self.group) for start in range(0, len(images), self.group)]
        if len(groups) <= 1:
            return self._linearize(images, coef)
        parts = [self._linearize(images[group], coef) for group in groups]

        def pullback(cotangent: np.ndarray) -> np.ndarray:
            return np.concatenate([pull(cotangent[group]) for (_, pull), group in zip(parts, groups, strict=True)])

        return np.concatenate([logits for logits, _ in parts]), pullback

    def _linearize(self, images: np.ndarray, coef: np.ndarray) -> tuple[np.ndarray, Pullback]:
        engine, train = self.engine, self.train
        side = _Side(images, engine)
        theta = side.rows @ train.rows.T
        by_d, by_a = np.empty_like(theta), np.empty_like(theta)
        w2, scale = np.float32(engine.w2), np.float32(engine.scale)
        theta_and_slopes(
            theta,
            side.rows,
            train.rows,
            side.norms,
            train.norms,
            side.deviations,
            self.columns,
            w2,
            scale,
            by_d,
            by_a,
        )
        across = np.ascontiguousarray(coef.T, dtype=np.float32)

        def pullback(cotangent: np.ndarray) -> np.ndarray:
            weights = np.asarray(cotangent, dtype=np.float32) @ across
            by_distance = weights * by_d
            weights *= by_a
            own = (weights.sum(axis=1) + by_distance.sum(axis=1))[:, None] * side.rows
            return np.asarray(2 * scale * (own - by_distance @ train.rows)).reshape(images.shape)

        return theta @ coef, pullback

    def loss_and_gradient(
        self, images: np.ndarray, labels: np.ndarray, coef: np.ndarray, loss: LossName
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits Θ(x, X) @ coef (m, c), losses (m,) and their gradients by the images (m, H, W, C), float32."""
        images = np.asarray(images)
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
