"""Accuracies as lines of methods: the figures of depth, radius and strength, and what others share with them."""

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
from advntk.foundation.strength import Sweep, SweepName
from advntk.telling import labels
from advntk.telling.frames import CLEAN, ROBUST, Suite, ends, results, span_of
from advntk.telling.layout import grid
from advntk.telling.listing import groups, lines_of

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
    return (
        f"{norm} threat model; mean and 95% interval over {over}; seeds = {span_of(seeds)}, n_test = {span_of(tests)}."
    )


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
        draw_series(axes, methods, dotted, intervals="none", beside=True, **_DOTTED)
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


KINDS: tuple[SweepName, ...] = ("radius", "steps", "restarts")
_WIDE = 8.0  # ratio of the largest to the smallest value from which an axis is logarithmic
_APART = 0.115  # least distance of two tick labels, as a share of the axis
_MARK: dict[str, Any] = {"color": "#777777", "linestyle": (0, (4, 2)), "linewidth": 0.9}


def strength(suite: Suite) -> Figure:
    """Robust accuracy over each strength that was varied, a line for each method, by network and radius."""
    config, found = suite.config, _sweeps(suite)
    kinds = [kind for kind in KINDS if kind in set(found["kind"])]
    bands: dict[str, dict[str, tuple[SweepName, float, pd.DataFrame]]] = {}
    for dataset, spec, eps255 in itertools.product(config.datasets, config.specs(), config.eps255):
        mine = found[(found["dataset"] == dataset) & (found["network"] == spec.label)]
        panels = {kind: _of_panel(mine[mine["kind"] == kind], kind, eps255) for kind in kinds}
        if any(len(panel) for panel in panels.values()):
            band = {_title(kind, eps255, panel): (kind, eps255, panel) for kind, panel in panels.items()}
            bands[f"{dataset}, {labels.radius_label(eps255)}\n{spec.label}"] = band

    def draw(axes: Axes, shown: tuple[SweepName, float, pd.DataFrame]) -> None:
        kind, eps255, panel = shown
        series: dict[tuple[str, str], list[Sweep]] = {
            pair: list(own.sort_values("seed")["sweep"]) for pair, own in groups(panel, ["method", "checkpoint"])
        }
        points = [Point(*pair, x, mean) for pair, sweeps in series.items() for x, mean in line(sweeps)]
        draw_series(axes, config.methods, points, intervals="band", markersize=3.2)
        for (method, _), sweeps in series.items():
            clean = float(np.mean([sweep.clean_correct / sweep.n_test for sweep in sweeps]))
            axes.axhline(100 * clean, color=labels.method_colours(config.methods)[method], zorder=1.5, **DOTTED)
        if series:
            _scale(axes, sorted({point.x for point in points}), logarithmic=kind == "steps")
            axes.set_xlabel(f"ε (1/255, {labels.NORMS[config.norm]})" if kind == "radius" else kind)
        if series and kind == "radius":
            axes.axvline(eps255, zorder=1.4, **_MARK)

    attacks = {kind: found.loc[found["kind"] == kind, "sweep"].iloc[0].attack for kind in kinds}
    seeds = found.groupby(["dataset", "network", "method", "kind"])["seed"].nunique()
    return grid(
        bands,
        draw,
        title="Robust accuracy over the strength of the attack",
        notes=[
            *["; ".join(f"{kind}: {attack_in_words(attack, kind)}" for kind, attack in attacks.items())] * bool(kinds),
            *[sizes(config, (sweep.n_test for sweep in suite.sweeps), seeds)] * bool(kinds),
            *suite.notes,
        ],
        y_label="robust accuracy (%)",
        handles=[
            *method_handles(config.methods, zip(found["method"], found["checkpoint"], strict=True)),
            *[Line2D([], [], color="#777777", label="clean accuracy", **DOTTED)] * bool(kinds),
            *[Line2D([], [], label="radius trained for", **_MARK)] * ("radius" in kinds),
        ],
    )


