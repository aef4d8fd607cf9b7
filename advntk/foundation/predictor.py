"""What every trained predictor offers, whatever library it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from advntk.foundation.losses import LossName

if TYPE_CHECKING:
    import numpy as np

Pullback = Callable[[Any], Any]
"""Cotangents of logits (m, classes) → cotangents of images (m, H, W, C), native arrays."""


class Predictor(Protocol):
    """A classifier of images that attacks can differentiate.

    Images are float arrays (m, H, W, C), m ≥ 0, labels integers (m,); ``InputError`` where shape or dtype is another.
    ``logits`` also refuses NaN and pixels outside [0, 1]. Native arrays are not read for that, as it would cost every
    step of an attack: what lies outside [0, 1] there is computed with.
    """

    classes: int
    input_shape: tuple[int, int, int]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits (m, classes) of images in [0, 1]."""
        ...

    def native(self, array: np.ndarray) -> Any:
        """A numpy array as this predictor's own kind of array, on its device."""
        ...

    def linearize(self, images: Any) -> tuple[Any, Pullback]:
        """Logits (m, classes) at these images, and the pullback there: u ↦ uᵀ ∂f/∂x, image by image.

        Takes and gives native arrays. For any loss whose gradient by the logits is known, and for attacks that
        differentiate by themselves.
        """
        ...

    def loss_and_gradient(self, images: Any, labels: Any, loss: LossName) -> tuple[Any, Any, Any]:
        """Logits (m, classes), loss of each example (m,) and its gradient by its own image (m, H, W, C).

        Takes and gives native arrays; a fresh gradient at each call.
        """
        ...
