"""CNN-x: x × [Conv 3×3, same size, activation], Flatten or average pooling, Dense(classes)."""

from __future__ import annotations

from advntk.foundation.architecture import Architecture
from advntk.ingredients.networks.layers import Activate, AveragePool, Conv, Dense, Flatten, Layer


def layers(spec: Architecture) -> list[Layer]:
    """The layers of a CNN of ``spec.depth`` convolutional layers."""
    block: list[Layer] = [Conv(width=spec.width, padding=spec.padding), Activate(function=spec.activation)]
    pooled: Layer = AveragePool() if spec.pooling == "average" else Flatten()
    return [*(block * spec.depth), pooled, Dense(width=None)]


ENTRY = layers
