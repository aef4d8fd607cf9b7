"""ReLU CNN kernel on a CPU: every pair of images swept through all layers in cache, see :mod:`numba_planes`.

The variances a_l of one image follow from box sums alone, in float64:

    a₁ = (w9/C) box(Σ_ch x²) + σ_b²,  a_{l+1} = w9 box(a_l/2) + σ_b²,  w9 = σ_w²/9
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Pullback
from advntk.ingredients.kernels.numba_math import HALF, aligned_rows, expand, inverse_of, mirror_upper, project
from advntk.ingredients.kernels.numba_planes import LANES, pullback_blocks, theta_blocks


def box_sum(planes: np.ndarray) -> np.ndarray:
    """Zero-padded 3×3 sum over the last two axes, (…, H, W) → (…, H, W)."""
    rows = planes.copy()
    rows[..., 1:, :] += planes[..., :-1, :]
    rows[..., :-1, :] += planes[..., 1:, :]
    out = rows.copy()
    out[..., 1:] += rows[..., :-1]
    out[..., :-1] += rows[..., 1:]
    return out


def _centred(images: np.ndarray) -> np.ndarray:
    """Images (m, H, W, C) in [0, 1] → images − 0.5 as (m, C, H, W), float32."""
    return np.ascontiguousarray(np.moveaxis(np.asarray(images, dtype=np.float32), 3, 1)) - HALF


class NumbaCnn:
    """Θ of a ReLU CNN in float32.

    Args:
        depth: convolutional layers, >= 1.
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

    def deviations(self, centred: np.ndarray) -> np.ndarray:
        """√a of every layer for images − 0.5 (m, C, H, W): (m, L, H, W), float32."""
        w9 = self.w2 / 9
        squares = np.einsum("mchw,mchw->mhw", centred, centred, dtype=np.float64)
        variance = w9 / centred.shape[1] * box_sum(squares) + self.b2
        out = np.empty((len(centred), self.depth, *centred.shape[2:]), np.float32)
        for layer in range(self.depth):
            out[:, layer] = np.sqrt(variance)
            variance = w9 / 2 * box_sum(variance) + self.b2
        return out

    def blocks(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Training images and their s_b, LANES side by side; the last block is filled up with its last image.

        Returns:
            Images − 0.5 (blocks, C, H, W · LANES), s_b (blocks, L, H, W · LANES) and 1/(2 s_b) as s_b.
        """
        count = -(-len(images) // LANES)
        height, width, channels = self.input_shape
        rows = width * LANES
        xb = aligned_rows(count * channels * height, rows).reshape(count, channels, height, rows)
        sb = aligned_rows(count * self.depth * height, rows).reshape(count, self.depth, height, rows)
        ib = aligned_rows(count * self.depth * height, rows).reshape(count, self.depth, height, rows)
        for block in range(count):
            part = _centred(images[block * LANES : (block + 1) * LANES])
            short = LANES - len(part)
            if short:
                part = np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
            xb[block] = np.moveaxis(part, 0, -1).reshape(channels, height, rows)
            sb[block] = np.moveaxis(self.deviations(part), 0, -1).reshape(self.depth, height, rows)
            ib[block] = HALF * inverse_of(sb[block])
        return xb, sb, ib

    def _tile(self, a: np.ndarray, b: np.ndarray, *, triangle: bool) -> np.ndarray:
        xb, sb, ib = self.blocks(b)
        out = np.empty((len(a), len(xb) * LANES), np.float32)
        centred = _centred(a)
        sa = self.deviations(centred)
        w2, b2 = np.float32(self.w2), np.float32(self.b2)
        theta_blocks(centred, sa, inverse_of(sa), xb, sb, ib, w2, b2, triangle, out)
        return out[:, : len(b)]

    def tile(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Θ(a, b), (len(a), len(b)), float32."""
        return self._tile(a, b, triangle=False)

    def tile_symmetric(self, a: np.ndarray) -> np.ndarray:
        """Θ(a, a), exactly symmetric; only the blocks on and above the diagonal are evaluated."""
        out = np.ascontiguousarray(self._tile(a, a, triangle=True))
        mirror_upper(out)
        return out

    def bind(self, train_images: np.ndarray, *, memory_mb: float) -> BoundNumbaCnn:
        """Fix the training images; see :class:`BoundNumbaCnn`."""
        return BoundNumbaCnn(self, train_images, memory_mb=memory_mb)


class BoundNumbaCnn:
    """Θ(·, X) of a ReLU CNN for fixed training images X.

    Args:
        engine: the kernel.
        train_images: X, (n, H, W, C) in [0, 1].
        memory_mb: bound on what is kept of X beside X itself; where it is too little for the whole of X, X is laid
            out anew, part by part, at each call.
    """

    def __init__(self, engine: NumbaCnn, train_images: np.ndarray, *, memory_mb: float) -> None:
        self.engine = engine
        self.train_images = train_images
        height, width, channels = engine.input_shape
        block_mb = LANES * height * width * (channels + 2 * engine.depth) * 4 / 2**20
        self.part = LANES * max(1, int(memory_mb / block_mb))
        self._kept = engine.blocks(train_images) if self.part >= len(train_images) else None

    def native(self, array: np.ndarray) -> np.ndarray:
        """The array itself: this engine works on numpy arrays."""
        return np.asarray(array)

    def _parts(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
        if self._kept is not None:
            yield slice(0, len(self.train_images)), *self._kept
            return
        for start in range(0, len(self.train_images), self.part):
            part = slice(start, min(start + self.part, len(self.train_images)))
            yield part, *self.engine.blocks(self.train_images[part])

    def _rows(self, centred: np.ndarray, deviations: np.ndarray) -> np.ndarray:
        out = np.empty((len(centred), len(self.train_images)), np.float32)
        inverse = inverse_of(deviations)
        w2, b2 = np.float32(self.engine.w2), np.float32(self.engine.b2)
        for part, xb, sb, ib in self._parts():
            theta = np.empty((len(centred), len(xb) * LANES), np.float32)
            theta_blocks(centred, deviations, inverse, xb, sb, ib, w2, b2, False, theta)
            out[:, part] = theta[:, : part.stop - part.start]
        return out

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Θ(images, X), (m, n), float32."""
        centred = _centred(images)
        return self._rows(centred, self.engine.deviations(centred))

    def linearize(self, images: np.ndarray, coef: np.ndarray) -> tuple[np.ndarray, Pullback]:
        """Logits Θ(x, X) @ coef (m, c); the pullback evaluates each pair again with its reverse sweep.

        Returns:
            Logits in the wider precision of Θ (float32) and ``coef``, and (m, c) → (m, H, W, C), float32.
        """
        across = np.ascontiguousarray(coef.T, dtype=np.float32)
        centred = _centred(images)
        deviations = self.engine.deviations(centred)
        theta = self._rows(centred, deviations)
        if coef.dtype == np.float32:
            logits = np.empty((len(theta), len(across)), np.float32)
            project(theta, across, logits)
        else:
            logits = theta @ coef

        def pullback(cotangent: np.ndarray) -> np.ndarray:
            weights = np.empty_like(theta)
            expand(np.asarray(cotangent, dtype=np.float32), across, weights)
            return self._pullback(centred, deviations, weights)

        return logits, pullback

    def loss_and_gradient(
        self, images: np.ndarray, labels: np.ndarray, coef: np.ndarray, loss: LossName
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits Θ(x, X) @ coef (m, c), losses (m,) and their gradients by the images (m, H, W, C), float32."""
        logits, pullback = self.linearize(images, np.asarray(coef, dtype=np.float32))
        values, slope = value_and_logit_gradient(loss, logits, one_hot(labels, coef.shape[1], np.float32))
        return logits, values, pullback(slope)

    def _pullback(self, centred: np.ndarray, deviations: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Gradient by the images (m, H, W, C) of Σ cotangent · Θ(images, X)."""
        gradient = np.zeros_like(centred)
        by_variance, inverse = np.zeros_like(deviations), inverse_of(deviations)
        w2 = np.float32(self.engine.w2)
        for part, xb, sb, ib in self._parts():
            weights = np.zeros((len(centred), len(xb) * LANES), np.float32)
            weights[:, : part.stop - part.start] = cotangent[:, part]
            pullback_blocks(centred, deviations, inverse, xb, sb, ib, w2, weights, gradient, by_variance)
        half_w9 = np.float32(self.engine.w2 / 18)
        for layer in range(self.engine.depth - 1, 0, -1):
            by_variance[:, layer - 1] += half_w9 * box_sum(by_variance[:, layer])
        by_square = np.float32(self.engine.w2 / (9 * centred.shape[1])) * box_sum(by_variance[:, 0])
        gradient += 2 * by_square[:, None] * centred
        return np.ascontiguousarray(np.moveaxis(gradient, 1, 3))
