"""What figures of several predictors share: series of methods, legend, attacks in words, sizes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from advntk.foundation.config import SuiteConfig
from advntk.foundation.records import AttackRecord
from advntk.foundation.statistics import Interval, accuracy_interval
from advntk.telling import labels

DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1.5)), "linewidth": 1.1}
"""The line of a clean accuracy beside robust ones."""
_LINE: dict[str, Any] = {"markersize": 4, "markeredgewidth": 0, "linewidth": 1.3, "zorder": 3}
_OPEN: dict[str, Any] = {"linestyle": "", "markersize": 4, "markerfacecolor": "white", "zorder": 4}


class Point(NamedTuple):
    """A mean accuracy of one method and checkpoint with its interval, fractions; ``open``: training not converged."""

    method: str
    checkpoint: str
    x: float
    interval: Interval
    open: bool = False


def draw_series(
    axes: Axes,
    methods: Sequence[str],
    points: Sequence[Point],
    *,
    intervals: Literal["bars", "band", "none"],
    beside: bool = False,
    **look: Any,
) -> None:
    """A line for each method and checkpoint, with its 95% intervals.

    Args:
        axes: the panel.
        methods: of the suite, for order and colours.
        points: what is drawn, in percent.
        intervals: how they are drawn.
        beside: points of one place stand side by side, so that bars do not hide each other.
        look: of the lines, where it is not that of method and checkpoint.
    """
    if not points:
        return
    places = sorted({point.x for point in points})
    unit = float(min(np.diff(places), default=1.0))
    series, colours = in_order(methods, [point[:2] for point in points]), labels.method_colours(methods)
    apart = min(0.028 * (places[-1] - places[0] + unit), 0.6 * unit / len(series)) if beside else 0.0
    for i, (method, checkpoint) in enumerate(series):
        mine = sorted(point for point in points if point[:2] == (method, checkpoint))
        x = np.array([point.x for point in mine]) + apart * (i - (len(series) - 1) / 2)
        y, low, high = 100 * np.array([point.interval for point in mine]).T
        colour, marker = colours[method], labels.marker(checkpoint)
        if intervals == "bars":
            ends = [np.maximum(y - low, 0), np.maximum(high - y, 0)]
            axes.errorbar(x, y, yerr=ends, color=colour, linestyle="", elinewidth=1.0, zorder=3)
        elif intervals == "band":
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
        own: dict[str, Any] = {"marker": marker, "linestyle": labels.dashes(checkpoint), **_LINE}
        axes.plot(x, y, color=colour, **(own | look))
        if opened := [place for place, point in enumerate(mine) if point.open]:
            axes.plot(x[opened], y[opened], marker=marker, color=colour, **_OPEN)


def method_handles(methods: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[Line2D]:
    """The legend's entries: one for each method and checkpoint."""
    colours = labels.method_colours(methods)
    return [
        Line2D(
            [],
            [],
            color=colours[method],
            marker=labels.marker(checkpoint),
            linestyle=labels.dashes(checkpoint),
            markersize=4.5,
            label=labels.method_label(method, checkpoint),
        )
        for method, checkpoint in in_order(methods, pairs)
    ]


def in_order(methods: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Methods with their checkpoints, each once, in the configuration's order of methods."""
    known = dict.fromkeys(pairs)
    return [pair for method in methods for pair in known if pair[0] == method]


def attack_in_words(attack: AttackRecord, varied: str = "") -> str:
    """Name and settings, such as ``pgd_margin (pgd, margin loss, 20 steps, 1 restart)``, without the one varied."""
    facts = [attack.kind] if attack.kind != attack.name else []
    if "loss" in attack.options:
        facts.append(f"{str(attack.options['loss']).replace('_', ' ')} loss")
    for key in ("steps", "restarts"):
        if key in attack.options and key != varied:
            number = attack.options[key]
            facts.append(f"{number} {key.removesuffix('s') if number == 1 else key}")
    if not attack.inside_threat_model:
        facts.append(labels.OUTSIDE)
    return f"{attack.name} ({', '.join(facts)})" if facts else attack.name


def sizes(config: SuiteConfig, tests: Iterable[int], seeds: Iterable[int]) -> str:
    """What means and intervals are over, in words."""
    over = "seeds and test images" if config.seeds > 1 else "test images (one seed: no spread over seeds)"
    norm = labels.NORMS[config.norm]
    return f"{norm} threat model; mean and 95% interval over {over}; seeds = {span(seeds)}, n_test = {span(tests)}."


def span(numbers: Iterable[int]) -> str:
    """``797``, or ``100–797`` where numbers differ; ``0`` of none."""
    known = sorted(numbers) or [0]
    return "–".join(str(number) for number in dict.fromkeys((known[0], known[-1])))


def seed_counts(pairs: Iterable[tuple[Hashable, int]]) -> list[int]:
    """How many seeds each line is of, from what each is of and its seed."""
    seeds: dict[Hashable, set[int]] = {}
    for line, seed in pairs:
        seeds.setdefault(line, set()).add(seed)
    return [len(known) for known in seeds.values()]


def interval_of_counts(counts: Sequence[Sequence[int]]) -> Interval:
    """Mean accuracy and its 95% interval over seeds and images, from (correct, total) of each seed.

    Which images are right is not known: they are taken to be the same for all seeds and right by as much in common as
    their numbers allow, so that the interval is not too narrow where seeds share their test images.

    Returns:
        (mean, low, high).
    """
    outcomes = [np.arange(total) < correct for correct, total in counts]
    return accuracy_interval(outcomes, [np.arange(total) for _, total in counts])


def top(percent: Iterable[float]) -> float:
    """Upper end of the vertical axis: the next ten above the largest value, and a little."""
    largest = max((value for value in percent if np.isfinite(value)), default=100.0)
    return float(min(100, 10 * np.ceil((largest + 1) / 10)) + 2)
