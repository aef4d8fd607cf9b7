"""Accuracies as lines of methods: the figures of depth and radius, and what others share with them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.foundation.config import SuiteConfig
from advntk.foundation.records import AttackRecord
from advntk.foundation.statistics import Interval, accuracy_interval
from advntk.telling import hover, labels
from advntk.telling.contents import Suite
from advntk.telling.frames import CLEAN, ROBUST, ends, results, span_of
from advntk.telling.layout import grid
from advntk.telling.listing import lines_of

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
    quantity: str = "",
    **look: Any,
) -> None:
    """A line for each method and checkpoint, with its 95% intervals.

    Args:
        axes: the panel.
        methods: of the suite, for order and colours.
        points: what is drawn, in percent.
        intervals: how they are drawn.
        beside: points of one place stand side by side, so that bars do not hide each other.
        quantity: what the lines show, where the panel does not say it.
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
        at = [point.x for point in mine]
        x = np.array(at) + apart * (i - (len(series) - 1) / 2)
        y, low, high = 100 * np.array([point.interval for point in mine]).T
        colour, marker = colours[method], labels.marker(checkpoint)
        if intervals == "bars":
            ends = [np.maximum(y - low, 0), np.maximum(high - y, 0)]
            axes.errorbar(x, y, yerr=ends, color=colour, linestyle="", elinewidth=1.0, zorder=3)
        elif intervals == "band":
            axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
        own: dict[str, Any] = {"marker": marker, "linestyle": labels.dashes(checkpoint), **_LINE}
        name = ", ".join(filter(None, (labels.method_label(method, checkpoint), quantity)))
        hover.plot(axes, x, y, name, places=at, ends=(low, high), color=colour, **(own | look))
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
    return (
        f"{norm} threat model; mean and 95% interval over {over}; seeds = {span_of(seeds)}, n_test = {span_of(tests)}."
    )


def interval_of_counts(counts: Sequence[Sequence[int]]) -> Interval:
    """Return mean accuracy and its 95% interval over seeds and images, from (correct, total) of each seed.

    Which images are right is not known: they are taken to be the same for all seeds and right by as much in common as
    their numbers allow, so that the interval is not too narrow where seeds share their test images.
    """
    outcomes = [np.arange(total) < correct for correct, total in counts]
    return accuracy_interval(outcomes, [np.arange(total) for _, total in counts])


def top(percent: Iterable[float]) -> float:
    """Upper end of the vertical axis: the next ten above the largest value, and a little."""
    largest = max((value for value in percent if np.isfinite(value)), default=100.0)
    return float(min(100, 10 * np.ceil((largest + 1) / 10)) + 2)


_DOTTED = DOTTED | {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.9, "zorder": 2}
_DOTTED_HANDLE = Line2D([], [], color="#777777", label="clean accuracy", **_DOTTED)

Panel = tuple[list[Point], list[Point]]
"""What is drawn with its intervals, and the clean accuracies that are dotted beside it."""


def depth(suite: Suite) -> Figure:
    """Clean and robust accuracy over depth, a line for each method and checkpoint, by family and attack."""
    found, config = _shown(suite), suite.config
    attacks = _attacks(suite, found)

    def panel(dataset: str, eps255: float, kind: str, attack: str) -> Panel:
        mine = found[(found["dataset"] == dataset) & (found["eps255"] == eps255) & (found["architecture"] == kind)]
        if attack:
            return _points(mine[mine["attack"] == attack], "depth", ROBUST), []
        return list(dict.fromkeys(_points(mine, "depth", CLEAN))), []  # once for all attacks

    bands = {
        f"{dataset}, {labels.radius_label(eps255)}": {
            f"{kind}\n{title}": panel(dataset, eps255, kind, attack)
            for kind in dict.fromkeys(spec.kind for spec in config.specs_on(dataset))
            for attack, title in {"": "clean", **attacks}.items()
        }
        for dataset in config.datasets
        for eps255 in config.eps255
    }
    return _grid(suite, found, bands, "Clean and robust accuracy over depth", "depth (layers)", 1 + len(attacks))


def radius(suite: Suite) -> Figure:
    """Robust accuracy over ε, clean accuracy dotted, a line for each method and checkpoint, by network and attack."""
    found, config = _shown(suite), suite.config
    attacks = _attacks(suite, found)

    def panel(dataset: str, label: str, attack: str) -> Panel:
        mine = found[(found["dataset"] == dataset) & (found["network"] == label) & (found["attack"] == attack)]
        clean = [point._replace(open=False) for point in _points(mine, "eps255", CLEAN)]
        return _points(mine, "eps255", ROBUST), clean

    bands = {
        dataset: {
            f"{spec.label}\n{title}": panel(dataset, spec.label, attack)
            for spec in config.specs_on(dataset)
            for attack, title in (attacks or {"": ""}).items()
        }
        for dataset in config.datasets
    }
    title, x_label = "Robust accuracy over the radius of the threat model", f"ε (1/255, {labels.NORMS[config.norm]})"
    return _grid(suite, found, bands, title, x_label, len(attacks), [_DOTTED_HANDLE])


def _grid(
    suite: Suite,
    found: pd.DataFrame,
    bands: Mapping[str, Mapping[str, Panel]],
    title: str,
    x_label: str,
    together: int,
    handles: Sequence[Line2D] = (),
) -> Figure:
    """The figure; ``together``: panels of one network, which stay in one row."""
    methods, doubted = suite.config.methods, int(found["flags"].astype(bool).sum())

    def draw(axes: Axes, panel: Panel) -> None:
        points, dotted = panel
        draw_series(axes, methods, points, intervals="bars", beside=True)
        draw_series(axes, methods, dotted, intervals="none", beside=True, quantity="clean accuracy", **_DOTTED)
        if places := sorted({point.x for point in points}):
            margin = 0.5 * min((b - a for a, b in itertools.pairwise(places)), default=1.0)
            axes.set_xlim(places[0] - margin, places[-1] + margin)
            axes.set_xticks(places, [f"{place:g}" for place in places])

    return grid(
        bands,
        draw,
        title=title,
        notes=[
            sizes(suite.config, found["n_test"], found["seeds"]),
            *["Open markers: training had not converged."] * bool(found["unconverged"].notna().any()),
            *[f"Warnings about {doubted} of {len(found)} evaluations: see the table's footnotes."] * bool(doubted),
            *suite.notes,
        ],
        y_label="accuracy (%)",
        x_label=x_label,
        y_top=top(100 * found[[CLEAN[2], ROBUST[2]]].to_numpy(float).ravel()),
        handles=[*method_handles(methods, zip(found["method"], found["checkpoint"], strict=True)), *handles],
        across=max(1, 6 // max(together, 1)) * max(together, 1),
    )


def _points(rows: pd.DataFrame, x: str, names: tuple[str, str, str]) -> list[Point]:
    return [
        Point(row["method"], row["checkpoint"], row[x], ends(row, names), row["unconverged"] == row["unconverged"])
        for row in lines_of(rows)
    ]


def _shown(suite: Suite) -> pd.DataFrame:
    """Rows that the figures show: of Adv-NTK only the last step (the paper's choice), of the others all."""
    found = results(suite)
    own, last = found["method"] == "advntk", found["checkpoint"] == "last"
    return found[~own | last] if (own & last).any() else found


def _attacks(suite: Suite, found: pd.DataFrame) -> dict[str, str]:
    """Titles of panels by the attacks that measured something, in the configuration's order."""
    known = dict(zip(found["attack"], found["attack_label"], strict=True))
    return {name: f"robust: {known[name]}" for name in suite.config.attacks if name in known}
