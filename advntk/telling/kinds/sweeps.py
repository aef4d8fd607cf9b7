"""Sweeps: robust accuracy over the strength of an attack, and its figure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.foundation.statistics import Interval
from advntk.foundation.strength import Sweep, SweepName, read_sweep
from advntk.telling import labels
from advntk.telling.accuracy_figures import (
    DOTTED,
    Point,
    attack_in_words,
    draw_series,
    interval_of_counts,
    method_handles,
    sizes,
)
from advntk.telling.consistency import agree
from advntk.telling.contents import Suite
from advntk.telling.frames import cell_of
from advntk.telling.kinds import Kind
from advntk.telling.layout import Picture, grid
from advntk.telling.listing import groups
from advntk.telling.publishing import pieces

_VARIED: tuple[SweepName, ...] = ("radius", "steps", "restarts")
_WIDE = 8.0  # ratio of the largest to the smallest value from which an axis is logarithmic
_APART = 0.115  # least distance of two tick labels, as a share of the axis
_MARK: dict[str, Any] = {"color": "#777777", "linestyle": (0, (4, 2)), "linewidth": 0.9}


def strength(suite: Suite) -> Figure:
    """Robust accuracy over each strength that was varied, a line for each method, by network and radius."""
    config, found = suite.config, _sweeps(suite)
    kinds = [kind for kind in _VARIED if kind in set(found["kind"])]
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
            *[sizes(config, (sweep.n_test for sweep in suite.of(Sweep)), seeds)] * bool(kinds),
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
            **cell_of(sweep),
            "checkpoint": sweep.checkpoint,
            "kind": sweep.kind,
            "seed": sweep.seed,
            "trained_at": sweep.trained_at.eps255 if sweep.trained_at else np.nan,
            "eps255": sweep.threat.eps255,
            "sweep": sweep,
        }
        for sweep in suite.of(Sweep)
    ]
    names = ["dataset", "network", "method", "checkpoint", "kind", "seed", "trained_at", "eps255", "sweep"]
    return pd.DataFrame(lines, columns=names)


def _of_panel(found: pd.DataFrame, kind: SweepName, eps255: float) -> pd.DataFrame:
    """Return the sweeps of one panel, one a seed of each method and checkpoint.

    A predictor that was not trained for a radius stands in the row of each; its sweep over the radius is the same
    in all of them.
    """
    mine = found.assign(elsewhere=found["eps255"] != eps255)
    trained = mine["trained_at"].isna() | (mine["trained_at"] == eps255)
    wanted = mine[trained if kind == "radius" else trained & ~mine["elsewhere"]]
    return wanted.sort_values("elsewhere", kind="stable").drop_duplicates(["method", "checkpoint", "seed"]).sort_index()


def line(sweeps: Sequence[Sweep]) -> list[tuple[float, Interval]]:
    """Return the mean robust accuracy at each strength over the seeds' sweeps of one method.

    A sweep over the radius ends where no example is robust: beyond, it counts as 0. A strength that a seed lacks
    otherwise is left out.
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


def _apart(first: Sweep, second: Sweep) -> float:
    """Largest difference; a strength that one lacks counts as 0, as beyond the end of a sweep over the radius."""
    mine, theirs = ({point.value: point.robust_accuracy for point in one.points} for one in (first, second))
    differences = [abs(mine.get(value, 0.0) - theirs.get(value, 0.0)) for value in mine | theirs]
    return (
        100 * max(differences, default=0.0) if agree(first.attack.model_dump(), second.attack.model_dump()) else np.inf
    )


ENTRY = Kind(
    what="sweep",
    model=Sweep,
    read=read_sweep,
    place=lambda order, one: (*order.cell(one, one.threat.eps255), *order.at(sweep=one.kind)),
    piece=pieces.of_fit,
    made=lambda one, _: {"of": {"fit": [pieces.of_fit(one)]}},
    asked=lambda config: [f"over {name}" for name in config.sweeps],
    called=lambda one: f"over {one.kind}",
    apart=_apart,
    rule="sweep",
    figures={
        "strength": Picture(
            title="accuracy over the strength of the attack", wanted=lambda suite: bool(suite.of(Sweep)), draw=strength
        )
    },
)
