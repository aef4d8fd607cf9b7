"""The reference forms: dense float32 matrix functions with autodiff, and jitted neural-tangents.

They are what a straightforward JAX program of the paper's formulas does. Arrays are arguments, never constants of the
program; everything is compiled before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from advntk.foundation.architecture import Architecture
from advntk.foundation.device import float64_mode
from advntk.foundation.losses import one_hot
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.neural_tangents_wall import infinite_kernel

_TILE_SIDES = {"cpu": {"mlp": 2048, "cnn": 16, "resnet": 16}, "gpu": {"mlp": 4096, "cnn": 128, "resnet": 128}}
"""Images along each side of a tile, small enough for any memory: on two cores the fastest of several."""


def coefficients(diagonal: jax.Array, theta: jax.Array, targets: jax.Array) -> jax.Array:
    """P(D) = Θ⁻¹ (I − e^{−ΘD}) Y by a dense matrix exponential and an explicit inverse, (n, c)."""
    decay = jax.scipy.linalg.expm(-theta * diagonal[None, :])
    out: jax.Array = jnp.linalg.inv(theta) @ (targets - decay @ targets)
    return out


def _objective(
    diagonal: jax.Array, theta: jax.Array, targets: jax.Array, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    coef = coefficients(diagonal, theta, targets)
    return jnp.sum(coef * cotangent), coef


class DenseSolver:
    """P(D), and P(D) with the gradient of Σ P∘G, compiled for one n.

    Args:
        n: images.
        classes: c.
        dtype: of all arrays; float64 is for tests of the form itself.
    """

    def __init__(self, n: int, classes: int, dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        vector, square, block = ((n,), (n, n), (n, classes))
        with self._precision():
            shapes: list[Any] = [
                jax.eval_shape(partial(jnp.zeros, shape, self.dtype)) for shape in (vector, square, block, block)
            ]
            self._solve = jax.jit(coefficients).lower(*shapes[:3]).compile()
            self._both = jax.jit(jax.value_and_grad(_objective, has_aux=True)).lower(*shapes).compile()

    def _precision(self) -> AbstractContextManager[None]:
        return float64_mode(bool(self.dtype == np.float64))

    def native(self, array: np.ndarray) -> jax.Array:
        """The array for JAX, in this solver's dtype."""
        with self._precision():
            return jnp.asarray(np.asarray(array, dtype=self.dtype))

    def solve(self, diagonal: jax.Array, theta: jax.Array, targets: jax.Array) -> jax.Array:
        """P, (n, c)."""
        coef: jax.Array = self._solve(diagonal, theta, targets)
        return coef.block_until_ready()

    def solve_and_gradient(
        self, diagonal: jax.Array, theta: jax.Array, targets: jax.Array, cotangent: jax.Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """P (n, c) and the gradient by D (n,), as value and gradient of one objective."""
        (_, coef), slope = self._both(diagonal, theta, targets, cotangent)
        return np.asarray(coef), np.asarray(slope)


class ReferenceAttack:
    """PGD on jitted neural-tangents, float32: at each step a prediction, and then a gradient.

    Args:
        spec: the network.
        train: X, (n, H, W, C) in [0, 1].
        coef: P, (n, c).
    """

    def __init__(self, spec: Architecture, train: np.ndarray, coef: np.ndarray) -> None:
        kernel = infinite_kernel(spec)
        self.train = jnp.asarray(train, jnp.float32)
        self.coef = jnp.asarray(coef, jnp.float32)

        def predict(images: jax.Array, train: jax.Array, coef: jax.Array) -> jax.Array:
            return jnp.matmul(kernel(images, train), coef, precision="highest")

        def loss(images: jax.Array, target: jax.Array, train: jax.Array, coef: jax.Array) -> jax.Array:
            return 0.5 * jnp.sum((predict(images, train, coef) - target) ** 2)

        self._kernel = jax.jit(kernel)
        self._predict = jax.jit(predict)
        self._slope = jax.jit(jax.grad(loss))

    def logits(self, images: Any) -> jax.Array:
        """f(x), (m, c)."""
        out: jax.Array = self._predict(jnp.asarray(images, jnp.float32), self.train, self.coef)
        return out

    def rows(self, images: Any) -> jax.Array:
        """Θ(x, X), (m, n)."""
        out: jax.Array = self._kernel(jnp.asarray(images, jnp.float32), self.train)
        return out.block_until_ready()

    def gradient(self, images: Any, labels: np.ndarray) -> jax.Array:
        """Gradient of ½‖f(x) − y‖² of each image by itself, (m, H, W, C)."""
        target = jnp.asarray(one_hot(labels, self.coef.shape[1], np.float32))
        out: jax.Array = self._slope(jnp.asarray(images, jnp.float32), target, self.train, self.coef)
        return out

    def stepper(self, threat: ThreatModel, step_size: float) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
        """The compiled update of the images: a signed step, and the projection around the clean ones."""

        def step(images: jax.Array, gradient: jax.Array, clean: jax.Array) -> jax.Array:
            moved: jax.Array = threat.project(images + step_size * threat.steepest(gradient), clean)
            return moved

        return jax.jit(step)

    def run(self, clean: np.ndarray, labels: np.ndarray, start: np.ndarray, *, steps: int, step: Any) -> np.ndarray:
        """PGD from ``start``; ``step`` is what :meth:`stepper` gave.

        Returns:
            The perturbed images (m, H, W, C), float32.
        """
        centre, images = jnp.asarray(clean, jnp.float32), jnp.asarray(start, jnp.float32)
        for _ in range(steps):
            self.logits(images).block_until_ready()
            images = step(images, self.gradient(images, labels), centre)
        return np.asarray(images)


class ReferenceGram:
    """Θ of the full square by jitted neural-tangents, in tiles.

    Args:
        spec: the network.
        dtype: float32, or float64 as the measure of accuracy.
        device: where JAX computes; it sizes the tiles.
    """

    def __init__(self, spec: Architecture, dtype: Any = np.float32, *, device: Literal["cpu", "gpu"] = "cpu") -> None:
        self._kernel = jax.jit(infinite_kernel(spec))
        self.dtype = np.dtype(dtype)
        self.side = _TILE_SIDES[device][spec.family]

    def square(self, images: np.ndarray) -> np.ndarray:
        """Θ(images, images), (n, n)."""
        out = np.empty((len(images), len(images)), self.dtype)
        side = self.side
        with float64_mode(bool(self.dtype == np.float64)):
            parts = [jnp.asarray(images[low : low + side], self.dtype) for low in range(0, len(images), side)]
            for i, left in enumerate(parts):
                for j, right in enumerate(parts):
                    tile = np.asarray(self._kernel(left, right))
                    out[i * side : i * side + len(left), j * side : j * side + len(right)] = tile
        return out
