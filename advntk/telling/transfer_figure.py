"""The figure of transfer: who is broken by whose images, a matrix for each dataset, radius and attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advntk.telling import labels
from advntk.telling.series import attack_in_words, span
from advntk.telling.sheet import Band, Group, Shape, Sheet, bands_of, say
from advntk.telling.suite_file import Suite
from advntk.telling.transfer import Cell, Crossing, Name, crossings, names_of

_CELL = 0.34  # inches
_LETTER = 0.064  # inches of a letter of a name
_CLEAN_GAP = 0.35  # cells between the matrix and the row of clean accuracies
_WIDEST = 14.0
_COLOURS = "cividis"
_OUTLINE = "#d55e00"
_NUMBER: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7}
_MESH: dict[str, Any] = {"edgecolors": "white", "linewidth": 0.6}


def transfer(suite: Suite) -> Figure:
    """Accuracy of each predictor (column) on the images made against each (row), and on clean ones."""
    found = crossings(suite)
    attacks = {item.attack.name: item.attack.inside_threat_model for item in suite.transfers}
    names = {cell: names_of(pairs) for cell, pairs in found.items()}
    shape = _shape(list(names.values()))
    bands: list[Band] = []
    for dataset in dict.fromkeys(cell[0] for cell in names):
        groups = [
            Group(
                heading=labels.radius_label(key[1]),
                keys=[key],
                titles=[labels.attack_label(key[2], inside_threat_model=attacks[key[2]]).replace(" (", "\n(")],
            )
            for key in names
            if key[0] == dataset
        ]
        bands += bands_of(dataset, groups, shape.across(_WIDEST))
    sheet = Sheet(
        title="Transfer: accuracy on images made against other predictors",
        notes=[*_notes(suite, found), *suite.notes],
        bands=bands or [Band(label="", groups=[Group(heading="", keys=[()], titles=[""])])],
        handles=[],
        y_label="images made against" if names else "",
        x_label="shown to" if names else "",
        y_top=1.0,
        shape=shape if names else None,
    )
    for key, axes in sheet.panels.items():
        if not key:
            say(axes, "no transfers\nin this suite")
            axes.set_yticks([])
        else:
            _draw(axes, found[key], names[key])
    return sheet.figure


def _shape(names: Sequence[Sequence[Name]]) -> Shape:
    """Room for the largest matrix and the longest name; a small matrix gets wide cells, so that titles fit."""
    most = max((len(own) for own in names), default=1)
    longest = max((len(name.text) for own in names for name in own), default=0)
    room = max(0.45, _LETTER * longest)
    return Shape(
        width=max(1.95, _CELL * most),
        height=_CELL * (most + 1 + _CLEAN_GAP),
        left=0.8 + room,
        below=0.4 + room,
    )


def _draw(axes: Axes, pairs: Sequence[Crossing], names: Sequence[Name]) -> None:
    """One matrix with its numbers; the diagonal, the attack on the predictor itself, is outlined."""
    count = len(names)
    place = {name: i for i, name in enumerate(names)}
    robust, clean = np.full((count, count), np.nan), np.full((1, count), np.nan)
    for pair in pairs:
        robust[place[pair.source], place[pair.target]] = 100 * pair.robust[0]
        clean[0, place[pair.target]] = 100 * pair.clean
    axes.grid(visible=False)
    edges = np.arange(count + 1)
    for values, top in ((robust, 0.0), (clean, count + _CLEAN_GAP)):
        axes.pcolormesh(edges, top + np.arange(len(values) + 1), values, cmap=_COLOURS, vmin=0, vmax=100, **_MESH)
        for (row, column), value in np.ndenumerate(values):
            axes.text(column + 0.5, top + row + 0.5, f"{value:.0f}", color=_ink(value), **_NUMBER)
    for i in range(count):
        axes.add_patch(Rectangle((i, i), 1, 1, fill=False, edgecolor=_OUTLINE, linewidth=1.6, zorder=3, clip_on=False))
    _separate(axes, names, count + 1 + _CLEAN_GAP)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.yaxis.labelpad = 8
    axes.set_xlim(0, count)
    axes.set_ylim(count + 1 + _CLEAN_GAP, 0)
    axes.set_xticks(edges[:-1] + 0.5, [name.text for name in names], rotation=90)
    axes.set_yticks([*(edges[:-1] + 0.5), count + _CLEAN_GAP + 0.5], [*(name.text for name in names), "clean"])


def _ink(percent: float) -> str:
    """Black or white, whichever reads on the colour of a cell."""
    red, green, blue, _ = colormaps[_COLOURS](percent / 100)
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45 else "white"


def _separate(axes: Axes, names: Sequence[Name], bottom: float) -> None:
    """White lines between networks, thinner ones between kernels and finite networks of one architecture."""
    for i in range(1, len(names)):
        before, after = names[i - 1], names[i]
        width = 3.5 if before.architecture != after.architecture else 1.8 if before.kind != after.kind else 0
        if width:
            axes.plot([i, i], [0, bottom], color="white", linewidth=width, zorder=2)
            axes.plot([0, len(names)], [i, i], color="white", linewidth=width, zorder=2)


def _notes(suite: Suite, found: Mapping[Cell, Sequence[Crossing]]) -> list[str]:
    """How to read a matrix, sizes and attacks."""
    if not found:
        return ["There are no transfers in this suite."]
    attacks = {item.attack.name: attack_in_words(item.attack) for item in suite.transfers}
    tests = span(pair.n_test for pairs in found.values() for pair in pairs)
    return [
        "Row: the predictor that the images were made against. Column: the predictor that is shown them. Cell: percent "
        "of images that the column's predictor classifies correctly, clean and perturbed; outlined: its own images "
        "(white-box). Last row: clean images.",
        "Of each network, kernel predictors (infinitely wide) stand before finite networks, a thin gap between. "
        f"Mean over seeds; n_test = {tests}, "
        f"seeds = {span(pair.seeds for pairs in found.values() for pair in pairs)}; "
        f"{labels.NORMS[suite.config.norm]}, {', '.join(attacks.values())}.",
    ]
