"""Layers as data: a family turns a spec into a list of these, and interpreters turn the list into networks.

The interpreters are ``kernels/neural_tangents_wall.py`` (infinite kernel and finite JAX network),
``networks/finite_torch.py``, and the numba kernels of the shapes that they know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advntk.foundation import registry
from advntk.foundation.architecture import Activation, Architecture, Padding

FAMILIES = registry.FAMILIES
"""The registry of families."""


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """(m, H, W, C) → (m, H·W·C), in that order."""


@dataclass(frozen=True, kw_only=True)
class AveragePool:
    """Mean over all pixels, (m, H, W, C) → (m, C) (global average pooling)."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """σ_w/√fan_in · W x + σ_b b; ``width`` outputs, or one per class where it is None."""

    width: int | None


@dataclass(frozen=True, kw_only=True)
class Conv:
    """3×3 convolution, padded to the same size, fan_in = 9 · channels; without ``bias`` σ_b b is left out."""

    width: int
    bias: bool = True
    padding: Padding = "zero"


@dataclass(frozen=True, kw_only=True)
class Activate:
    """An activation function, elementwise."""

    function: Activation


@dataclass(frozen=True, kw_only=True)
class Residual:
    """The sum of two paths from the same input; an empty ``shortcut`` is the identity."""

    main: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


Layer = Flatten | AveragePool | Dense | Conv | Activate | Residual


def layers_of(spec: Architecture) -> list[Layer]:
    """The layers of a spec, from its family; what the family does not have (a depth, pooling) is a ``ConfigError``."""
    found: list[Layer] = registry.get(FAMILIES, spec.family)(spec)
    return found


def flat(layers: Sequence[Layer]) -> Iterator[Layer]:
    """All layers, those inside of residual blocks too, in the order of their parameters: main path, then shortcut."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from flat(layer.main)
            yield from flat(layer.shortcut)
        else:
            yield layer
