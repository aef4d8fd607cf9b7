"""E3 told: adversarial training over time, against the solution of clean training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, seed_interval, student_interval
from advntk.telling import hover
from advntk.telling.layout import line_with_band, panels, span
from advntk.telling.story import POINT, Claim, Story, Told, chosen, wrong_labels

PAPER = "Fu & Wang 2024, AT degeneration"
TRAININGS = {"clean": "clean", "flow": "inner flow", "pgd": "PGD"}
ROUNDING = 1e-14
"""Distances below are drawn there."""
STEADY = 0.3
"""Range of the logarithm of the attack's factor over training that still counts as none: a factor of 1.35."""


def _networks(told: Told) -> list[tuple[str, str]]:
    """Datasets and families of the kernels."""
    return [(dataset, family) for dataset, all_of in told.options["networks"].items() for family in all_of]


def _kernels(told: Told, network: tuple[str, str], noise: float) -> list[dict[str, Any]]:
    found = told.of(part="kernel", dataset=network[0], family=network[1], noise=noise)
    return [one.found for one in found]


def _finite(told: Told, noise: float, training: str, key: str, width: int | None = None) -> np.ndarray:
    """What finite networks have along a training, (networks, times)."""
    own = {"part": "finite", "noise": noise, "width": width or told.options["finite_width"]}
    return told.array("trainings", training, key, **own)


def _best(told: Told, noise: float, training: str, width: int | None = None) -> np.ndarray:
    """Robust accuracy of finite networks on test at the time that is best on val, (networks,)."""
    val, test = (_finite(told, noise, training, f"robust_{part}", width) for part in ("val", "test"))
    return np.asarray(test[np.arange(len(test)), val.argmax(axis=1)])


def _finite_tests(told: Told) -> int:
    """Test images of a finite network, the fewest of all seeds."""
    return min(int(one.found["n_test"]) for one in told.of(part="finite"))


def lost(told: Told, network: tuple[str, str], noise: float) -> Interval:
    """Robust accuracy that the strongest AT loses on test from its best time on val to the end."""
    found = _kernels(told, network, noise)
    losses = [one["robust_test"][-1][chosen(one, -1)] - one["natural"]["robust_test"] for one in found]
    return seed_interval(losses, told.options["n_test"])


def finite_gain(told: Told, training: str, noise: float) -> Interval:
    """Best robust accuracy of a finite network in AT minus that of clean training, times chosen on val."""
    return seed_interval(list(_best(told, noise, training) - _best(told, noise, "clean")), _finite_tests(told))


def claims(told: Told) -> list[Claim]:
    """Degeneration, robust overfitting and the order of strengths on kernels; then finite networks."""
    options = told.options
    cells = [(network, noise) for network in _networks(told) for noise in options["noise"]]
    kernels = [claim for network, noise in cells for claim in _kernel_claims(told, network, noise)]
    finite = []
    for noise in options["finite_noise"]:
        for training in ("flow", "pgd"):
            finite += _finite_claims(told, training, noise)
    if options["finite_width"] != options["narrow_width"]:
        finite += [
            _width_claim(told, training, noise) for noise in options["finite_noise"][-1:] for training in TRAININGS
        ]
    return [
        *(replace(claim, setup=_kernel_setup(told)) for claim in kernels),
        *(replace(claim, setup=_finite_setup(told)) for claim in finite),
    ]


def _kernel_claims(told: Told, network: tuple[str, str], noise: float) -> list[Claim]:
    options, (dataset, family) = told.options, network
    weakest, *_, strongest = options["exposures"]
    where = f"{dataset} {family}-{options['depth']}, {wrong_labels(noise)}"
    found = _kernels(told, network, noise)
    attacked = [row for row, exposure in enumerate(options["exposures"]) if exposure]
    left = [max(one["distance"][row][-1] for row in attacked) for one in found]
    sooner = [np.log(one["times"][chosen(one, 0)] / one["times"][chosen(one, -1)]) for one in found]
    return [
        Claim(
            f"AT tends to the natural solution Θ⁻¹Y ({where})",
            "relative distance of AT at the last finite time, largest over strengths",
            student_interval(left),
            source=PAPER,
            below=POINT,
        ),
        Claim(
            f"robust accuracy falls on the way (robust overfitting; {where})",
            f"robust accuracy at the best time minus at t = ∞, κηS = {strongest:g}",
            lost(told, network, noise),
            source=PAPER,
            above=POINT,
        ),
        Claim(
            f"a stronger attack reaches its best robust accuracy earlier ({where})",
            f"ln of the best time at κηS = {weakest:g} over that at {strongest:g}",
            student_interval(sooner),
            source=PAPER,
            above=0,
            words=f"above 0; {strongest - weakest:g} where κ is one number",
        ),
    ]


