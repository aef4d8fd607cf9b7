"""E6b: at finite width, is a diagonal Ξ enough?

ARK(x) of a finite network is a c×c matrix and so is each image's block of exp(ARK η S); the paper's Adv-NTK learns a
diagonal. Units ``mass``: how far those blocks are from diagonal, over the width, on digits and on normal inputs with
‖x − ½‖² = d. Units ``adv``: what leaving out the rest changes in adversarial training of the linearised network, and Ξ
learned on the robust loss of val with the network's own Θ, (n·c)×(n·c), as a number, a diagonal, one for each class,
and blocks. Measured on test images of the first c classes under PGD-10, from the image itself.

    mass    ‖offdiag(exp(ARK η S))‖_F / ‖diag(exp(ARK η S))‖_F, mean over points and networks; η S = exposure / κ     1
    change  rms over test logits of f_t with part of ARK − f_t with all of it, over the rms of f_t                   1
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit


class Options(Closed):
    """Networks, inputs, sizes and training of Ξ."""

    dataset: str = Field(default="digits", description="of the suite")
    depth: int = Field(default=3, ge=2, description="dense layers of the ReLU MLP")
    classes: int = Field(default=4, ge=2, description="c, the first of the dataset")
    exposure: float = Field(default=1.0, gt=0, description="κ η S of the inner attack's flow, without unit")
    widths: list[int] = Field(default=[64, 128, 256, 512, 1024], min_length=2, description="units of the MLP, mass")
    sides: list[int] = Field(
        default=[8, 16, 32], min_length=2, description="normal inputs are images of side × side: d is its square"
    )
    points: int = Field(default=16, ge=1, description="inputs at which ARK is measured")
    networks: int = Field(default=8, ge=1, description="networks over which a unit of mass takes the mean")
    repetitions: int = Field(default=5, ge=2, description="seeds of mass")
    width: int = Field(default=256, ge=1, description="units of the MLP, adv; Θ must be positive definite")
    train: int = Field(default=60, ge=2, description="n")
    val: int = Field(default=60, ge=1, description="images on which Ξ is learned and all else chosen")
    test: int = Field(default=150, ge=1, description="images of the results")
    noise: float = Field(default=0.3, ge=0, lt=1, description="share of wrong labels in training")
    eps255: LinfRadius = Field(default=32.0, gt=0, description="radius of the ℓ∞ ball, 1/255 of the pixel range")
    attack_steps: int = Field(default=10, ge=1, description="of PGD, inside training and at the end")
    steps: int = Field(default=60, ge=1, description="updates of Ξ of each freedom, by Adam")
    rate: float = Field(default=0.1, gt=0, description="of Adam, on log Ξ^½ of a number or a diagonal")
    block_rate: float = Field(default=0.05, gt=0, description="the same on entries of a Cholesky factor")
    times_per_decade: int = Field(default=4, ge=1, description="training times between 10⁻³ and 10² natural units")
    seeds: int = Field(default=5, ge=2, description="splits and networks of adv")


def units(options: Options) -> Sequence[Unit]:
    """``mass`` and ``adv``, one for each seed."""
    return [
        Unit(name=f"{kind}.seed{seed}", seed=seed, dataset=options.dataset, settings={"kind": kind})
        for kind, seeds in (("mass", options.repetitions), ("adv", options.seeds))
        for seed in range(seeds)
    ]


def run(study: Study) -> dict[str, Any]:
    """``mass``, (inputs, widths); or outcomes of predictors, (test images,), and changes over time."""
    from advntk.theory import finite_xi

    return finite_xi.mass(study) if study.unit.settings["kind"] == "mass" else finite_xi.adversarial(study)


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="blocks of exp(ARK η S) over the width, and Adv-NTK on the kernel of a finite network",
)
