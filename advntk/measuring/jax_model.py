"""A JAX function as a predictor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from advntk.foundation.arrays import checked_images
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Pullback


class JaxModel:
    """The :class:`~advntk.foundation.predictor.Predictor` of a function of images; native arrays are JAX arrays.

    Args:
        function: images (m, H, W, C) in [0, 1] → logits (m, classes), traceable by JAX.
        input_shape: (H, W, C).
        classes: number of logits.
        batch: images per call; larger inputs are cut into pieces.
    """

    def __init__(
        self, function: Callable[[Any], Any], *, input_shape: tuple[int, int, int], classes: int, batch: int
    ) -> None:
        self.function = jax.jit(function)
        self.input_shape, self.classes, self.batch = input_shape, classes, batch

    def native(self, array: np.ndarray) -> Any:
        """A numpy array as a JAX array."""
        return jnp.asarray(array)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits (m, classes) of images (m, H, W, C)."""
        images = checked_images(images, self.input_shape, where="logits").astype(np.float32, copy=False)
        pieces = range(0, len(images), self.batch)
        found = [np.asarray(self.function(images[start : start + self.batch])) for start in pieces]
        return np.concatenate(found) if found else np.zeros((0, self.classes), np.float32)

    def linearize(self, images: Any) -> tuple[Any, Pullback]:
        """Logits and their pullback."""
        logits, pull = jax.vjp(self.function, images)
        return logits, lambda cotangent: pull(jnp.asarray(cotangent, logits.dtype))[0]

    def loss_and_gradient(self, images: Any, labels: Any, loss: LossName) -> tuple[Any, Any, Any]:
        """Logits, loss of each image, and its gradient by its own image."""
        logits, pullback = self.linearize(images)
        value, gradient = value_and_logit_gradient(loss, logits, one_hot(labels, self.classes, logits.dtype))
        return logits, value, pullback(gradient)
