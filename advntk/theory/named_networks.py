"""Networks by short names, such as ``mlp-erf`` or ``cnn_average-relu``: family, pooling or padding, activation."""

from __future__ import annotations

from advntk.foundation.architecture import Architecture


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