def _finite_claims(told: Told, training: str, noise: float) -> list[Claim]:
    name, last = TRAININGS[training], told.options["finite_log_times"][1]
    where = f"(finite mlp, {wrong_labels(noise)})"
    distance, clean = (_finite(told, noise, one, "distance") for one in (training, "clean"))
    fallen = _best(told, noise, training) - _finite(told, noise, training, "robust_test")[:, -1]
    factor = _finite(told, noise, training, "factor")
    return [
        Claim(
            f"AT with {name} reaches more robust accuracy than clean training at its own best time {where}",
            "difference of best-on-val robust accuracies, paired",
            finite_gain(told, training, noise),
            above=POINT,
        ),
        Claim(
            f"AT with {name} has come to the standard-trained network at ln t = {last} {where}",
            "relative distance on test images at that time, minus clean training's own; over the last e-fold of time "
            f"AT's fell by a factor of {span(student_interval(list(distance[:, -2] / distance[:, -1])))}",
            student_interval(list(distance[:, -1] - clean[:, -1])),
            source=PAPER,
            below=0.05,
        ),
        Claim(
            f"robust accuracy falls along AT with {name} {where}",
            "robust accuracy at the best time minus at the last",
            seed_interval(list(fallen), _finite_tests(told)),
            source=PAPER,
            above=POINT,
        ),
        Claim(
            f"{name} multiplies the training error by a factor that stays the same {where}",
            "ln of ‖f(x_S) − y‖/‖f(x) − y‖, largest over t minus smallest",
            student_interval(list(np.log(factor.max(axis=1) / factor.min(axis=1)))),
            source="assumed for Ξ(t) = t Ξ' (Fu & Wang 2024)",
            below=STEADY,
        ),
    ]


def _width_claim(told: Told, training: str, noise: float) -> Claim:
    wide, narrow = (told.options[f"{name}_width"] for name in ("finite", "narrow"))
    gain = _best(told, noise, training, wide) - _best(told, noise, training, narrow)
    return Claim(
        f"width {wide} reaches more robust accuracy than width {narrow} (finite mlp, {TRAININGS[training]}, "
        f"{wrong_labels(noise)})",
        "difference of best-on-val robust accuracies",
        seed_interval(list(gain), _finite_tests(told)),
        source="open question of Fu & Wang 2024",
        above=POINT,
    )


def _kernel_setup(told: Told) -> str:
    options = told.options
    radii = ", ".join(f"{options['eps255'][name]:g}/255 on {name}" for name in options["networks"])
    return (
        f"Infinite {options['activation']} networks, {options['n_train']} training, {options['n_val']} val and "
        f"{options['n_test']} test images, PGD-10 on the margin at {radii}, {options['seeds']} seeds"
    )


def _finite_setup(told: Told) -> str:
    options = told.options
    if not options["finite_noise"]:
        return "No finite networks"
    first, *others = told.of(part="finite", noise=options["finite_noise"][0], width=options["finite_width"])
    return (
        f"Finite mlp-{max(2, options['depth'])} of width {options['finite_width']}, the first "
        f"{options['finite_classes']} digits, {first.found['n_train']} training and about {first.found['n_test']} test "
        f"images, gradient flow, PGD at {options['finite_eps255']:g}/255, inner flow of mean ARK ηS "
        f"{options['finite_exposure']:g}, {1 + len(others)} networks"
    )


def _setup(told: Told) -> str:
    return f"{_kernel_setup(told)}. {_finite_setup(told)}"


