"""The figure of strength: robust accuracy over the radius, the steps and the restarts of an attack."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.foundation.statistics import Interval
from advntk.foundation.strength import Sweep, SweepName
from advntk.telling import labels
from advntk.telling.accuracy_figures import (
    DOTTED,
    Point,
    attack_in_words,
    draw_series,
    interval_of_counts,
    method_handles,
    seed_counts,
    sizes,
)
from advntk.telling.layout import grid
from advntk.telling.suite_file import Suite

KINDS: tuple[SweepName, ...] = ("radius", "steps", "restarts")
_WIDE = 8.0  # ratio of the largest to the smallest value from which an axis is logarithmic
_APART = 0.115  # least distance of two tick labels, as a share of the axis
_MARK: dict[str, Any] = {"color": "#777777", "linestyle": (0, (4, 2)), "linewidth": 0.9}

Panel = dict[tuple[str, str], list[Sweep]]


def strength(suite: Suite) -> Figure:
    """Robust accuracy over each strength that was varied, a line for each method, by network and radius."""
    config = suite.config
    kinds = [kind for kind in KINDS if any(sweep.kind == kind for sweep in suite.sweeps)]
    bands: dict[str, dict[str, tuple[SweepName, float, Panel]]] = {}
    for dataset, spec, eps255 in itertools.product(config.datasets, config.specs(), config.eps255):
        found = {kind: _of_panel(suite.sweeps, dataset, spec.label, eps255, kind) for kind in kinds}
        if any(found.values()):
            band = {_title(kind, eps255, mine): (kind, eps255, mine) for kind, mine in found.items()}
            bands[f"{dataset}, {labels.radius_label(eps255)}\n{spec.label}"] = band

    def draw(axes: Axes, shown: tuple[SweepName, float, Panel]) -> None:
        kind, eps255, mine = shown
        if not mine:
            return
        points = [Point(*pair, *point) for pair, sweeps in mine.items() for point in line(sweeps)]
        draw_series(axes, config.methods, points, intervals="band", markersize=3.2)
        for (method, _), sweeps in mine.items():
            clean = float(np.mean([sweep.clean_correct / sweep.n_test for sweep in sweeps]))
            axes.axhline(100 * clean, color=labels.method_colours(config.methods)[method], zorder=1.5, **DOTTED)
        _scale(axes, sorted({point.x for point in points}), logarithmic=kind == "steps")
        if kind == "radius":
            axes.axvline(eps255, zorder=1.4, **_MARK)
        axes.set_xlabel(f"ε (1/255, {labels.NORMS[config.norm]})" if kind == "radius" else kind)

    return grid(
        bands,
        draw,
        title="Robust accuracy over the strength of the attack",
        notes=[*_notes(suite, kinds), *suite.notes],
        y_label="robust accuracy (%)",
        handles=_handles(suite, kinds),
    )


def _of_panel(sweeps: Iterable[Sweep], dataset: str, label: str, eps255: float, kind: SweepName) -> Panel:
    """The sweeps of one panel by method and checkpoint, one a seed.

    A predictor that was not trained for a radius stands in the row of each; its sweep over the radius is the same
    in all of them.

    Returns:
        The sweeps, by rising seed.
    """
    found: dict[tuple[str, str], dict[int, Sweep]] = {}
    for sweep in sweeps:
        if (sweep.dataset, sweep.architecture.label, sweep.kind) != (dataset, label, kind):
            continue
        trained = sweep.trained_at.eps255 if sweep.trained_at else None
        if trained not in (None, eps255) or (kind != "radius" and sweep.threat.eps255 != eps255):
            continue
        by_seed = found.setdefault((sweep.method, sweep.checkpoint), {})
        if sweep.seed not in by_seed or sweep.threat.eps255 == eps255:
            by_seed[sweep.seed] = sweep
    return {pair: [by_seed[seed] for seed in sorted(by_seed)] for pair, by_seed in found.items()}


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


def _title(kind: SweepName, eps255: float, found: Panel) -> str:
    """What is varied and of which attack."""
    at = "" if kind == "radius" else f" at {labels.radius_label(eps255)}"
    attack = next((sweeps[0].attack for sweeps in found.values()), None)
    name = labels.attack_label(attack.name, inside_threat_model=attack.inside_threat_model) if attack else ""
    return f"{kind}{at}\n{name}"


def _notes(suite: Suite, kinds: Sequence[SweepName]) -> list[str]:
    """Attacks with their settings, sizes and intervals."""
    if not kinds:
        return []
    attacks = {kind: next(sweep.attack for sweep in suite.sweeps if sweep.kind == kind) for kind in kinds}
    seeds = seed_counts(((one.dataset, one.architecture, one.method, one.kind), one.seed) for one in suite.sweeps)
    return [
        "; ".join(f"{kind}: {attack_in_words(attack, kind)}" for kind, attack in attacks.items()),
        sizes(suite.config, (sweep.n_test for sweep in suite.sweeps), seeds),
    ]


def _handles(suite: Suite, kinds: Sequence[SweepName]) -> list[Line2D]:
    """One entry for each method and checkpoint, and the lines that belong to none."""
    handles = method_handles(suite.config.methods, [(sweep.method, sweep.checkpoint) for sweep in suite.sweeps])
    if kinds:
        handles.append(Line2D([], [], color="#777777", label="clean accuracy", **DOTTED))
    if "radius" in kinds:
        handles.append(Line2D([], [], label="radius trained for", **_MARK))
    return handles
