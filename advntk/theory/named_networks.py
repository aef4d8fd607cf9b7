"""Networks by short names, such as ``mlp-erf`` or ``cnn_average-relu``: family, pooling, activation."""

from __future__ import annotations

from advntk.foundation.architecture import Architecture


def named(network: str, *, mlp_depth: int, cnn_depth: int, width: int = 512) -> Architecture:
    """The spec that a name stands for.

    Args:
        network: family, ``_average`` where it pools, a hyphen, activation.
        mlp_depth: dense layers.
        cnn_depth: convolutions.
        width: of a finite mlp; a cnn has a quarter.

    Returns:
        It.
    """
    family, activation = network.split("-")
    kind, _, pooling = family.partition("_")
    return Architecture.model_validate(
        {
            "family": kind,
            "depth": mlp_depth if kind == "mlp" else cnn_depth,
            "activation": activation,
            "pooling": pooling or "none",
            "width": width if kind == "mlp" else max(1, width // 4),
        }
    )