def figure(told: Told) -> Figure:
    """A row for each kernel (accuracies by noise, distance), and one for finite networks."""
    options = told.options
    noises, titles = list(options["noise"]), []
    for dataset, family in _networks(told):
        name = f"{dataset} {family}-{options['depth']}"
        titles += [f"{name}, {wrong_labels(noise)}" for noise in noises] + [f"{name}: distance to Θ⁻¹Y"]
    finite = options["finite_noise"][-1:]
    for noise in finite:
        titles += [f"finite, {wrong_labels(noise)}", "finite: distance to standard", "finite: factor of the attack"]
    drawn, axes = panels(
        titles,
        title="Where adversarial training ends",
        notes=[
            "Solid: robust, dashed: clean accuracy; dotted: natural solution, robust. Colours of kernels: right-hand "
            "panel. Time in 1 / mean diagonal of Θ. Line: mean over seeds (of kernels' distances the geometric one); "
            "band: 95% interval of the mean."
        ],
        across=len(noises) + 1 if len(noises) > 1 else 3,
    )
    panel = iter(axes)
    for network in _networks(told):
        for noise in noises:
            _draw_robust(next(panel), told, network, noise)
        _draw_distance(next(panel), told, network, noises[-1])
    for noise in finite:
        _draw_finite([next(panel) for _ in range(3)], told, noise)
    return drawn


def _draw_robust(axes: Axes, told: Told, network: tuple[str, str], noise: float) -> None:
    found = _kernels(told, network, noise)
    for row, exposure in enumerate(told.options["exposures"]):
        robust, clean = ([one[key][row] for one in found] for key in ("robust_test", "clean_test"))
        images = told.options["n_test"]
        line_with_band(axes, found[0]["times"], robust, f"κηS = {exposure:g}", dashed=clean, images=images)
    axes.axhline(np.mean([one["natural"]["robust_test"] for one in found]), color="#555555", ls=":", lw=1)
    axes.set(xscale="log", ylim=(0, 1), xlabel="t", ylabel="accuracy")


def _draw_distance(axes: Axes, told: Told, network: tuple[str, str], noise: float) -> None:
    found = _kernels(told, network, noise)
    for row, exposure in enumerate(told.options["exposures"]):
        values = np.maximum([one["distance"][row] for one in found], ROUNDING)
        mean = np.exp(np.log(values).mean(axis=0))
        name = f"κηS = {exposure:g}"
        hover.plot(axes, found[0]["times"], mean, name, marker="o", ms=3, label=name)
    axes.set(xscale="log", yscale="log", xlabel="t", ylabel="relative distance")
    axes.legend(loc="lower left")


def _draw_finite(axes: list[Axes], told: Told, noise: float) -> None:
    times = told.of(part="finite", noise=noise)[0].found["times"]
    for training, name in TRAININGS.items():
        robust, clean, distance, factor = (
            _finite(told, noise, training, key) for key in ("robust_test", "clean_test", "distance", "factor")
        )
        line_with_band(axes[0], times, robust, name, dashed=clean, images=_finite_tests(told))
        line_with_band(axes[1], times, distance, name)
        line_with_band(axes[2], times, factor, name)
    labels = ("accuracy", "relative distance", "‖f(x_S) − y‖ / ‖f(x) − y‖")
    for panel, label in zip(axes, labels, strict=True):
        panel.set(xscale="log", xlabel="t", ylabel=label)
    axes[1].set_yscale("log")
    axes[0].legend()


def caption(told: Told) -> str:
    """What was found."""
    options = told.options
    falls = "; ".join(
        f"{span(lost(told, network, noise))} ({' '.join(network)}, {wrong_labels(noise)})"
        for network in _networks(told)
        for noise in options["noise"]
    )
    gains = "; ".join(
        f"{span(finite_gain(told, training, noise))} ({TRAININGS[training]}, {wrong_labels(noise)})"
        for noise in options["finite_noise"]
        for training in ("flow", "pgd")
    )
    relu = "With ReLU, AT of a kernel is clean training on a faster clock (E4): it passes through the same predictors. "
    return (relu if options["activation"] == "relu" else "") + (
        f"Robust accuracy that the strongest AT of a kernel loses from its best time to the end: {falls}. What AT of a "
        f"finite network reaches more than clean training: {gains}."
    )


ENTRY = Story(
    number="E3",
    title="Degeneration of adversarial training",
    question="Does adversarial training end at the solution of clean training, and is robustness lost on the way?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
