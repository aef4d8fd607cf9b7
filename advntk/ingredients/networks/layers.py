"""Layers as data: a family turns a spec into a list of these, and three interpreters turn the list into networks.

The interpreters are ``kernels/neural_tangents_wall.py`` (infinite kernel and finite JAX network) and
``networks/finite_torch.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from advntk.foundation import registry
from advntk.foundation.architecture import Activation, Architecture

FAMILIES = "advntk.ingredients.networks.families"
"""The registry of families."""


@dataclass(frozen=True, kw_only=True)
class Flatten:
    """(m, H, W, C) → (m, H·W·C), in that order."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """σ_w/√fan_in · W x + σ_b b; ``width`` outputs, or one per class where it is None."""

    width: int | None


@dataclass(frozen=True, kw_only=True)
class Conv:
    """3×3 convolution, zero padding to the same size, fan_in = 9 · channels."""

    width: int


@dataclass(frozen=True, kw_only=True)
class Activate:
    """An activation function, elementwise."""

    function: Activation


Layer = Flatten | Dense | Conv | Activate


def layers_of(spec: Architecture) -> list[Layer]:
    """The layers of a spec, from its family."""
    found: list[Layer] = registry.get(FAMILIES, spec.family)(spec)
    return found
