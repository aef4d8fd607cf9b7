"""CNN-x: x × [Conv 3×3 SAME, activation], Flatten, Dense(classes); no pooling."""

from __future__ import annotations

from advntk.foundation.architecture import Architecture
from advntk.ingredients.networks.layers import Activate, Conv, Dense, Flatten, Layer


def layers(spec: Architecture) -> list[Layer]:
    """The layers of a CNN of ``spec.depth`` convolutional layers."""
    block: list[Layer] = [Conv(width=spec.width), Activate(function=spec.activation)]
    return [*(block * spec.depth), Flatten(), Dense(width=None)]


ENTRY = layers
