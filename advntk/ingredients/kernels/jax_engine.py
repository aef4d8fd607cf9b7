"""The neural-tangents engine: any spec, any device, float32 or float64, in fixed shapes so that little is compiled.

XLA compiles anew for every shape, and folds captured arrays into the program (seconds, for a training set): batches
are padded to a shape already used, and images and coefficients are arguments always.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from advntk.foundation import threads
from advntk.foundation.architecture import Architecture
from advntk.foundation.arrays import checked_images, require_images, require_labels, require_matrix
from advntk.foundation.device import enable_float64, float64_mode, require_jax
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Pullback
from advntk.ingredients.kernels.neural_tangents_wall import Kernel, infinite_kernel
from advntk.ingredients.networks.layers import Activate, AveragePool, Flatten, flat, layers_of

TILE_MB = 512.0
"""Bound on the temporaries of one compiled tile, when nothing else is said."""

TILE_ROWS, TILE_COLUMNS = 256, 2048
FORWARD_COPIES, GRADIENT_COPIES = 6, 5
"""Arrays of the size of the pair tensor alive at once: in all, forward; for each activation, with a reverse pass."""


def _power_of_two(size: int) -> int:
    return 1 << max(0, size - 1).bit_length()


def _padded(array: Any, size: int) -> Any:
    """The array (k, …) filled up to ``size`` rows by repeating its last one, or by zeros if it has none."""
    short = size - len(array)
    if short == 0:
        return array
    module = jnp if isinstance(array, jax.Array) else np
    last = array[-1:] if len(array) else module.zeros((1, *array.shape[1:]), array.dtype)
    return module.concatenate([array, module.repeat(last, short, axis=0)])


class JaxEngine:
    """Θ by neural-tangents.

    Args:
        spec: the architecture.
        input_shape: (H, W, C).
        device: where it runs.
        dtype: float64 turns on JAX's x64 mode for the whole process.
    """

    name = "neural_tangents"

    def __init__(
        self,
        spec: Architecture,
        input_shape: tuple[int, int, int],
        *,
        device: Literal["cpu", "gpu"],
        dtype: Literal["float32", "float64"],
    ) -> None:
        threads.start("JAX")
        require_jax()
        if dtype == "float64":
            enable_float64()
        self.input_shape = input_shape
        self.dtype = np.dtype(dtype)
        self.device = jax.devices(device)[0]
        layers = list(flat(layers_of(spec)))
        pixels = 1 if isinstance(layers[0], Flatten) else input_shape[0] * input_shape[1]
        pooled = any(isinstance(layer, AveragePool) for layer in layers)  # then every pixel meets every other
        self.activations = sum(isinstance(layer, Activate) for layer in layers)
        self.pair_bytes = self.dtype.itemsize * pixels ** (2 if pooled else 1)
        self.kernel = infinite_kernel(spec)
        self._compiled = jax.jit(self.kernel)
        self._diagonal = jax.jit(jax.vmap(lambda image: self.kernel(image[None], image[None])[0, 0]))
        self.ahead = 1 if device == "gpu" else 0  # tiles under way while an earlier one is taken

    def precision(self) -> AbstractContextManager[None]:
        """Where this engine's arithmetic belongs: in x64 mode neural-tangents would widen float32 inputs."""
        threads.start("JAX")
        return float64_mode(bool(self.dtype == np.float64))

    def native(self, array: np.ndarray) -> jax.Array:
        """The array on this engine's device; floats in its dtype, integers in 32 bits, others as they are."""
        threads.start("JAX")
        array = np.asarray(array)
        wanted = {"f": self.dtype, "i": np.dtype(np.int32), "u": np.dtype(np.int32)}.get(array.dtype.kind, array.dtype)
        placed: jax.Array = jax.device_put(array.astype(wanted), self.device)
        return placed

    def _checked(self, images: np.ndarray, where: str, *, least: int = 0) -> np.ndarray:
        return checked_images(images, self.input_shape, where=where, in_unit_box=False, least=least)

    def _tiles(self, a: np.ndarray, b: np.ndarray, *, memory_mb: float) -> np.ndarray:
        pairs = max(1, int(memory_mb * 2**20 / (FORWARD_COPIES * self.pair_bytes)))
        rows = min(TILE_ROWS, _power_of_two(len(a)), _power_of_two(pairs + 1) // 2)
        columns = min(TILE_COLUMNS, _power_of_two(len(b)), _power_of_two(pairs // rows + 1) // 2)
        out = np.empty((len(a), len(b)), self.dtype)
        coming: deque[tuple[np.ndarray, jax.Array]] = deque()

        def take(waiting: int) -> None:
            while len(coming) > waiting:
                here, theta = coming.popleft()
                here[...] = np.asarray(theta)[: here.shape[0], : here.shape[1]]

        above = [(top, self.native(_padded(a[top : top + rows], rows))) for top in range(0, len(a), rows)]
        for left in range(0, len(b), columns):
            second = self.native(_padded(b[left : left + columns], columns))
            for top, first in above:
                with self.precision():
                    theta = self._compiled(first, second)
                coming.append((out[top : top + rows, left : left + columns], self._homeward(theta)))
                take(self.ahead)
        take(0)
        return out

    def _homeward(self, theta: jax.Array) -> jax.Array:
        """The tile on its way to the host: off a GPU through pinned memory, fresh pages would slow it tenfold."""
        if self.device.platform == "cpu":
            return theta
        pinned: jax.Array = jax.device_put(theta, theta.sharding.with_memory_kind("pinned_host"))
        return pinned

    def tile(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Θ(a, b), (len(a), len(b)), in this engine's dtype."""
        return self._tiles(self._checked(a, "tile"), self._checked(b, "tile"), memory_mb=TILE_MB)

    def tile_symmetric(self, a: np.ndarray) -> np.ndarray:
        """Θ(a, a), made exactly symmetric from its upper triangle; its diagonal is computed in float64 always.

        There the cosines are 1, and rounding of a cosine is worth its square root in the angle.

        Returns:
            (len(a), len(a)), in this engine's dtype.
        """
        a = self._checked(a, "tile_symmetric")
        upper = np.triu(self.tile(a, a))
        theta = np.asarray(upper + np.triu(upper, 1).T)
        if self.dtype != np.float64 and len(a):
            np.fill_diagonal(theta, self._on_diagonal(a))
        return theta

    def _on_diagonal(self, images: np.ndarray) -> np.ndarray:
        """Θ(x, x) of each image, (n,), by float64 arithmetic."""
        pair_bytes = self.pair_bytes * 8 // self.dtype.itemsize
        together = min(_power_of_two(len(images)), max(1, int(TILE_MB * 2**20 / (FORWARD_COPIES * pair_bytes))))
        parts = []
        with float64_mode(True):
            for low in range(0, len(images), together):
                some = _padded(images[low : low + together].astype(np.float64), together)
                parts.append(np.asarray(self._diagonal(jax.device_put(some, self.device))))
        return np.concatenate(parts)[: len(images)]

    def bind(self, train_images: np.ndarray, *, memory_mb: float) -> BoundJaxKernel:
        """Fix the training images; see :class:`BoundJaxKernel`."""
        return BoundJaxKernel(self, train_images, memory_mb=memory_mb)


def _logits(points: jax.Array, coef: jax.Array, train: jax.Array, kernel: Kernel) -> jax.Array:
    """Θ(x, X) @ P with X in tiles: one pair tensor alive at a time, computed anew going back.

    Args:
        points: x, (m, H, W, C).
        coef: P, (n, c).
        train: X in t tiles, filled up to t · columns >= n, (t, columns, H, W, C).
        kernel: Θ.

    Returns:
        Logits (m, c).
    """
    tiles, columns = train.shape[:2]
    weights = jnp.pad(coef, ((0, tiles * columns - coef.shape[0]), (0, 0))).reshape(tiles, columns, -1)

    def part(tile: jax.Array, weight: jax.Array) -> jax.Array:
        return jnp.matmul(kernel(points, tile), weight, precision="highest")

    if tiles == 1:
        whole: jax.Array = part(train[0], weights[0])
        return whole
    again = jax.checkpoint(part)

    def add(total: jax.Array, tile: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + again(*tile), None

    zero = jnp.zeros((points.shape[0], coef.shape[1]), points.dtype)
    total: jax.Array = jax.lax.scan(add, zero, (train, weights))[0]
    return total


@partial(jax.jit, static_argnames=("kernel",))
def _forward(images: jax.Array, coef: jax.Array, train: jax.Array, *, kernel: Kernel) -> jax.Array:
    return _logits(images, coef, train, kernel)


@partial(jax.jit, static_argnames=("kernel",))
def _pull(images: jax.Array, cotangent: jax.Array, coef: jax.Array, train: jax.Array, *, kernel: Kernel) -> jax.Array:
    """Gradient by the images (m, H, W, C) of Σ cotangent · logits."""
    gradient: jax.Array = jax.vjp(lambda points: _logits(points, coef, train, kernel), images)[1](cotangent)[0]
    return gradient


@partial(jax.jit, static_argnames=("kernel", "loss"))
def _loss_and_gradient(
    images: jax.Array, labels: jax.Array, coef: jax.Array, train: jax.Array, *, kernel: Kernel, loss: LossName
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Logits (m, c), losses (m,) and gradients (m, H, W, C) in one program."""
    logits, pullback = jax.vjp(lambda points: _logits(points, coef, train, kernel), images)
    values, slope = value_and_logit_gradient(loss, logits, one_hot(labels, coef.shape[1], logits.dtype))
    return logits, values, pullback(slope)[0]


class BoundJaxKernel:
    """Θ(·, X) by neural-tangents for fixed training images X.

    Args:
        engine: the kernel.
        train_images: X, (n, H, W, C) in [0, 1].
        memory_mb: bound on the temporaries of a call.
    """

    def __init__(self, engine: JaxEngine, train_images: np.ndarray, *, memory_mb: float) -> None:
        self.engine = engine
        self.memory_mb = memory_mb
        self.train_images = engine._checked(train_images, "bind", least=1)
        self.n = len(self.train_images)
        self._batch = 0
        self._tiled: jax.Array | None = None

    def native(self, array: np.ndarray) -> jax.Array:
        """The array on the engine's device, floats in its dtype."""
        return self.engine.native(array)

    def rows(self, images: np.ndarray) -> np.ndarray:
        """Θ(images, X), (m, n)."""
        return self.engine._tiles(self.engine._checked(images, "rows"), self.train_images, memory_mb=self.memory_mb)

    def reserve(self, batch: int) -> None:
        """Smaller batches are padded to this size from now on."""
        self._train_tiles(max(batch, self._batch))

    def _train_tiles(self, batch: int) -> jax.Array:
        """X in tiles for batches of this size, (t, columns, H, W, C), the last one filled up by repetition."""
        if self._tiled is None or batch != self._batch:
            copies = GRADIENT_COPIES * max(1, self.engine.activations)
            most = max(1, int(self.memory_mb * 2**20 / (copies * self.engine.pair_bytes * batch)))
            tiles = -(-self.n // most)
            columns = -(-self.n // tiles)
            filled = _padded(self.train_images, tiles * columns)
            self._tiled = self.native(filled.reshape(tiles, columns, *filled.shape[1:]))
            self._batch = batch
        return self._tiled

    def linearize(self, images: jax.Array, coef: jax.Array) -> tuple[jax.Array, Pullback]:
        """Logits Θ(x, X) @ coef (m, c) and their pullback, which computes forward once more; padded as below.

        Returns:
            Logits (m, c) and (m, c) → (m, H, W, C), in the engine's dtype.
        """
        require_images(images, self.engine.input_shape, where="linearize")
        require_matrix(coef, self.n, None, what="coef", where="linearize")
        count = len(images)
        batch = max(1, count, self._batch)
        train = self._train_tiles(batch)
        with self.engine.precision():
            coef = jnp.asarray(coef, dtype=self.engine.dtype)
            points = _padded(jnp.asarray(images, self.engine.dtype), batch)
            logits = _forward(points, coef, train, kernel=self.engine.kernel)[:count]

        def pullback(cotangent: jax.Array) -> jax.Array:
            require_matrix(cotangent, count, coef.shape[1], what="cotangent", where="pullback")
            with self.engine.precision():
                weights = _padded(jnp.asarray(cotangent, self.engine.dtype), batch)
                gradient: jax.Array = _pull(points, weights, coef, train, kernel=self.engine.kernel)
                return gradient[:count]

        return logits, pullback

    def loss_and_gradient(
        self, images: jax.Array, labels: jax.Array, coef: jax.Array, loss: LossName
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Logits, losses and gradients; a batch smaller than the last one is padded to its size, not compiled anew.

        Returns:
            Logits Θ(x, X) @ coef (m, c), losses (m,) and their gradients by the images (m, H, W, C).
        """
        require_images(images, self.engine.input_shape, where="loss_and_gradient")
        require_labels(labels, len(images), where="loss_and_gradient")
        require_matrix(coef, self.n, None, what="coef", where="loss_and_gradient")
        count = len(images)
        batch = max(1, count, self._batch)
        train = self._train_tiles(batch)
        with self.engine.precision():
            coef = jnp.asarray(coef, dtype=self.engine.dtype)
            points = _padded(jnp.asarray(images, self.engine.dtype), batch)
            classes = _padded(jnp.asarray(labels), batch)
            logits, values, gradient = _loss_and_gradient(
                points, classes, coef, train, kernel=self.engine.kernel, loss=loss
            )
            return logits[:count], values[:count], gradient[:count]
