"""E3: does adversarial training (AT) end at the solution of training without attacks, and what does that cost?

On infinite-width kernels by the closed form (``theory/at_curves.py``), for several strengths κηS of the inner attack,
with clean and with noisy labels; and on finite networks trained by gradient flow (``theory/finite_at.py``), with the
inner flow of the theory and with PGD. Times are in natural units, 1 / mean diagonal of Θ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.options import Closed
from advntk.foundation.threat import LinfRadius
from advntk.theory.experiment import Experiment, Study, Unit

Family = Literal["mlp", "cnn"]


class Options(Closed):
    """Data, strengths, times and networks."""

    networks: dict[str, list[Family]] = Field(
        default={"digits": ["mlp", "cnn"]}, description="infinite networks by dataset, one of the suite or digits"
    )
    depth: int = Field(default=3, ge=1, description="dense layers (mlp); convolutions (cnn)")
    activation: Activation = Field(default="relu", description="activation")
    eps255: dict[str, LinfRadius] = Field(
        default={"digits": 32, "fashion_mnist": 8}, description="radius of PGD by dataset, 1/255 of the pixel range"
    )
    n_train: int = Field(default=300, ge=2, description="training images of a kernel")
    n_val: int = Field(default=150, ge=1, description="images on which times are chosen")
    n_test: int = Field(default=300, ge=1, description="test images")
    noise: list[float] = Field(default=[0.0, 0.3], description="shares of wrong training labels")
    finite_noise: list[float] = Field(default=[0.0, 0.3], description="the same for finite networks; empty: none")
    exposures: list[float] = Field(default=[0.0, 2.0, 4.0], description="mean κηS; the first is clean training")
    log_times: tuple[int, int] = Field(default=(-8, 6), description="ln t of a kernel's first and last time, step 1")
    seeds: int = Field(default=5, ge=2, description="splits, for kernels")
    finite_seeds: int = Field(default=4, ge=2, description="splits and networks, finite; none more than seeds")
    finite_width: int = Field(default=64, ge=1, description="units of a finite mlp")
    narrow_width: int = Field(default=16, ge=1, description="of a narrower one, with the last of finite_noise only")
    finite_train: int = Field(default=60, ge=2, description="its training images")
    finite_classes: int = Field(default=3, ge=2, description="its classes, the first ones of digits")
    finite_eps255: LinfRadius = Field(default=12, description="radius of its PGD, 1/255 of the pixel range")
    finite_exposure: float = Field(default=0.5, ge=0, description="mean ARK eigenvalue × ηS of its inner flow")
    finite_log_times: tuple[int, int] = Field(default=(-3, 4), description="ln t of its first and last time, step 1")
    beyond: float = Field(default=4.0, ge=1, description="the standard-trained network: clean at this × the last time")


def units(options: Options) -> Sequence[Unit]:
    """One for each dataset, network, share of noise and seed; finite networks on digits."""
    kernels = [
        Unit(
            name=f"{dataset}.{family}.noise{round(100 * noise)}.seed{seed}",
            seed=seed,
            dataset=dataset,
            settings={"part": "kernel", "dataset": dataset, "family": family, "noise": noise},
        )
        for dataset, families in options.networks.items()
        for family in families
        for noise in options.noise
        for seed in range(options.seeds)
    ]
    cells = [(noise, options.finite_width) for noise in options.finite_noise]
    cells += [(noise, options.narrow_width) for noise in options.finite_noise[-1:]]
    finite = [
        Unit(
            name=f"finite.w{width}.noise{round(100 * noise)}.seed{seed}",
            seed=seed,
            dataset="digits",
            settings={"part": "finite", "noise": noise, "width": width},
        )
        for noise, width in dict.fromkeys(cells)
        for seed in range(min(options.finite_seeds, options.seeds))
    ]
    return kernels + finite


def run(study: Study) -> dict[str, Any]:
    """Curves over time; see ``at_curves`` and ``finite_curves``."""
    return _of_kernel(study) if study.unit.settings["part"] == "kernel" else _of_network(study)


def _of_kernel(study: Study) -> dict[str, Any]:
    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.splits import with_label_noise
    from advntk.theory.at_curves import at_curves, natural_times
    from advntk.theory.kernel_lab import KernelLab, first_of

    options, split = study.options, study.data
    train = first_of(split, "opt", options.n_train)
    noisy = with_label_noise(train, study.unit.settings["noise"], split.classes, study.generator("labels"))
    family = study.unit.settings["family"]
    spec = Architecture(family=family, depth=options.depth, activation=options.activation)
    lab = KernelLab(spec, noisy, split.classes, study.compute)
    times = natural_times(options.log_times)
    curves = at_curves(
        lab,
        exposures=options.exposures,
        times=times,
        val=first_of(split, "val", options.n_val),
        test=first_of(split, "test", options.n_test),
        threat=ThreatModel(eps255=options.eps255[split.dataset]),
        seed=study.unit.seed,
    )
    return {"times": times, **curves}


def _of_network(study: Study) -> dict[str, Any]:
    from advntk.foundation.device import enable_float64

    enable_float64()
    import jax

    from advntk.foundation.threat import ThreatModel
    from advntk.ingredients.kernels.neural_tangents_wall import finite_network
    from advntk.ingredients.splits import with_label_noise
    from advntk.theory.at_curves import natural_times
    from advntk.theory.finite_at import Problem, finite_curves
    from advntk.theory.kernel_lab import first_of, of_classes

    options, split = study.options, study.data
    count = options.finite_classes
    train = first_of(split, "opt", options.finite_train, classes=count)
    spec = Architecture(
        family="mlp", depth=max(2, options.depth), activation=options.activation, width=study.unit.settings["width"]
    )
    init, apply = finite_network(spec, split.input_shape, count)
    problem = Problem(
        apply=apply,
        initial=init(jax.random.key(study.unit.seed)),
        train=with_label_noise(train, study.unit.settings["noise"], count, study.generator("labels")),
        val=of_classes(split.val, count),
        test=of_classes(split.test, count),
        classes=count,
    )
    times = natural_times(options.finite_log_times)
    curves = finite_curves(
        problem,
        times=times,
        beyond=options.beyond,
        exposure=options.finite_exposure,
        threat=ThreatModel(eps255=options.finite_eps255),
    )
    sizes = {"n_train": len(problem.train), "n_val": len(problem.val), "n_test": len(problem.test)}
    return {"times": times, "trainings": curves, **sizes}


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="adversarial training over time against the solution of clean training, on kernels and finite networks",
)
