"""E9 told: best robust accuracy and degeneration time by architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from advntk.foundation.statistics import Interval, seed_interval, student_interval
from advntk.telling.layout import panels, points, span
from advntk.telling.story import POINT, Claim, Story, Told, attacked, chosen

OPEN = "open question of Fu & Wang 2024"
Measure = Callable[[dict[str, Any]], float]


def best_robust(found: dict[str, Any]) -> float:
    """Robust accuracy on test at the time that is best on val."""
    return float(found["robust_test"][0][chosen(found, 0)])


def ln_half_distance(found: dict[str, Any]) -> float:
    """Ln of the time at which the relative distance to the natural solution is ½; the grid's end where it is not."""
    logs, distances = np.log(found["times"]), np.array(found["distance"][0])
    falling = np.minimum.accumulate(distances)
    return float(np.interp(0.5, falling[::-1], logs[::-1]))


def ln_window(found: dict[str, Any]) -> float:
    """Ln of the time at which half of the lost robust accuracy is lost, over that of the best; up to the grid's end."""
    logs, robust, best = np.log(found["times"]), np.array(found["robust_test"][0]), chosen(found, 0)
    level = (robust[best] + found["natural"]["robust_test"]) / 2
    below = np.flatnonzero(robust[best:] <= level)
    if not below.size or robust[best] <= level:
        return float(logs[-1] - logs[best])
    after = best + int(below[0])
    share = (robust[after - 1] - level) / (robust[after - 1] - robust[after])
    return float(logs[after - 1] + share * (logs[after] - logs[after - 1]) - logs[best])


def lost(found: dict[str, Any]) -> float:
    """Robust accuracy lost on test from the best time to t = ∞."""
    return best_robust(found) - float(found["natural"]["robust_test"])


_ACCURACIES: dict[Measure, tuple[float, float]] = {best_robust: (0.0, 1.0), lost: (-1.0, 1.0)}
"""Measures that are accuracies or differences of two, with their bounds."""


def over_seeds(told: Told, network: str, measure: Measure) -> Interval:
    """A measure of one network."""
    found = [one.found for one in told.of(network=network)]
    values = [measure(one) for one in found]
    if measure not in _ACCURACIES:
        return student_interval(values)
    return seed_interval(values, found[0]["sizes"][2], _ACCURACIES[measure])


def depths(told: Told, family: str) -> list[int]:
    """Depths of a family, ascending."""
    pairs = [network.split("-") for network in told.values("network")]
    return sorted(int(depth) for kind, depth in pairs if kind == family)


def slope(told: Told, family: str, measure: Measure) -> Interval:
    """Least-squares slope of a measure in ln depth, a line for each seed."""
    found = depths(told, family)
    columns = [[measure(one.found) for one in told.of(network=f"{family}-{depth}")] for depth in found]
    slopes = [float(np.polyfit(np.log(found), row, 1)[0]) for row in np.array(columns).T]
    if measure not in _ACCURACIES:
        return student_interval(slopes)
    off = np.log(found) - np.mean(np.log(found))
    steepest = float(np.abs(off).sum() / (2 * np.square(off).sum()))
    return seed_interval(slopes, told.of(network=f"{family}-{found[0]}")[0].found["sizes"][2], (-steepest, steepest))


def _ladders(told: Told) -> list[str]:
    """Families of several depths whose accuracy was measured."""
    kinds = dict.fromkeys(network.split("-")[0] for network in attacked(told))
    return [kind for kind in kinds if len(depths(told, kind)) > 1]


def claims(told: Told) -> list[Claim]:
    """How depth moves time and accuracy, and which networks lose robust accuracy."""
    found = []
    for family in _ladders(told):
        shallowest, *_, deepest = depths(told, family)
        for words, quantity, measure in (
            ("nears Θ⁻¹Y later", "ln of the time at which the distance is ½", ln_half_distance),
            (
                "keeps its best robust accuracy longer",
                "ln of the factor of time from the best until half of what is lost is lost",
                ln_window,
            ),
            ("reaches more robust accuracy", "best robust accuracy", best_robust),
        ):
            of_depth = f"slope of the {quantity} in ln depth, depth {shallowest} to {deepest}"
            tilt = slope(told, family, measure)
            found.append(Claim(f"a deeper {family} {words}", of_depth, tilt, source=OPEN, above=0))
    for network in attacked(told):
        sentence = f"robust accuracy falls along AT ({network})"
        quantity, fallen = "robust accuracy at the best time minus at t = ∞", over_seeds(told, network, lost)
        found.append(Claim(sentence, quantity, fallen, source=OPEN, above=POINT))
    return found


def _setup(told: Told) -> str:
    options = told.options
    first = dict.fromkeys(tuple(one.found["sizes"]) for one in told.findings)
    sizes = " or ".join(f"{train} training, {val} val and {test} test" for train, val, test in first)
    return (
        f"Infinite ReLU networks on {sizes} digits, {100 * options['noise']:g}% wrong training labels, κηS "
        f"{options['exposure']:g}, PGD-10 on the margin at {options['eps255']:g}/255, {options['seeds']} seeds"
    )


def figure(told: Told) -> Figure:
    """Best robust accuracy, time of half the distance, and how long the best lasts."""
    measured, networks = attacked(told), told.values("network")
    drawn, axes = panels(
        ["best robust accuracy", "distance to Θ⁻¹Y is ½ at", "time from the best to half lost"],
        title="Architectures: what is reached, and how soon it is lost",
        notes=[
            "The best time is chosen on val. Times in 1 / mean diagonal of Θ. Bars: 95% intervals over seeds.",
            *(["cnn_average: with pooling."] if any(name.startswith("cnn_average") for name in networks) else []),
        ],
    )
    for panel, shown, measure, label in zip(
        axes,
        (measured, networks, measured),
        (best_robust, ln_half_distance, ln_window),
        ("accuracy", "ln t", "ln of a factor"),
        strict=True,
    ):
        points(panel, shown, [over_seeds(told, network, measure) for network in shown], label)
    return drawn


def caption(told: Told) -> str:
    """What was found beyond the claims."""
    reached = {network: over_seeds(told, network, best_robust) for network in attacked(told)}
    best, worst = (pick(reached, key=lambda network: reached[network][0]) for pick in (max, min))
    times = [over_seeds(told, network, ln_half_distance)[0] for network in told.values("network")]
    return (
        f"Best robust accuracy is {span(reached[best])} for {best} and {span(reached[worst])} for {worst}. Half the "
        f"distance to the natural solution is gone at ln t = {min(times):.1f} to {max(times):.1f}."
    )


ENTRY = Story(
    number="E9",
    title="Architectures",
    question="How do a network's kind and depth change the robustness that is reached and how soon it is lost?",
    setup=_setup,
    figure=figure,
    claims=claims,
    caption=caption,
)
