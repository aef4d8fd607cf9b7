"""ResNet-18 and ResNet-34 with pre-activation basic blocks, as the paper's kernels have them: no norm, no strides.

Conv 3×3; four stages of residual blocks [activation, Conv, activation, Conv], the first block of each stage with a
Conv 3×3 as its shortcut, the others with the identity; activation, Flatten, Dense(classes). The convolutions have no
biases. Stage k of the finite network has 2ᵏ · width channels.
"""

from __future__ import annotations

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.ingredients.networks.layers import Activate, Conv, Dense, Flatten, Layer, Residual

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Residual blocks of each stage, by depth."""


def layers(spec: Architecture) -> list[Layer]:
    """The layers of a ResNet.

    Returns:
        Layers.

    Raises:
        ConfigError: another depth than 18 or 34, pooling, or another padding than zero.
    """
    if spec.depth not in BLOCKS:
        raise ConfigError(f"no ResNet of depth {spec.depth}", where="architectures", remedy="give depth: 18 or 34")
    if spec.pooling != "none":
        raise ConfigError("the ResNet has no pooling", where="architectures", remedy="leave pooling out")
    if spec.padding != "zero":
        raise ConfigError("the ResNet is padded with zeros", where="architectures", remedy="leave padding out")
    found: list[Layer] = [Conv(width=spec.width, bias=False)]
    for stage, blocks in enumerate(BLOCKS[spec.depth]):
        for block in range(blocks):
            conv, act = Conv(width=2**stage * spec.width, bias=False), Activate(function=spec.activation)
            found.append(Residual(main=(act, conv, act, conv), shortcut=(conv,) if block == 0 else ()))
    return [*found, Activate(function=spec.activation), Flatten(), Dense(width=None)]


ENTRY = layers
