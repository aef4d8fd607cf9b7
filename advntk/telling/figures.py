"""The figures, by name: accuracy along training, over depth, radius and strength, and transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from advntk.foundation.errors import ConfigError, nearest
from advntk.telling import labels, overfitting, told_stories
from advntk.telling.curves_figure import curves
from advntk.telling.frames import Row, Suite, rows, span_of
from advntk.telling.series import in_order, method_handles, top
from advntk.telling.sheet import Band, Group, Sheet, bands_of, save, say, style
from advntk.telling.strength_figure import strength
from advntk.telling.transfer_figure import transfer

_ACCURACY = "accuracy (%)"
_OPEN: dict[str, Any] = {"linestyle": "", "markersize": 4, "markerfacecolor": "white", "zorder": 4}
"""A training that has not converged."""
_CLEAN_LINE: dict[str, Any] = {
    **{"linestyle": (0, (1, 1.5)), "linewidth": 1.1},
    **{"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.9},
}


def write_figure(name: str, suite: Suite, out_svg: str | Path) -> None:
    """Draw a figure and write it as svg, and as png beside it.

    Args:
        name: one of ``FIGURES``, or ``theory_NAME`` of an experiment that the suite ran.
        suite: what was measured.
        out_svg: path of the svg file.

    Raises:
        ConfigError: there is no such figure.
    """
    known = FIGURES | told_stories.figures(suite)
    if name not in known:
        raise ConfigError(
            f"unknown figure '{name}'{nearest(name, known)}", where="figures", remedy=f"allowed: {', '.join(known)}"
        )
    with style():
        save(known[name](suite), out_svg)


def depth(suite: Suite) -> Figure:
    """Clean and robust accuracy over depth, a line for each method and checkpoint, by family and attack."""
    found = _shown(rows(suite))
    attacks = _attack_labels(suite, found)
    bands: list[Band] = []
    for dataset in suite.config.datasets:
        families = list(dict.fromkeys(spec.kind for spec in suite.config.specs_on(dataset)))
        for eps255 in suite.config.eps255:
            groups = [
                Group(
                    heading=name,
                    keys=[(dataset, eps255, name, quantity) for quantity in ("", *attacks)],
                    titles=["clean", *(f"robust: {_attack_title(label)}" for label in attacks.values())],
                )
                for name in families
            ]
            bands += bands_of(f"{dataset}, {labels.radius_label(eps255)}", groups)
    sheet = Sheet(
        title="Clean and robust accuracy over depth",
        notes=[*_notes(suite, found, attacks), *suite.notes],
        bands=bands,
        handles=_handles(suite, found),
        y_label=_ACCURACY,
        x_label="depth (layers)",
        y_top=top([100 * end for row in found for end in (row.clean[2], row.robust[2])]),
    )
    for (dataset, eps255, name, attack), axes in sheet.panels.items():
        mine = [row for row in found if (row.dataset, row.eps255, row.architecture) == (dataset, eps255, name)]
        if attack:
            points = [(row, float(row.spec.depth), row.robust) for row in mine if row.attack == attack]
        else:
            first = {(row.spec.label, row.method, row.checkpoint): row for row in reversed(mine)}
            points = [(row, float(row.spec.depth), row.clean) for row in reversed(first.values())]
        _draw_points(axes, suite, points, solid=True)
    return sheet.figure


def radius(suite: Suite) -> Figure:
    """Robust accuracy over ε, clean accuracy dotted, a line for each method and checkpoint, by network and attack."""
    found = _shown(rows(suite))
    attacks = _attack_labels(suite, found)
    bands: list[Band] = []
    for dataset in suite.config.datasets:
        groups = [
            Group(
                heading=spec.label,
                keys=[(dataset, spec.label, attack) for attack in attacks or [""]],
                titles=[f"robust: {_attack_title(label)}" for label in attacks.values()] or [""],
            )
            for spec in suite.config.specs_on(dataset)
        ]
        bands += bands_of(dataset, groups)
    dotted = Line2D([], [], color="#777777", label="clean accuracy (dotted)", **_CLEAN_LINE)
    sheet = Sheet(
        title="Robust accuracy over the radius of the threat model",
        notes=[
            *_notes(suite, found, attacks),
            "A method that trains for a radius is trained anew at each: its clean accuracy (dotted) changes too.",
            *suite.notes,
        ],
        bands=bands,
        handles=[*_handles(suite, found), dotted],
        y_label=_ACCURACY,
        x_label=f"ε (1/255, {labels.NORMS[suite.config.norm]})",
        y_top=top([100 * end for row in found for end in (row.clean[2], row.robust[2])]),
    )
    for (dataset, label, attack), axes in sheet.panels.items():
        mine = [row for row in found if (row.dataset, row.spec.label, row.attack) == (dataset, label, attack)]
        _draw_points(axes, suite, [(row, row.eps255, row.robust) for row in mine], solid=True)
        if mine:
            _draw_points(axes, suite, [(row, row.eps255, row.clean) for row in mine], solid=False)
    return sheet.figure


def _shown(found: Iterable[Row]) -> list[Row]:
    """Rows that the figures show: of Adv-NTK only the last step (the paper's choice), of the others all."""
    every = list(found)
    last = {row.method for row in every if row.method == "advntk" and row.checkpoint == "last"}
    return [row for row in every if row.method not in last or row.checkpoint == "last"]


def _attack_labels(suite: Suite, found: Sequence[Row]) -> dict[str, str]:
    """Labels of the attacks that measured something, in the configuration's order."""
    known = {row.attack: row.attack_label for row in found}
    return {name: known[name] for name in suite.config.attacks if name in known}


def _attack_title(label: str) -> str:
    """An attack's label as a panel's title, a warning in brackets on a line of its own."""
    return label.replace(" (", "\n(")


def _notes(suite: Suite, found: Sequence[Row], attacks: dict[str, str]) -> list[str]:
    """Attacks, sizes and intervals, in words."""
    tests = sorted({row.n_test for row in found})
    sizes = "–".join(str(size) for size in dict.fromkeys((tests[0], tests[-1]))) if tests else "0"
    over = "seeds and test examples" if suite.config.seeds > 1 else "test examples (one seed: no spread over seeds)"
    names = ", ".join(attacks.values()) or "none"
    plural = "attack" if len(attacks) == 1 else "attacks"
    doubted = sum(bool(row.flags) for row in found)
    open_markers = ["Open markers: training had not converged."] if any(row.unconverged for row in found) else []
    doubts = [f"Doubts about {doubted} of {len(found)} evaluations: see the table's footnotes."] if doubted else []
    return [
        f"Robust: correct on the clean image and under the {plural} {names}. "
        f"Mean and 95% interval over {over}; n_test = {sizes}, "
        f"seeds = {span_of([row.seeds for row in found]) if found else suite.config.seeds}.",
        *open_markers,
        *doubts,
    ]


def _handles(suite: Suite, found: Sequence[Row]) -> list[Line2D]:
    """The legend's entries: one for each method and checkpoint."""
    return method_handles(suite.config.methods, [(row.method, row.checkpoint) for row in found])


def _draw_points(
    axes: Axes, suite: Suite, points: Sequence[tuple[Row, float, tuple[float, float, float]]], *, solid: bool
) -> None:
    """Means with intervals, joined by a line for each method and checkpoint.

    Args:
        axes: the panel.
        suite: for the order and colours of methods.
        points: row, place on the horizontal axis, and (mean, low, high).
        solid: lines with markers and bars, or else thin dotted lines (the clean accuracy beside the robust one).
    """
    if not points:
        say(axes, "nothing measured\nin this suite")
        return
    places = sorted({place for _, place, _ in points})
    unit = min(np.diff(places)) if len(places) > 1 else 1.0
    series = in_order(suite.config.methods, [(row.method, row.checkpoint) for row, _, _ in points])
    colours = labels.method_colours(suite.config.methods)
    # side by side, a marker's width apart where there is room, so that bars do not hide each other
    apart = min(0.028 * (places[-1] - places[0] + unit), 0.6 * unit / len(series))
    for i, (method, checkpoint) in enumerate(series):
        mine = sorted(
            (place, interval) for row, place, interval in points if (row.method, row.checkpoint) == (method, checkpoint)
        )
        shift = apart * (i - (len(series) - 1) / 2)
        x = [place + shift for place, _ in mine]
        y, low, high = (100 * np.array([interval[part] for _, interval in mine]) for part in range(3))
        if solid:
            axes.errorbar(
                x,
                y,
                yerr=[np.maximum(y - low, 0), np.maximum(high - y, 0)],
                color=colours[method],
                marker=labels.marker(checkpoint),
                linestyle=labels.dashes(checkpoint),
                markersize=4,
                markeredgewidth=0,
                linewidth=1.3,
                elinewidth=1.0,
                zorder=3,
            )
            open_points = [
                (place + shift, 100 * interval[0])
                for row, place, interval in points
                if (row.method, row.checkpoint) == (method, checkpoint) and row.unconverged
            ]
            if open_points:
                xs, ys = zip(*open_points, strict=True)
                axes.plot(xs, ys, color=colours[method], marker=labels.marker(checkpoint), **_OPEN)
        else:
            axes.plot(x, y, color=colours[method], zorder=2, **_CLEAN_LINE)
    axes.set_xlim(places[0] - 0.5 * unit, places[-1] + 0.5 * unit)
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


FIGURES: dict[str, Callable[[Suite], Figure]] = {
    "curves": curves,
    "depth": depth,
    "overfitting": overfitting.figure,
    "radius": radius,
    "strength": strength,
    "transfer": transfer,
}
