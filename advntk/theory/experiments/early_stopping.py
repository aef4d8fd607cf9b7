"""E4: when is adversarial training (AT) of an infinitely wide network more than clean training stopped at another time?

Where κ is one number for all images, it is not: f_AT(t) = f_clean(t e^{κηS}) exactly. Measured for each network:

    spread      standard deviation of κ over training images, over its mean
    identity    max over t and test images of |f_AT(t) − f_clean(t e^{mean(κ) ηS})|, over max |f_clean|
    curves      accuracies of AT over time for several strengths (``theory/at_curves.py``); not with pooling, whose
                kernel is a hundred times the work
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds
from advntk.theory.named_networks import ActivatedNetwork, named


class Options(Closed):
    """Networks, data, strengths and times."""

    networks: list[ActivatedNetwork] = Field(
        default=[
            *("mlp-relu", "cnn-relu", "mlp-erf", "cnn-erf", "mlp-gelu", "cnn-gelu"),
            *("cnn_circular-relu", "cnn_circular-erf", "cnn_average-relu", "cnn_average-erf"),
        ],
        description="infinite networks: family (cnn_average: with pooling, cnn_circular: so padded), activation",
    )
    without_curves: list[ActivatedNetwork] = Field(
        default=["cnn-gelu", "cnn_circular-relu", "cnn_circular-erf"],
        description="of these κ and the clock alone, no accuracies (PGD through GELU's kernel takes thrice Erf's time)",
    )
    mlp_depth: int = Field(default=3, ge=2, description="dense layers")
    cnn_depth: int = Field(default=2, ge=1, description="convolutions")
    eps255: LinfRadius = Field(default=32, description="radius of PGD, 1/255 of the pixel range")
    n_train: int = Field(default=100, ge=2, description="training images")
    n_pooled: int = Field(default=30, ge=2, description="training and test images with pooling")
    n_val: int = Field(default=100, ge=1, description="images on which times are chosen")
    n_test: int = Field(default=150, ge=1, description="test images")
    noise: float = Field(default=0.3, ge=0, le=1, description="share of wrong training labels")
    exposures: list[float] = Field(default=[0.0, 4.0], description="mean κηS; the first is clean training")
    log_times: tuple[int, int] = Field(default=(-8, 4), description="ln t of the first and last time, step 1")
    seeds: int = Field(default=5, ge=2, description="splits")


def units(options: Options) -> Sequence[Unit]:
    """One for each network and seed."""
    return with_seeds("network", options.networks, options.seeds, dataset="digits")


def run(study: Study) -> dict[str, Any]:
    """Spread of κ, gap of the identity by strength, and curves over time."""
    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.splits import with_label_noise
    from advntk.theory.at_curves import at_curves, clock_gap, natural_times
    from advntk.theory.kernel_lab import KernelLab, first_of

    options, split = study.options, study.data
    spec = named(study.unit.settings["network"], mlp_depth=options.mlp_depth, cnn_depth=options.cnn_depth)
    pooled = spec.pooling != "none"
    train = first_of(split, "opt", min(options.n_train, options.n_pooled) if pooled else options.n_train)
    test = first_of(split, "test", min(options.n_test, options.n_pooled) if pooled else options.n_test)
    noisy = with_label_noise(train, options.noise, split.classes, study.generator("labels"))
    lab = KernelLab(spec, noisy, split.classes, study.compute)
    times = natural_times(options.log_times)
    found = {
        "times": times,
        "spread": float(lab.kappa.std() / lab.kappa.mean()),
        "identity": [clock_gap(lab, exposure, times, test.images) for exposure in options.exposures],
        "sizes": {"train": len(train), "test": len(test)},
    }
    if pooled or study.unit.settings["network"] in options.without_curves:
        return found
    curves = at_curves(
        lab,
        exposures=options.exposures,
        times=times,
        val=first_of(split, "val", options.n_val),
        test=test,
        threat=ThreatModel(eps255=options.eps255),
        seed=study.unit.seed,
    )
    return {**found, **curves}


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="adversarial training of infinite networks against clean training stopped at another time",
)
