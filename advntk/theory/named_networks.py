"""Networks by short names: family, pooling or padding, activation or depth, such as ``mlp-erf``, ``cnn_average-5``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ValidationError

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.ingredients.networks.layers import layers_of

_DEPTHS = (2, 18)  # tried where a name has no depth: every family has one of these


def named(network: str, *, mlp_depth: int, cnn_depth: int, width: int = 512) -> Architecture:
    """The spec that a name stands for.

    Args:
        network: family, ``_average`` where it pools or ``_circular`` where it is padded so, a hyphen, activation.
        mlp_depth: dense layers.
        cnn_depth: convolutions.
        width: of a finite mlp; a cnn has a quarter.

    Returns:
        It.
    """
    kind, activation = network.split("-")
    depth, own = (mlp_depth, width) if kind == "mlp" else (cnn_depth, max(1, width // 4))
    return of_kind(kind, depth=depth, activation=activation, width=own)


def of_kind(kind: str, **fields: str | int) -> Architecture:
    """A spec from its kind, family with ``_average`` or ``_circular`` behind where it is so, and its other fields."""
    family, _, special = kind.partition("_")
    own = {"": {}, "circular": {"padding": "circular"}}.get(special, {"pooling": special})
    return Architecture.model_validate({"family": family, **own, **fields})


def _check(name: str, kind: str, **fields: str | int) -> str:
    """The name, if there is such a network; else a ``ValueError``, which pydantic reports with the key."""
    depths = (fields.pop("depth"),) if "depth" in fields else _DEPTHS
    wrong = ""
    for depth in depths:
        try:
            layers_of(of_kind(kind, depth=depth, **fields))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            wrong = wrong or f"{first['loc'][0]}: {first['msg']}"
        except ConfigError as error:
            wrong = wrong or error.what
        else:
            return name
    raise ValueError(f"'{name}' is no network: {wrong}")


def _of_activation(name: str) -> str:
    kind, _, activation = name.partition("-")
    return _check(name, kind, activation=activation)


def _of_depth(name: str) -> str:
    kind, _, depth = name.partition("-")
    return _check(name, kind, depth=depth)


Kind = Annotated[str, AfterValidator(lambda kind: _check(kind, kind))]
"""An option that names a kind: ``mlp``, ``cnn_average``."""

ActivatedNetwork = Annotated[str, AfterValidator(_of_activation)]
"""An option that names kind and activation: ``cnn_circular-erf``."""

DeepNetwork = Annotated[str, AfterValidator(_of_depth)]
"""An option that names kind and depth: ``resnet-18``."""
