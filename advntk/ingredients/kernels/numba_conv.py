"""ReLU convolutional kernel on a CPU, with or without shortcuts: pairs of images swept through all stages in cache.

The loops of a CNN are in :mod:`numba_planes`, those of a network with shortcuts in :mod:`numba_stages`; these would do
for a CNN too, at a tenth more time for gradients. The variances a of one image follow from box sums alone, in float64:

    a₁ = (w9/C) box(Σ_ch x²) + σ_b²,  a → w9 box(a/2 + a₊) + a₋ + σ_b²,  w9 = σ_w²/9

with ₊ and ₋ the starts of shortcuts as there, and σ_b² once for each convolution that ends there and has a bias.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from advntk.foundation import threads
from advntk.foundation.arrays import checked_images, require_images, require_labels, require_matrix
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Pullback
from advntk.ingredients.kernels import numba_planes, numba_stages
from advntk.ingredients.kernels.numba_lanes import LANES
from advntk.ingredients.kernels.numba_math import HALF, aligned_rows, expand, inverse_of, mirror_upper, project
from advntk.ingredients.kernels.relu_plan import ConvPlan

TILE_MB = 64.0
"""What a tile lays out of its columns at a time, in MiB."""


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


class _Blocks(NamedTuple):
    """Training images, LANES side by side, in (blocks, channels or activations, H, W · LANES).

    Attributes:
        images: x − 0.5.
        deviations: s_b before every activation.
        half_inverses: 1/(2 s_b), or nothing where the loops do without: twice the memory saves a thirtieth of the time.
    """

    images: np.ndarray
    deviations: np.ndarray
    half_inverses: np.ndarray | None


class NumbaConv:
    """Θ of a convolutional ReLU network in float32.

    Args:
        plan: its layers.
        sigma_w: σ_w.
        sigma_b: σ_b.
        input_shape: (H, W, C).
    """

    name = "numba"

    def __init__(self, plan: ConvPlan, *, sigma_w: float, sigma_b: float, input_shape: tuple[int, int, int]) -> None:
        self.plan = plan
        self.depth = len(plan.biases)
        self.program = plan.program() if plan.shortcuts else None
        self.input_shape = input_shape
        self.w2 = sigma_w**2
        self.b2 = sigma_b**2
        height, width, channels = input_shape
        kept = 2 if self.program is None else 1
        self.block_mb = LANES * height * width * (channels + kept * self.depth) * 4 / 2**20

    def deviations(self, centred: np.ndarray) -> np.ndarray:
        """√a before every activation for images − 0.5 (m, C, H, W): (m, L, H, W), float32."""
        w9, biases = self.w2 / 9, [self.b2 * count for count in self.plan.biases]
        squares = np.einsum("mchw,mchw->mhw", centred, centred, dtype=np.float64)
        found = [w9 / centred.shape[1] * box_sum(squares) + biases[0]]
        for before, after, bias in zip(self.plan.before, self.plan.after, biases[1:], strict=True):
            inside = found[-1] / 2 if before < 0 else found[-1] / 2 + found[before]
            outside = bias if after < 0 else bias + found[after]
            found.append(w9 * box_sum(inside) + outside)
        return np.stack([np.sqrt(variance, dtype=np.float32) for variance in found], axis=1)

    def variance_pullback(self, centred: np.ndarray, by_variance: np.ndarray) -> np.ndarray:
        """Adjoints of a (m, L, H, W), overwritten, → those of the images (m, C, H, W)."""
        w9 = np.float32(self.w2 / 9)
        for stage in range(self.depth - 2, -1, -1):
            before, after = self.plan.before[stage], self.plan.after[stage]
            inside = w9 * box_sum(by_variance[:, stage + 1])
            by_variance[:, stage] += HALF * inside
            if before >= 0:
                by_variance[:, before] += inside
            if after >= 0:
                by_variance[:, after] += by_variance[:, stage + 1]
        by_square = w9 / np.float32(centred.shape[1]) * box_sum(by_variance[:, 0])
        return np.asarray(2 * by_square[:, None] * centred)

    def blocks(self, images: np.ndarray) -> _Blocks:
        """Lay out training images; the last block is filled up with its last image."""
        count = -(-len(images) // LANES)
        height, width, channels = self.input_shape
        rows = width * LANES
        xb = aligned_rows(count * channels * height, rows).reshape(count, channels, height, rows)
        sb = aligned_rows(count * self.depth * height, rows).reshape(count, self.depth, height, rows)
        for block in range(count):
            part = _centred(images[block * LANES : (block + 1) * LANES])
            short = LANES - len(part)
            if short:
                part = np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
            xb[block] = np.moveaxis(part, 0, -1).reshape(channels, height, rows)
            sb[block] = np.moveaxis(self.deviations(part), 0, -1).reshape(self.depth, height, rows)
        if self.program is not None:
            return _Blocks(xb, sb, None)
        ib = aligned_rows(count * self.depth * height, rows).reshape(sb.shape)
        for block in range(count):
            ib[block] = HALF * inverse_of(sb[block])
        return _Blocks(xb, sb, ib)

    def parts(self, images: np.ndarray, memory_mb: float) -> Iterator[tuple[slice, _Blocks]]:
        """The blocks of all images, as many at a time as fit."""
        step = LANES * max(1, int(memory_mb / self.block_mb))
        for start in range(0, len(images), step):
            part = slice(start, min(start + step, len(images)))
            yield part, self.blocks(images[part])

    def theta(self, centred: np.ndarray, deviations: np.ndarray, blocks: _Blocks, above: int) -> np.ndarray:
        """Θ of images − 0.5 and blocks, (m, blocks · LANES).

        Args:
            centred: images − 0.5, (m, C, H, W).
            deviations: theirs, (m, L, H, W).
            blocks: training images.
            above: images before the first block; a block meets those before it, and its own number.

        Returns:
            Θ; what no block meets is left as memory was.
        """
        threads.start("numba")
        out = np.empty((len(centred), len(blocks.images) * LANES), np.float32)
        own, (xb, sb, ib) = (centred, deviations), blocks
        w2, b2 = np.float32(self.w2), np.float32(self.b2)
        if self.program is None:
            numba_planes.theta_blocks(*own, inverse_of(deviations), xb, sb, ib, w2, b2, above, out)
        else:
            numba_stages.theta_blocks(self.program, *own, xb, sb, w2, b2, above, out)
        return out

    def add_pullback(
        self,
        centred: np.ndarray,
        deviations: np.ndarray,
        blocks: _Blocks,
        cotangent: np.ndarray,
        gradient: np.ndarray,
        by_variance: np.ndarray,
    ) -> None:
        """Pull a cotangent of Θ (m, blocks · LANES) back, added to ``gradient`` and, by a, to ``by_variance``."""
        xb, sb, ib = blocks
        own, out = (centred, deviations, inverse_of(deviations)), (cotangent, gradient, by_variance)
        w2 = np.float32(self.w2)
        if self.program is None:
            numba_planes.pullback_blocks(*own, xb, sb, ib, w2, *out)
        else:
            numba_stages.pullback_blocks(self.program, *own, xb, sb, w2, *out)

    def _checked(self, images: np.ndarray, where: str, *, least: int = 0) -> np.ndarray:
        return checked_images(images, self.input_shape, where=where, in_unit_box=False, least=least)

    def _tile(self, a: np.ndarray, b: np.ndarray, *, triangle: bool) -> np.ndarray:
        centred, out = _centred(a), np.empty((len(a), len(b)), np.float32)
        deviations = self.deviations(centred)
        for part, blocks in self.parts(b, TILE_MB):
            theta = self.theta(centred, deviations, blocks, part.start if triangle else len(a))
            out[:, part] = theta[:, : part.stop - part.start]
        return out

    def tile(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Θ(a, b), (len(a), len(b)), float32."""
        return self._tile(self._checked(a, "tile"), self._checked(b, "tile"), triangle=False)

    def tile_symmetric(self, a: np.ndarray) -> np.ndarray:
        """Θ(a, a), exactly symmetric; only the blocks on and above the diagonal are evaluated."""
        a = self._checked(a, "tile_symmetric")
        out = self._tile(a, a, triangle=True)
        mirror_upper(out)
        return out

    def bind(self, train_images: np.ndarray, *, memory_mb: float) -> BoundNumbaConv:
        """Fix the training images; see :class:`BoundNumbaConv`."""
        return BoundNumbaConv(self, train_images, memory_mb=memory_mb)


