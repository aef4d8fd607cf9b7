"""MLP-x: Flatten, (x − 1) × [Dense, activation], Dense(classes)."""

from __future__ import annotations

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.ingredients.networks.layers import Activate, Dense, Flatten, Layer


def layers(spec: Architecture) -> list[Layer]:
    """The layers of an MLP of ``spec.depth`` dense layers in all.

    Returns:
        Layers.

    Raises:
        ConfigError: pooling or padding, which an MLP does not have.
    """
    if spec.pooling != "none":
        raise ConfigError("an MLP has no pooling", where="architectures", remedy="leave pooling out")
    if spec.padding != "zero":
        raise ConfigError("an MLP has no padding", where="architectures", remedy="leave padding out")
    hidden: list[Layer] = [Dense(width=spec.width), Activate(function=spec.activation)]
    return [Flatten(), *(hidden * (spec.depth - 1)), Dense(width=None)]


ENTRY = layers
