"""The figures of depth and radius: clean and robust accuracy of every method."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.telling import labels
from advntk.telling.frames import CLEAN, ROBUST, Suite, ends, results
from advntk.telling.layout import grid
from advntk.telling.listing import lines_of
from advntk.telling.series import DOTTED, Point, draw_series, method_handles, sizes, top

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
