"""E6: how free should the regularisation matrix Ξ of Adv-NTK be, and what does its gain come from?

f(x) = Θ(x, X) Θ⁻¹ (I − e^{−ΘΞ}) Y with Θ of an infinitely wide network. Ξ is learned on the robust loss of val: a
number times I, a diagonal shared by the classes (the paper's), one for each class, a c×c block for each image, or any
positive semi-definite matrix between images. Beside it stand predictors that use val otherwise: not at all, for one
stopping time, and as more training images. The training labels are true, or a share of them wrong; val's are true,
and, as a control, as wrong as those of training. Measured on test images under PGD-10: whether each is classified
correctly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds


class Options(Closed):
    """Sizes, attack and training of Ξ."""

    dataset: str = Field(default="digits", description="of the suite")
    depth: int = Field(default=3, ge=1, description="dense layers of the ReLU MLP")
    train: int = Field(default=100, ge=2, description="n, images with the labels Y")
    val: int = Field(default=100, ge=2, description="images on which Ξ is learned and all else chosen")
    test: int = Field(default=300, ge=1, description="images of the results")
    eps255: LinfRadius = Field(default=32.0, gt=0, description="radius of the ℓ∞ ball, 1/255 of the pixel range")
    noise: list[float] = Field(default=[0.0, 0.3], description="shares of wrong labels in training")
    steps: int = Field(default=80, ge=1, description="updates of Ξ of each freedom, by Adam")
    rate: float = Field(default=0.1, gt=0, description="of Adam, on log Ξ^½ of a number or a diagonal")
    matrix_rate: float = Field(default=0.05, gt=0, description="the same on entries of a Cholesky factor")
    advntk_rates: list[float] = Field(
        default=[0.3, 1.0], min_length=1, description="ζ of Adv-NTK in natural units of time, chosen on val"
    )
    advntk_steps: int = Field(default=50, ge=1, description="updates of Adv-NTK's ϖ (paper: 50)")
    advntk_long: int = Field(default=200, ge=1, description="updates to which it is continued")
    times_per_decade: int = Field(default=4, ge=1, description="stopping times between 10⁻³ and 10² natural units")
    seeds: int = Field(default=5, ge=2, description="splits")


def units(options: Options) -> Sequence[Unit]:
    """One for each share of wrong labels and seed."""
    return with_seeds("noise", options.noise, options.seeds, dataset=options.dataset)


def run(study: Study) -> dict[str, Any]:
    """Outcomes of all predictors, (test images,), and curves of Adv-NTK."""
    from advntk.theory.xi_study import compare

    return compare(study)


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="freedom of Ξ in Adv-NTK, against other uses of the same val images",
)
