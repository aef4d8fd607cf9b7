"""E9: how do the network's kind and depth change what adversarial training reaches, and how soon it degenerates?

On infinite-width kernels with noisy labels (``theory/at_curves.py``). Two times, in units of 1 / mean diagonal of Θ:
where the distance to the natural solution is half of f_∞ itself, and where robust accuracy has fallen from its best
(chosen on val) halfway to that of the natural solution. The story reads both off the curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds
from advntk.theory.named_networks import DeepNetwork, of_kind


class Options(Closed):
    """Networks, data and times."""

    networks: list[DeepNetwork] = Field(
        default=["mlp-2", "mlp-3", "mlp-5", "mlp-8", "cnn-1", "cnn-2", "cnn-3", "cnn-5", "cnn_average-2", "resnet-18"],
        description="infinite ReLU networks: family (cnn_average: with pooling), depth",
    )
    eps255: LinfRadius = Field(default=32, description="radius of PGD, 1/255 of the pixel range")
    n_train: int = Field(default=100, ge=2, description="training images")
    n_val: int = Field(default=100, ge=1, description="images on which times are chosen")
    n_test: int = Field(default=150, ge=1, description="test images")
    n_pooled: int = Field(default=60, ge=2, description="all three, at most, with pooling")
    attack_pooled: bool = Field(
        default=False, description="PGD with pooling too, whose kernel works on all pairs of pixels"
    )
    noise: float = Field(default=0.3, ge=0, le=1, description="share of wrong training labels")
    exposure: float = Field(default=2.0, ge=0, description="mean κηS")
    log_times: tuple[int, int] = Field(default=(-9, 6), description="ln t of the first and last time, step 1")
    seeds: int = Field(default=4, ge=2, description="splits")


def units(options: Options) -> Sequence[Unit]:
    """One for each network and seed."""
    return with_seeds("network", options.networks, options.seeds, dataset="digits")


def run(study: Study) -> dict[str, Any]:
    """Curves over time, of one strength."""
    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.splits import with_label_noise
    from advntk.theory.at_curves import at_curves, natural_times
    from advntk.theory.kernel_lab import KernelLab, first_of

    options, split = study.options, study.data
    kind, depth = study.unit.settings["network"].split("-")
    spec = of_kind(kind, depth=int(depth))
    sizes = {"opt": options.n_train, "val": options.n_val, "test": options.n_test}
    pooled = spec.pooling != "none"
    if pooled:
        sizes = {part: min(size, options.n_pooled) for part, size in sizes.items()}
    train, val, test = (first_of(split, part, size) for part, size in sizes.items())
    noisy = with_label_noise(train, options.noise, split.classes, study.generator("labels"))
    times = natural_times(options.log_times)
    curves = at_curves(
        KernelLab(spec, noisy, split.classes, study.compute),
        exposures=[options.exposure],
        times=times,
        val=val,
        test=test,
        threat=None if pooled and not options.attack_pooled else ThreatModel(eps255=options.eps255),
        seed=study.unit.seed,
    )
    return {"times": times, "sizes": [len(train), len(val), len(test)], **curves}


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="best robust accuracy and degeneration time of adversarial training by architecture and depth",
)