class BoundNumbaConv:
    """Θ(·, X) of a convolutional ReLU network for fixed training images X.

    Args:
        engine: the kernel.
        train_images: X, (n, H, W, C) in [0, 1].
        memory_mb: bound on what is kept of X beside X itself; where it is too little for the whole of X, X is laid
            out anew, part by part, at each call.
    """

    def __init__(self, engine: NumbaConv, train_images: np.ndarray, *, memory_mb: float) -> None:
        self.engine = engine
        self.train_images = train_images = engine._checked(train_images, "bind", least=1)
        self.n = len(train_images)
        self.memory_mb = memory_mb
        fits = -(-len(train_images) // LANES) * engine.block_mb <= memory_mb
        self._kept = list(engine.parts(train_images, memory_mb)) if fits else None

    def native(self, array: np.ndarray) -> np.ndarray:
        """The array itself: this engine works on numpy arrays."""
        return np.asarray(array)

    def reserve(self, batch: int) -> None:
        """Nothing: these loops take batches of any size."""

    def _parts(self) -> Iterator[tuple[slice, _Blocks]]:
        yield from self.engine.parts(self.train_images, self.memory_mb) if self._kept is None else self._kept

    def _rows(self, centred: np.ndarray, deviations: np.ndarray) -> np.ndarray:
        out = np.empty((len(centred), self.n), np.float32)
        for part, blocks in self._parts():
            out[:, part] = self.engine.theta(centred, deviations, blocks, len(centred))[:, : part.stop - part.start]
        return out

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Θ(images, X), (m, n), float32."""
        centred = _centred(self.engine._checked(images, "rows"))
        return self._rows(centred, self.engine.deviations(centred))

    def linearize(self, images: np.ndarray, coef: np.ndarray) -> tuple[np.ndarray, Pullback]:
        """Logits Θ(x, X) @ coef (m, c); the pullback evaluates each pair again with its reverse sweep.

        Returns:
            Logits in the wider precision of Θ (float32) and ``coef``, and (m, c) → (m, H, W, C), float32.
        """
        images = np.asarray(images)
        require_images(images, self.engine.input_shape, where="linearize")
        require_matrix(coef, self.n, None, what="coef", where="linearize")
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
            require_matrix(cotangent, len(theta), len(across), what="cotangent", where="pullback")
            threads.start("numba")
            weights = np.empty_like(theta)
            expand(np.asarray(cotangent, dtype=np.float32), across, weights)
            return self._pullback(centred, deviations, weights)

        return logits, pullback

    def loss_and_gradient(
        self, images: np.ndarray, labels: np.ndarray, coef: np.ndarray, loss: LossName
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Logits Θ(x, X) @ coef (m, c), losses (m,) and their gradients by the images (m, H, W, C), float32."""
        images = np.asarray(images)
        require_images(images, self.engine.input_shape, where="loss_and_gradient")
        require_labels(labels, len(images), where="loss_and_gradient")
        logits, pullback = self.linearize(images, np.asarray(coef, dtype=np.float32))
        values, slope = value_and_logit_gradient(loss, logits, one_hot(labels, coef.shape[1], np.float32))
        return logits, values, pullback(slope)

    def _pullback(self, centred: np.ndarray, deviations: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Gradient by the images (m, H, W, C) of Σ cotangent · Θ(images, X)."""
        gradient, by_variance = np.zeros_like(centred), np.zeros_like(deviations)
        for part, blocks in self._parts():
            weights = np.zeros((len(centred), len(blocks.images) * LANES), np.float32)
            weights[:, : part.stop - part.start] = cotangent[:, part]
            self.engine.add_pullback(centred, deviations, blocks, weights, gradient, by_variance)
        gradient += self.engine.variance_pullback(centred, by_variance)
        return np.ascontiguousarray(np.moveaxis(gradient, 1, 3))
