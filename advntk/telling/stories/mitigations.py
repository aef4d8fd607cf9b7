"""E11 told: techniques against robust overfitting at infinite width."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, seed_interval, student_interval
from advntk.telling.layout import line_with_band, panels, points, span
from advntk.telling.story import POINT, Claim, Story, Told, chosen, wrong_labels

EXACT = 1e-6
"""Relative gap below which two predictors are one."""
ROUNDING = 1e-12
"""Difference of pixels that is rounding."""
FILTERS = {"flow": "early stopping", "ridge": "ridge", "swa": "SWA", "sam": "SAM"}
GAPS = {
    "stopped": "flow averaged over exponentially distributed times − ridge",
    "swa": "average of weights over [0, T] − SWA's filter",
    "sam": "SAM in the weights − its filter",
    "ema_ridge": "moving average of weights − nearest ridge",
    "ema_flow": "moving average of weights − nearest early stopping",
}


def gap(told: Told, network: str, name: str) -> Interval:
    """Relative gap of two predictors."""
    if name.startswith("ema"):
        return student_interval(list(told.array("ema", network=network)[:, int(name == "ema_flow")]))
    return told.mean(name, network=network)


def gain(told: Told, network: str, name: str) -> Interval:
    """Robust accuracy on test of a filter minus that of early stopping, times chosen on val."""
    found = [one.found for one in told.of(network=network)]

    def best(one: dict[str, Any], name: str) -> float:
        curves: dict[str, list[float]] = one["curves"][name]
        return curves["robust_test"][chosen(curves)]

    return seed_interval([best(one, name) - best(one, "flow") for one in found], found[0]["sizes"]["test"])


def claims(told: Told) -> list[Claim]:
    """The equivalences, label smoothing, and the gains over early stopping, of each network."""
    return [claim for network in told.options["networks"] for claim in _of_network(told, network)]


def _of_network(told: Told, network: str) -> list[Claim]:
    sentences = {
        "stopped": "the flow averaged over exponentially distributed stopping times of mean τ is ridge regression, 1/τ",
        "swa": "an average of weights over [0, T] is the filter (1 − (1 − e^{−λT})/(λT))/λ",
        "sam": "sharpness-aware minimisation is the filter (1 − e^{−λt − ρλ²σ(t)})/λ",
        "ema_ridge": "the exponential moving average of weights at the end of a training is ridge regression",
    }
    found = [
        Claim(f"{words} ({network})", f"{GAPS[name]}, relative", gap(told, network, name), below=EXACT)
        for name, words in sentences.items()
    ]
    changed = told.array("smoothing", "changed", network=network).sum()
    found.append(
        Claim(
            f"label smoothing changes neither decisions nor margin attacks ({network})",
            f"largest difference of attacked points, pixel scale [0, 1]; decisions changed: {changed}",
            told.mean("smoothing", "moved", network=network),
            below=ROUNDING,
            decided="does not hold" if changed else None,
        )
    )
    found += [
        Claim(
            f"{FILTERS[name]} reaches more robust accuracy than early stopping ({network})",
            "difference of best-on-val robust accuracies, paired",
            gain(told, network, name),
            above=POINT,
        )
        for name in ("ridge", "swa", "sam")
    ]
    return found


def _setup(told: Told) -> str:
    options = told.options
    return (
        f"Infinite mlp-{options['mlp_depth']} and cnn-{options['cnn_depth']} on {options['n_train']} training, "
        f"{options['n_val']} val and {options['n_test']} test digits, {wrong_labels(options['noise'])}, PGD-10 on the "
        f"margin at {options['eps255']:g}/255, ρ = {options['rho']:g}, {options['seeds']} seeds"
    )


def figure(told: Told) -> Figure:
    """Gaps and gains by network, and robust accuracy over time of the first network."""
    networks = list(told.options["networks"])
    drawn, axes = panels(
        ["two forms of one predictor", "robust accuracy − early stopping's", f"{networks[0]} over time"],
        title="What do techniques against robust overfitting become at infinite width?",
        notes=[
            "Bars: 95% intervals over seeds; values below 1e-16 are drawn there. Times are chosen on val. Line: mean "
            "over seeds; band: 95% interval of the mean. A ridge is drawn at t = 1/ridge, SWA at its last time."
        ],
    )
    cells = [(network, name) for network in networks for name in GAPS]
    points(
        axes[0], [f"{n}, {name}" for n, name in cells], [gap(told, *cell) for cell in cells], "relative gap", log=True
    )
    axes[0].axvline(EXACT, color="#555555", ls=":", lw=1)
    cells = [(network, name) for network in networks for name in ("ridge", "swa", "sam")]
    labels = [f"{network}, {FILTERS[name]}" for network, name in cells]
    points(axes[1], labels, [gain(told, *cell) for cell in cells], "difference of robust accuracy")
    axes[1].axvline(0, color="#555555", lw=0.8)
    found = [one.found for one in told.of(network=networks[0])]
    for name, words in FILTERS.items():
        values = [one["curves"][name]["robust_test"] for one in found]
        line_with_band(axes[2], np.array(found[0]["times"]), values, words, images=found[0]["sizes"]["test"])
    axes[2].set(xscale="log", xlabel="t", ylabel="robust accuracy", ylim=(0, None))
    axes[2].legend()
    return drawn


def caption(told: Told) -> str:
    """What was found."""
    networks = told.options["networks"]
    exact = max(gap(told, network, name)[2] for network in networks for name in ("stopped", "swa", "sam"))
    moving = {
        name: "; ".join(f"{network} {gap(told, network, f'ema_{name}')[0]:.2g}" for network in networks)
        for name in ("ridge", "flow")
    }
    gains = "; ".join(
        f"{FILTERS[name]} {network} {span(gain(told, network, name), 3)}"
        for network in networks
        for name in ("ridge", "swa", "sam")
    )
    return (
        f"Averages over time and SAM are their filters to {exact:.0e}. A moving average at the end of training is at a "
        f"gap of {moving['ridge']} from the nearest ridge, and of {moving['flow']} from the nearest early stopping. "
        f"Robust accuracy minus that of early stopping, times chosen on val: {gains}."
    )


ENTRY = Story(
    number="E11",
    title="Techniques against robust overfitting",
    question="What do averages of weights, label smoothing and sharpness-aware minimisation become at infinite width?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
