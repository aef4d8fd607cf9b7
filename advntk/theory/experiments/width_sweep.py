"""E1: does a wide network in adversarial training (AT) follow its linearisation?

Inputs are uniform on ‖x − ½‖² = d, targets ±1 at random, one logit. A network is trained by gradient flow against the
inner flow (κηS), and beside it what should be equal to it at infinite width. The gap of two is the largest, over
training times, of the root mean square difference of their logits, over test points and, apart, over training points:

    frozen     AT: network − closed form with its own Θ and ARK (both Jacobians frozen)
    theta      AT: network − linearisation in θ alone, trained by the same steps
    infinite   AT: network − closed form with Θ and κ of infinite width
    clean      clean training: network − its linearisation;   clean_infinite: − infinite width
    ball       AT by PGD in an ℓ2 ball: network − linearisation in θ alone
    step       AT: network − network with steps half as long: what the integrator adds

A unit is a width and an input dimension; its networks, each with inputs of its own, share compiled programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.options import Closed
from advntk.theory.experiment import Experiment, Study, Unit

if TYPE_CHECKING:
    import numpy as np


class Options(Closed):
    """Networks, inputs and attack."""

    depth: int = Field(default=3, ge=2, description="dense layers")
    activation: Activation = Field(default="relu", description="activation")
    widths: list[int] = Field(default=[64, 128, 256, 512, 1024], min_length=2, description="units, ascending")
    dimensions: list[int] = Field(
        default=[16, 64], min_length=1, description="d, input dimensions at which all widths are measured"
    )
    theta_dimension: int = Field(default=64, description="d at which the linearisation in θ is trained too")
    along: list[int] = Field(default=[64, 128, 256, 512], description="widths at which d = width is measured too")
    ball_widths: list[int] = Field(default=[64, 512], description="widths at which PGD is the inner attack too")
    points: int = Field(default=16, ge=2, description="n, training points")
    test_points: int = Field(default=10, ge=1, description="points at which the gap is measured")
    seeds: int = Field(default=10, ge=2, description="networks, each with inputs and targets of its own")
    strength: float = Field(default=0.5, ge=0, description="κηS of the inner flow, without unit")
    radius: float = Field(default=0.25, gt=0, description="√κ ε of PGD: how far it can move a logit, to first order")
    inner_steps: int = Field(default=2, ge=1, description="Runge–Kutta steps of the inner flow")
    pgd_steps: int = Field(default=10, ge=1, description="steps of PGD")
    end: float = Field(default=3.0, gt=0, description="training time, in units of 1 / mean diagonal of Θ")
    times: int = Field(default=10, ge=2, description="training times at which networks are compared")
    halved_up_to: int = Field(default=256, description="width up to which training is repeated with half the step")


def cells(options: Options) -> list[tuple[int, int]]:
    """(width, d) of all units: the grid, then d = width."""
    grid = [(width, d) for d in options.dimensions for width in options.widths]
    return list(dict.fromkeys([*grid, *((width, width) for width in options.along)]))


def units(options: Options) -> Sequence[Unit]:
    """One for each width and input dimension."""
    return [Unit(name=f"w{width}.d{d}", seed=0, settings={"width": width, "d": d}) for width, d in cells(options)]


def run(study: Study) -> dict[str, Any]:
    """Gaps by name, one a network: on test points, and on training points; and how far logits moved."""
    import numpy as np

    from advntk.foundation.device import enable_float64

    enable_float64()
    import jax

    from advntk.theory.network_lab import NetworkLab, points_on_sphere

    options = study.options
    width, d = study.unit.settings["width"], study.unit.settings["d"]
    rows: list[dict[str, tuple[float, float]]] = []
    for seed in range(options.seeds):
        draw = study.generator("inputs", str(seed))
        lab = NetworkLab(
            spec=Architecture(family="mlp", depth=options.depth, activation=options.activation, width=width),
            images=points_on_sphere(options.points, d, draw),
            test=points_on_sphere(options.test_points, d, draw),
            targets=draw.choice([-1.0, 1.0], (options.points, 1)),
            key=jax.random.fold_in(jax.random.key(study.unit.seed), seed),
            moments=np.geomspace(options.end / 50, options.end, options.times),
        )
        rows.append(_gaps(lab, options, width, d))
    return {name: [[row[name][part] for row in rows] for part in (0, 1)] for name in rows[0]}


def _gaps(lab: Any, options: Options, width: int, d: int) -> dict[str, tuple[float, float]]:
    """Largest gaps over times on test and on training points, of one network."""
    import numpy as np

    from advntk.theory.network_lab import attack_of, rms_gap

    tests = len(lab.test)

    def largest(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        return float(rms_gap(a[:, :tests], b[:, :tests]).max()), float(rms_gap(a[:, tests:], b[:, tests:]).max())

    kappa = float(lab.kappa.mean())
    exposure, attack = options.strength / kappa, attack_of("flow", options.inner_steps)
    clean, at = lab.trained(False), lab.trained(False, attack, strength=exposure, hastening=options.strength)
    start = np.concatenate([lab.own.initial, lab.own.net.targets + lab.own.net.residual])[None]
    found = {
        "clean": largest(clean, lab.frozen(0.0)),
        "clean_infinite": largest(clean, lab.infinite(0.0)),
        "frozen": largest(at, lab.frozen(exposure)),
        "infinite": largest(at, lab.infinite(exposure)),
        "moved": largest(at, start),
    }
    if width <= options.halved_up_to:
        fine_attack = attack_of("flow", 2 * options.inner_steps)
        fine = lab.trained(False, fine_attack, strength=exposure, hastening=options.strength, refine=2)
        found["step"] = largest(at, fine)
    if d == options.theta_dimension:
        found["theta"] = largest(at, lab.trained(True, attack, strength=exposure, hastening=options.strength))
        if width in options.ball_widths:
            pgd = attack_of("ball", options.pgd_steps)
            ball = {"strength": options.radius / np.sqrt(kappa), "hastening": options.strength}
            found["ball"] = largest(lab.trained(False, pgd, **ball), lab.trained(True, pgd, **ball))
    return found


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="adversarial training of finite networks against its linearisations over width and input dimension",
    memory_mb=2500,
)
