"""The reference forms: dense float32 matrix functions with autodiff, and jitted neural-tangents.

They are what a straightforward JAX program of the paper's formulas does. Arrays are arguments, never constants of the
program; everything is compiled before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from advntk.attacks.entries import pgd
from advntk.foundation.architecture import Architecture
from advntk.foundation.device import float64_mode
from advntk.foundation.losses import one_hot
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.neural_tangents_wall import infinite_kernel
from benchmarks.options import Device

Compiled = Callable[..., Any]

BATCH, THREAT, ATTACK = 128, ThreatModel(eps255=8.0), pgd.Options(steps=10)  # of both forms

TILE_SIDES = {"cpu": {"mlp": 2048, "cnn": 16, "resnet": 16}, "gpu": {"mlp": 4096, "cnn": 128, "resnet": 128}}
"""Images along each side of a tile, small enough for any memory: on two cores the fastest of several."""


def coefficients(diagonal: jax.Array, theta: jax.Array, targets: jax.Array) -> jax.Array:
    """P(D) = Θ⁻¹ (I − e^{−ΘD}) Y by a dense matrix exponential and an explicit inverse, (n, c)."""
    decay = jax.scipy.linalg.expm(-theta * diagonal[None, :])
    out: jax.Array = jnp.linalg.inv(theta) @ (targets - decay @ targets)
    return out


def objective(
    diagonal: jax.Array, theta: jax.Array, targets: jax.Array, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Σ P∘G, and P."""
    coef = coefficients(diagonal, theta, targets)
    return jnp.sum(coef * cotangent), coef


def native(array: Any) -> jax.Array:
    """The array for JAX, float32; numpy converts what is not, as XLA would compile a program for it."""
    return array if isinstance(array, jax.Array) else jnp.asarray(np.asarray(array, np.float32))


def dense_solver(n: int, classes: int) -> tuple[Compiled, Compiled]:
    """P of D, Θ and Y; ((Σ P∘G, P), gradient by D) of D, Θ, Y and G: float32, both compiled for one n."""
    sizes = ((n,), (n, n), (n, classes), (n, classes))
    shapes = [jax.eval_shape(partial(jnp.zeros, size, jnp.float32)) for size in sizes]
    both = jax.jit(jax.value_and_grad(objective, has_aux=True))
    return jax.jit(coefficients).lower(*shapes[:3]).compile(), both.lower(*shapes).compile()


class ReferenceAttack:
    """PGD on jitted neural-tangents for X (n, H, W, C) and P (n, c): at each step a prediction, then a gradient."""

    def __init__(self, spec: Architecture, train: np.ndarray, coef: np.ndarray) -> None:
        kernel = infinite_kernel(spec)
        self.train = native(train)
        self.coef = native(coef)

        def predict(images: jax.Array, train: jax.Array, coef: jax.Array) -> jax.Array:
            return jnp.matmul(kernel(images, train), coef, precision="highest")

        def loss(images: jax.Array, target: jax.Array, train: jax.Array, coef: jax.Array) -> jax.Array:
            return 0.5 * jnp.sum((predict(images, train, coef) - target) ** 2)

        def step(images: jax.Array, gradient: jax.Array, clean: jax.Array) -> jax.Array:
            moved = images + ATTACK.step_ratio * THREAT.radius * THREAT.steepest(gradient)
            projected: jax.Array = THREAT.project(moved, clean)
            return projected

        forms = (kernel, predict, jax.grad(loss), step)
        jitted: list[Callable[..., jax.Array]] = [jax.jit(form) for form in forms]
        self._kernel, self._predict, self._slope, self._step = jitted

    def logits(self, images: Any) -> jax.Array:
        """f(x), (m, c)."""
        return self._predict(native(images), self.train, self.coef)

    def rows(self, images: Any) -> jax.Array:
        """Θ(x, X), (m, n)."""
        return self._kernel(native(images), self.train).block_until_ready()

    def gradient(self, images: Any, labels: np.ndarray) -> jax.Array:
        """Gradient of ½‖f(x) − y‖² of each image by itself, (m, H, W, C)."""
        target = native(one_hot(labels, self.coef.shape[1], np.float32))
        return self._slope(native(images), target, self.train, self.coef)

    def run(self, clean: np.ndarray, labels: np.ndarray, start: np.ndarray, steps: int = ATTACK.steps) -> np.ndarray:
        """The images (m, H, W, C) after PGD around ``clean`` from ``start``."""
        centre, images = native(clean), native(start)
        for _ in range(steps):
            self.logits(images).block_until_ready()
            images = self._step(images, self.gradient(images, labels), centre)
        return np.asarray(images)


@cache
def _jitted(spec: Architecture) -> Compiled:
    return jax.jit(infinite_kernel(spec))


def reference_gram(
    spec: Architecture, images: np.ndarray, *, device: Device, dtype: Any = np.float32, side: int = 0
) -> np.ndarray:
    """Θ(images, images), (n, n), by jitted neural-tangents, the full square in tiles; float64 to measure accuracy."""
    out, side = np.empty((len(images), len(images)), dtype), side or TILE_SIDES[device][spec.family]
    with float64_mode(dtype is np.float64):
        parts = [jnp.asarray(images[low : low + side], dtype) for low in range(0, len(images), side)]
        for i, left in enumerate(parts):
            for j, right in enumerate(parts):
                tile = np.asarray(_jitted(spec)(left, right))
                out[i * side : i * side + len(left), j * side : j * side + len(right)] = tile
    return out
