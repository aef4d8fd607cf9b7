"""What every trained predictor offers, whatever library it is made of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from advntk.foundation.losses import LossName


class Predictor(Protocol):
    """A classifier of images that attacks can differentiate.

    Images are float32 arrays (m, H, W, C) in [0, 1]; labels are integers (m,).
    """

    classes: int
    input_shape: tuple[int, int, int]

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits, (m, classes)."""
        ...

    def native(self, array: np.ndarray) -> Any:
        """A numpy array as this predictor's own kind of array, on its device."""
        ...

    def loss_and_gradient(self, images: Any, labels: Any, loss: LossName) -> tuple[Any, Any, Any]:
        """Logits (m, classes), loss of each example (m,) and its gradient by its own image (m, H, W, C).

        Takes and gives native arrays; a fresh gradient at each call.
        """
        ...
