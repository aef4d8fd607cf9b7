"""E7: how accurate is the linearised network in adversarial training, and where does it break?

One factor at a time around a default network on real images: σ_w, σ_b, activation, depth; each over a range of attacks.
The network is trained by gradient flow against the inner flow, and compared with its linearisations:

    frozen   the closed form with its own Θ and ARK (both Jacobians frozen)
    theta    its linearisation in θ alone, trained by the same steps

Found for each network, attack and training time are root mean squares over test images and logits: the gaps of
both, and how far the network ``moved`` from f_0; and the size of each attack at the start of training, relative to the
image's distance from grey. At the default network also: gradient descent with learning rates up to the largest stable
one, against the closed form (``descent``, its gap over what the network moved, largest over times); and what twice the
steps of the inner flow change under the strongest attack (``inner``, the same quotient).

An inner flow has no ball, and grows as the exponential of ARK's largest eigenvalue, which at ten classes and d = 64 is
3.6 κ: at κηS = 3 it drove a network's outputs to infinity, at steps a quarter as long too. The error of such a training
counts as 1; ``diverged`` counts them, of the network and of its linearisation in θ.

The strength of an attack is κηS, with κ the mean over training images. Networks of a unit share compiled programs; each
draws its own images from one split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.errors import NumericalError
from advntk.foundation.options import Closed
from advntk.theory.experiment import Experiment, Study, Unit

if TYPE_CHECKING:
    import numpy as np


class Options(Closed):
    """The default network, factors, attacks."""

    dataset: str = Field(default="digits", description="of the suite")
    width: int = Field(default=256, ge=1, description="units of a layer")
    sigma_ws: list[float] = Field(default=[1.2, 2.4], description="σ_w beside 1.76")
    sigma_bs: list[float] = Field(default=[0.0, 1.0], description="σ_b beside 0.18")
    activations: list[Activation] = Field(default=["erf", "gelu"], description="activations beside relu")
    depths: list[int] = Field(default=[2, 5], description="dense layers, beside 3")
    points: int = Field(default=10, ge=2, description="n, training images")
    test_points: int = Field(default=10, ge=1, description="test images at which gaps are measured")
    seeds: int = Field(default=5, ge=2, description="networks, each with images of its own")
    strengths: list[float] = Field(
        default=[0.05, 0.2, 0.4, 0.8], min_length=2, description="κηS of the inner flow, ascending, without unit"
    )
    inner_steps: int = Field(
        default=3, ge=1, description="Runge–Kutta steps of the inner flow, whose largest exponent is several κηS"
    )
    refine: int = Field(default=2, ge=1, description="factor by which steps of training are shorter than in E1")
    end: float = Field(default=2.0, gt=0, description="training time, in units of 1 / mean diagonal of Θ")
    times: int = Field(default=8, ge=2, description="training times at which networks are compared")
    rates: list[float] = Field(
        default=[0.05, 0.2, 0.5, 0.9], min_length=1, description="learning rates as shares of the largest stable one"
    )
    threshold: float = Field(default=0.1, gt=0, description="gap over movement at which a linearisation is broken")


def variants(options: Options) -> dict[str, dict[str, Any]]:
    """What differs from the default network, by name."""
    return {
        "default": {},
        **{f"sigma_w.{value:g}": {"sigma_w": value} for value in options.sigma_ws},
        **{f"sigma_b.{value:g}": {"sigma_b": value} for value in options.sigma_bs},
        **{f"activation.{value}": {"activation": value} for value in options.activations},
        **{f"depth.{value}": {"depth": value} for value in options.depths},
    }


def units(options: Options) -> Sequence[Unit]:
    """One for each network."""
    return [
        Unit(name=name, seed=0, dataset=options.dataset, settings={"variant": name, **changed})
        for name, changed in variants(options).items()
    ]


def run(study: Study) -> dict[str, Any]:
    """Gaps and movement (networks, strengths, times), sizes of attacks (networks, strengths), and ``descent``."""
    import numpy as np

    from advntk.foundation.device import enable_float64

    enable_float64()
    import jax

    from advntk.foundation.losses import one_hot
    from advntk.theory.kernel_lab import first_of
    from advntk.theory.network_lab import NetworkLab

    options = study.options
    split = study.data
    changed = {key: value for key, value in study.unit.settings.items() if key != "variant"}
    spec = Architecture(**{"family": "mlp", "depth": 3, "width": options.width, **changed})
    train, test = (first_of(split, part, len(getattr(split, part))) for part in ("opt", "test"))
    classes = int(train.labels.max()) + 1
    rows = []
    for seed in range(options.seeds):
        draw = study.generator("images", str(seed))
        chosen = draw.choice(len(train), options.points, replace=False)
        lab = NetworkLab(
            spec=spec,
            images=np.asarray(train.images[chosen], dtype=np.float64),
            targets=one_hot(train.labels[chosen], classes, np.float64),
            test=np.asarray(test.images[draw.choice(len(test), options.test_points, replace=False)], dtype=np.float64),
            key=jax.random.fold_in(jax.random.key(study.unit.seed), seed),
            moments=np.geomspace(options.end / 20, options.end, options.times),
        )
        rows.append(_measured(lab, options, with_descent=not changed))
    return {"moments": lab.moments, **{name: [row[name] for row in rows] for name in rows[0]}}


def _or_none(lab: Any, linear: bool, attack: Any, how: dict[str, Any]) -> np.ndarray | None:
    """Outputs on test images, or None where training diverged."""
    import numpy as np

    try:
        return np.asarray(lab.trained(linear, attack, **how)[:, : len(lab.test)])
    except NumericalError:
        return None


def _measured(lab: Any, options: Options, *, with_descent: bool) -> dict[str, list[Any]]:
    """One network."""
    import numpy as np

    from advntk.theory.network_lab import attack_of, rms_gap

    tests, kappa = len(lab.test), float(lab.kappa.mean())
    attack = attack_of("flow", options.inner_steps)
    found: dict[str, list[Any]] = {"frozen": [], "theta": [], "moved": [], "size": [], "diverged": []}
    for strength in options.strengths:
        how = {"strength": strength / kappa, "hastening": strength, "refine": options.refine}
        start = lab.own.initial[None]
        network = _or_none(lab, False, attack, how)
        linear = None if network is None else _or_none(lab, True, attack, how)
        lost = np.ones(len(lab.moments))
        found["moved"].append(lost if network is None else rms_gap(network, start))
        found["frozen"].append(lost if network is None else rms_gap(network, lab.frozen(strength / kappa)[:, :tests]))
        broken = network is None or linear is None
        found["theta"].append(found["moved"][-1] if broken else rms_gap(np.asarray(network), np.asarray(linear)))
        found["size"].append(lab.perturbation(attack, strength / kappa))
        found["diverged"].append(int(network is None) + int(linear is None))
    if with_descent:
        exposure, found["descent"] = options.strengths[0] / kappa, []
        for share in options.rates:
            times, descended = lab.descended(attack, strength=exposure, share=share)
            gap = rms_gap(descended[:, :tests], lab.frozen(exposure, times)[:, :tests])
            found["descent"].append(gap.max() / found["moved"][0].max())
        finer = _or_none(lab, False, attack_of("flow", 2 * options.inner_steps), how)
        broken = network is None or finer is None
        change = 1.0 if broken else rms_gap(np.asarray(network), np.asarray(finer)).max() / found["moved"][-1].max()
        found["inner"] = [change]
    return found


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="accuracy of linearised networks in adversarial training over initialisation, depth and attack",
    memory_mb=2000,
)
