"""E10: does the closed form describe adversarial training (AT) whose attack changes along training?

The closed form has Ξ(t) = ∫ Ξ'(τ) dτ, Ξ'(t) = exp(κ(x) η(t) S), and solves the dynamics where Ξ'(t) is a number times a
constant matrix. Compared with an ODE solver (``foundation/at_solutions.py``) on infinite-width kernels, for η that is

    constant    η(t) = η₀
    decaying    η(t) = η₀ e^{−t/τ}, the same for all images
    waving      η(t) = η₀ (1 + sin ωt), the same for all images
    own         η_i(t) = η₀ (1 + sin(ωt + 2πi/n)): each image has its own phase

Found for each, by name: ``gap``, max over t of ‖f_closed − f_ODE‖ on test images, over the largest ‖f_ODE‖;
``turning``, how far Ξ'(t) is from a number times a constant matrix (``at_dynamics.turning``); and ``xi``, the least,
mean and largest entry of Ξ(t) at each time, in natural units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.theory.experiment import Experiment, Study, Unit, with_seeds
from advntk.theory.named_networks import ActivatedNetwork, named


class Options(Closed):
    """Networks, data, attack and times."""

    networks: list[ActivatedNetwork] = Field(
        default=["mlp-relu", "cnn-relu", "mlp-erf", "cnn-erf"], description="infinite networks: family, activation"
    )
    mlp_depth: int = Field(default=3, ge=2, description="dense layers")
    cnn_depth: int = Field(default=2, ge=1, description="convolutions")
    n_train: int = Field(default=60, ge=2, description="training images")
    n_test: int = Field(default=60, ge=1, description="test images")
    exposure: float = Field(default=1.0, gt=0, description="mean κη₀S")
    decay: float = Field(default=1.0, gt=0, description="τ, natural units")
    period: float = Field(default=2.0, gt=0, description="2π/ω, natural units")
    log_times: tuple[int, int] = Field(default=(-4, 2), description="ln t of the first and last time, step ½")
    seeds: int = Field(default=5, ge=2, description="splits")


def units(options: Options) -> Sequence[Unit]:
    """One for each network and seed."""
    return with_seeds("network", options.networks, options.seeds, dataset="digits")


def schedules(options: Options, strength: float, unit_time: float) -> dict[str, float | Callable[[float], Any]]:
    """η S by name: a number, or a function of t.

    Args:
        options: τ, 2π/ω and n.
        strength: η₀ S, pixel²/logits².
        unit_time: the natural unit, 1/logits².

    Returns:
        Four of them; functions give a number, or one for each image, (n,).
    """
    import numpy as np

    turn = 2 * np.pi / (options.period * unit_time)
    phases = 2 * np.pi * np.arange(options.n_train) / options.n_train
    return {
        "constant": strength,
        "decaying": lambda time: strength * float(np.exp(-time / (options.decay * unit_time))),
        "waving": lambda time: strength * (1 + float(np.sin(turn * time))),
        "own": lambda time: strength * (1 + np.sin(turn * time + phases)),
    }


def run(study: Study) -> dict[str, Any]:
    """Closed form and ODE for each η."""
    import numpy as np

    from advntk.foundation.at_dynamics import InnerFlow, outputs, turning
    from advntk.foundation.at_solutions import closed_form, integrate
    from advntk.theory.kernel_lab import KernelLab, first_of

    options, split = study.options, study.data
    spec = named(study.unit.settings["network"], mlp_depth=options.mlp_depth, cnn_depth=options.cnn_depth)
    lab = KernelLab(spec, first_of(split, "opt", options.n_train), split.classes, study.compute)
    rows = lab.rows(first_of(split, "test", options.n_test).images)
    first, last = options.log_times
    natural = np.exp(np.linspace(first, last, 2 * (last - first) + 1))
    times = natural * lab.unit_time
    found: dict[str, Any] = {"times": natural}
    for name, exposure in schedules(options, options.exposure / float(lab.kappa.mean()), lab.unit_time).items():
        flow = InnerFlow(ark=lab.kappa, exposure=exposure)
        closed, solved = (outputs(rows, solve(lab.net, flow, times).coefficients) for solve in (closed_form, integrate))
        sizes, gaps = (np.sqrt((part**2).sum(axis=(1, 2))) for part in (solved, closed - solved))
        xi = np.array([flow.xi(float(time)) for time in times]) / lab.unit_time
        found[name] = {
            "gap": float(gaps.max() / sizes.max()),
            "turning": turning(flow, np.linspace(0.0, times[-1], 200)),
            "xi": [xi.min(axis=1), xi.mean(axis=1), xi.max(axis=1)],
        }
    return found


ENTRY = Experiment(
    options=Options,
    units=units,
    run=run,
    description="closed form of adversarial training against an ODE solver where the attack changes along training",
)
