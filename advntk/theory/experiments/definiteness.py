"""E5: are ARK, Θ and Ξ^½ΘΞ^½ positive definite, as the paper assumes, and how well are they conditioned?

Measured for each network, on images as they are and on the same images moved to a corner of the ball, at random:

    ark      eigenvalues of the c×c ARK of a finite network: the smallest over the largest, the worst image
    theta    smallest eigenvalue of Θ(X, X) of the infinite network over the largest
    blocks   the same of Ξ^½ΘΞ^½ with Ξ = exp(ARK ηS), the finite network's blocks, (n·c)×(n·c), for each strength
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from advntk.foundation.architecture import Activation
from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds
from advntk.theory.named_networks import Kind, named


class Options(Closed):
    """Networks, images and strengths."""

    families: list[Kind] = Field(default=["mlp", "cnn", "cnn_average"], description="networks; _average: with pooling")
    activations: list[Activation] = Field(default=["relu", "erf", "gelu"], description="activations")
    mlp_depth: int = Field(default=3, ge=2, description="dense layers")
    cnn_depth: int = Field(default=2, ge=1, description="convolutions")
    width: int = Field(default=128, ge=1, description="units of the finite mlp; a cnn has a quarter")
    n: int = Field(default=60, ge=2, description="digits images")
    eps255: list[LinfRadius] = Field(
        default=[0.0, 32.0], description="radii by which images are moved, 1/255 of the range"
    )
    exposures: list[float] = Field(default=[0.5, 2.0, 4.0], description="mean ARK eigenvalue × ηS")
    seeds: int = Field(default=3, ge=2, description="splits and finite networks")


def units(options: Options) -> Sequence[Unit]:
    """One for each network and seed."""
    networks = [f"{family}-{activation}" for family in options.families for activation in options.activations]
    return with_seeds("network", networks, options.seeds, dataset="digits")


def run(study: Study) -> dict[str, Any]:
    """A row for each radius: ``ark`` and ``theta``; a row of strengths for each radius: ``blocks``."""
    import numpy as np

    from advntk.foundation.device import enable_float64

    enable_float64()
    import jax
    import jax.numpy as jnp

    from advntk.ingredients.kernels.engine import make_engine
    from advntk.ingredients.kernels.neural_tangents_wall import finite_network
    from advntk.ingredients.networks.jacobians import empirical_ark
    from advntk.theory.conditioning import conditioning, weighted
    from advntk.theory.kernel_lab import first_of

    options, split = study.options, study.data
    depths = {"mlp_depth": options.mlp_depth, "cnn_depth": options.cnn_depth}
    spec = named(study.unit.settings["network"], **depths, width=options.width)
    clean = first_of(split, "opt", options.n).images.astype(np.float64)
    engine = make_engine(
        spec, split.input_shape, engine="neural_tangents", device=study.compute.device, dtype="float64"
    )
    init, apply = finite_network(spec, split.input_shape, split.classes)
    parameters, ark_of = init(jax.random.key(study.unit.seed)), jax.jit(empirical_ark(apply))
    found: dict[str, Any] = {name: [] for name in ("ark", "theta", "blocks", "floors")}
    for radius in options.eps255:
        corners = study.generator("corners").choice([-1.0, 1.0], clean.shape)
        images = np.clip(clean + corners * radius / 255, 0.0, 1.0)
        gram = np.asarray(engine.tile_symmetric(images), dtype=np.float64)
        ark = np.asarray(ark_of(parameters, jnp.asarray(images)))
        ark = (ark + ark.swapaxes(1, 2)) / 2
        values, vectors = np.linalg.eigh(ark)
        found["ark"].append(float((values[:, 0] / values[:, -1]).min()))
        theta, by_blocks = conditioning(gram), []
        for exposure in options.exposures:
            blocks = np.einsum("iak,ik,ibk->iab", vectors, np.exp(exposure * values / values.mean()), vectors)
            by_blocks.append(conditioning(weighted(gram, blocks)))
        found["theta"].append(theta.smallest)
        found["blocks"].append([one.smallest for one in by_blocks])
        found["floors"].append({"theta": theta.floor, "blocks": by_blocks[0].floor})
    return found


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="positive definiteness and conditioning of ARK, of Θ and of Ξ^½ΘΞ^½",
)
