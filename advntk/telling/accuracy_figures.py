"""The figures of depth and radius: clean and robust accuracy of every method."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.telling import labels
from advntk.telling.frames import Row, Suite, rows
from advntk.telling.layout import grid
from advntk.telling.series import CLEAN, Point, draw_series, method_handles, sizes, top

_DOTTED = CLEAN | {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.9, "zorder": 2}
_DOTTED_HANDLE = Line2D([], [], color="#777777", label="clean accuracy", **_DOTTED)

Panel = tuple[list[Point], list[Point]]
"""What is drawn with its intervals, and the clean accuracies that are dotted beside it."""


def depth(suite: Suite) -> Figure:
    """Clean and robust accuracy over depth, a line for each method and checkpoint, by family and attack."""
    found, config = _shown(suite), suite.config
    attacks = _attacks(suite, found)

    def panel(dataset: str, eps255: float, kind: str, attack: str) -> Panel:
        mine = [row for row in found if (row.dataset, row.eps255, row.architecture) == (dataset, eps255, kind)]
        if attack:
            return [_point(row, row.spec.depth, row.robust) for row in mine if row.attack == attack], []
        return list(dict.fromkeys(_point(row, row.spec.depth, row.clean) for row in mine)), []  # once for all attacks

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
        mine = [row for row in found if (row.dataset, row.spec.label, row.attack) == (dataset, label, attack)]
        clean = [_point(row, row.eps255, row.clean)._replace(open=False) for row in mine]
        return [_point(row, row.eps255, row.robust) for row in mine], clean

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
    found: Sequence[Row],
    bands: Mapping[str, Mapping[str, Panel]],
    title: str,
    x_label: str,
    together: int,
    handles: Sequence[Line2D] = (),
) -> Figure:
    """The figure; ``together``: panels of one network, which stay in one row."""
    methods, doubted = suite.config.methods, sum(bool(row.flags) for row in found)

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
            sizes(suite.config, (row.n_test for row in found), (row.seeds for row in found)),
            *["Open markers: training had not converged."] * any(row.unconverged for row in found),
            *[f"Warnings about {doubted} of {len(found)} evaluations: see the table's footnotes."] * bool(doubted),
            *suite.notes,
        ],
        y_label="accuracy (%)",
        x_label=x_label,
        y_top=top(100 * end for row in found for end in (row.clean[2], row.robust[2])),
        handles=[*method_handles(methods, [(row.method, row.checkpoint) for row in found]), *handles],
        across=max(1, 6 // max(together, 1)) * max(together, 1),
    )


def _point(row: Row, x: float, interval: tuple[float, float, float]) -> Point:
    return Point(row.method, row.checkpoint, x, interval, bool(row.unconverged))


def _shown(suite: Suite) -> list[Row]:
    """Rows that the figures show: of Adv-NTK only the last step (the paper's choice), of the others all."""
    every = rows(suite)
    last = {row.method for row in every if row.method == "advntk" and row.checkpoint == "last"}
    return [row for row in every if row.method not in last or row.checkpoint == "last"]


def _attacks(suite: Suite, found: Sequence[Row]) -> dict[str, str]:
    """Titles of panels by the attacks that measured something, in the configuration's order."""
    known = {row.attack: f"robust: {row.attack_label}" for row in found}
    return {name: known[name] for name in suite.config.attacks if name in known}