def _sweeps(suite: Suite) -> pd.DataFrame:
    """One row a sweep; ``trained_at`` is NaN where a predictor was trained for no radius."""
    lines = [
        {
            "dataset": sweep.dataset,
            "network": sweep.architecture.label,
            "method": sweep.method,
            "checkpoint": sweep.checkpoint,
            "kind": sweep.kind,
            "seed": sweep.seed,
            "trained_at": sweep.trained_at.eps255 if sweep.trained_at else np.nan,
            "eps255": sweep.threat.eps255,
            "sweep": sweep,
        }
        for sweep in suite.sweeps
    ]
    names = ["dataset", "network", "method", "checkpoint", "kind", "seed", "trained_at", "eps255", "sweep"]
    return pd.DataFrame(lines, columns=names)


def _of_panel(found: pd.DataFrame, kind: SweepName, eps255: float) -> pd.DataFrame:
    """The sweeps of one panel, one a seed of each method and checkpoint.

    A predictor that was not trained for a radius stands in the row of each; its sweep over the radius is the same
    in all of them.

    Returns:
        Rows of ``found``.
    """
    mine = found.assign(elsewhere=found["eps255"] != eps255)
    trained = mine["trained_at"].isna() | (mine["trained_at"] == eps255)
    wanted = mine[trained if kind == "radius" else trained & ~mine["elsewhere"]]
    return wanted.sort_values("elsewhere", kind="stable").drop_duplicates(["method", "checkpoint", "seed"]).sort_index()


def line(sweeps: Sequence[Sweep]) -> list[tuple[float, Interval]]:
    """Mean robust accuracy over the seeds' sweeps of one method.

    A sweep over the radius ends where no example is robust: beyond, it counts as 0. A strength that a seed lacks
    otherwise is left out.

    Returns:
        Strengths, each with (mean, low, high) in fractions; 95% interval over seeds and examples.
    """
    points = []
    counts = [{point.value: point.robust_correct for point in sweep.points} for sweep in sweeps]
    for value in sorted({value for known in counts for value in known}):
        at_value = []
        for sweep, known in zip(sweeps, counts, strict=True):
            last = sweep.points[-1]
            ended = sweep.kind == "radius" and last.robust_correct == 0 and value > last.value
            if value in known or ended:
                at_value.append((known.get(value, 0), sweep.n_test))
        if len(at_value) == len(sweeps):
            points.append((value, interval_of_counts(at_value)))
    return points


def _scale(axes: Axes, values: Sequence[float], *, logarithmic: bool) -> None:
    """Linear or logarithmic horizontal axis, with ticks at those measured values that have room for a label."""
    positive = [value for value in values if value > 0]
    ratio = max(positive) / min(positive) if positive else 1.0
    if (logarithmic or ratio > _WIDE) and ratio > 1:
        axes.set_xscale("symlog", base=2, linthresh=min(positive))
    places = axes.xaxis.get_transform().transform(np.array(values))
    margin = 0.06 * np.ptp(places) or 0.5
    axes.set_xlim(*axes.xaxis.get_transform().inverted().transform([places[0] - margin, places[-1] + margin]))
    shown: list[int] = []
    for i in reversed(range(len(values))):
        if not shown or places[shown[-1]] - places[i] >= _APART * np.ptp(places):
            shown.append(i)
    axes.set_xticks([values[i] for i in shown], [f"{values[i]:g}" for i in shown])
    axes.minorticks_off()


def _title(kind: SweepName, eps255: float, found: pd.DataFrame) -> str:
    """What is varied and of which attack."""
    at = "" if kind == "radius" else f" at {labels.radius_label(eps255)}"
    attacks = [sweep.attack for sweep in found["sweep"][:1]]
    names = [labels.attack_label(one.name, inside_threat_model=one.inside_threat_model) for one in attacks]
    return f"{kind}{at}\n{''.join(names)}"
