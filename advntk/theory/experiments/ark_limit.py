"""E2: does the adversarial regularisation kernel of a finite network tend to κ I_c?

At a fixed input dimension d it does not as the width grows: its limit is random, with mean κ I_c, about a Wishart
matrix of d degrees of freedom, whose deviation is √(c (c + 1)/d). It does where d grows too. Inputs are normal with
‖x − ½‖² = d. Measured for each width and d, over points:

    deviation  mean over points of ‖ARK(x)/κ(x) − I_c‖_F       1
    mean       mean over points and classes of ARK_kk(x)/κ(x)  1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.options import Closed
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds


class Options(Closed):
    """Widths, input dimensions and networks."""

    families: list[Literal["mlp", "cnn"]] = Field(default=["mlp", "cnn"], description="networks")
    depth: int = Field(default=3, ge=2, description="dense layers (mlp); convolutions (cnn: one less)")
    activation: Activation = Field(default="relu", description="activation")
    widths: list[int] = Field(default=[64, 128, 256, 512, 1024], description="units of an mlp; a cnn has a quarter")
    sides: list[int] = Field(default=[4, 8, 16, 32], description="inputs are images of side × side: d is its square")
    cnn_sides: list[int] = Field(default=[4, 8, 16], description="the same for a cnn, which takes d times as long")
    points: int = Field(default=16, ge=1, description="inputs at which ARK is measured")
    classes: int = Field(default=3, ge=1, description="c")
    seeds: int = Field(default=6, ge=2, description="networks")


def units(options: Options) -> Sequence[Unit]:
    """One for each family and seed."""
    return with_seeds("family", options.families, options.seeds)


def run(study: Study) -> dict[str, Any]:
    """Deviation and mean, (sides, widths)."""
    import numpy as np

    from advntk.foundation.device import enable_float64

    enable_float64()
    import jax

    from advntk.ingredients.kernels.ark import kappa
    from advntk.ingredients.kernels.neural_tangents_wall import finite_network
    from advntk.ingredients.networks.jacobians import empirical_ark

    options, family = study.options, study.unit.settings["family"]
    sides = options.sides if family == "mlp" else options.cnn_sides
    deviation, mean = [], []
    for side in sides:
        shape, d = (side, side, 1), side * side
        draws = study.generator("inputs", str(side)).standard_normal((options.points, d))
        images = 0.5 + (draws * np.sqrt(d) / np.linalg.norm(draws, axis=1, keepdims=True)).reshape(-1, *shape)
        rows = []
        for width in options.widths:
            spec = Architecture(
                family=family,
                depth=options.depth if family == "mlp" else options.depth - 1,
                activation=options.activation,
                width=width if family == "mlp" else max(1, width // 4),
            )
            init, apply = finite_network(spec, shape, options.classes)
            parameters = init(jax.random.key(study.unit.seed))
            ark = np.asarray(jax.jit(empirical_ark(apply))(parameters, images))
            relative = ark / kappa(spec, images).values[:, None, None]
            gap = np.linalg.norm(relative - np.eye(options.classes), axis=(1, 2))
            rows.append((gap.mean(), np.einsum("ikk->", relative) / relative[..., 0].size))
        deviation.append([row[0] for row in rows])
        mean.append([row[1] for row in rows])
    return {"d": [side * side for side in sides], "deviation": deviation, "mean": mean}


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="ARK of finite networks against κ I_c over width and input dimension",
)
