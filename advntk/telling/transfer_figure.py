"""The figure of transfer: who is broken by whose images, a matrix for each dataset, radius and attack."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from advntk.telling import labels
from advntk.telling.layout import grid
from advntk.telling.series import attack_in_words, span
from advntk.telling.suite_file import Suite
from advntk.telling.transfer import Crossing, crossings, names_of

_CELL, _LETTER = 0.34, 0.064  # inches
_WIDEST = 14.0
_HALF = 47  # percent: darker cells have white numbers
_OUTLINE = "#d55e00"


def transfer(suite: Suite) -> Figure:
    """Accuracy of each predictor (column) on the images made against each (row), and on clean ones."""
    found = crossings(suite)
    attacks = {item.attack.name: item.attack for item in suite.transfers}
    bands: dict[str, dict[str, Sequence[Crossing]]] = {}
    for (dataset, eps255, attack), pairs in found.items():
        name = labels.attack_label(attack, inside_threat_model=attacks[attack].inside_threat_model)
        bands.setdefault(dataset, {})[f"{labels.radius_label(eps255)}\n{name}"] = pairs
    every = [pair for pairs in found.values() for pair in pairs]
    seeds, tests = span(pair.seeds for pair in every), span(pair.n_test for pair in every)
    settings = "; ".join(map(attack_in_words, attacks.values()))
    most = max((len(names_of(pairs)) for pairs in found.values()), default=0)
    room = _LETTER * max((len(pair.source.text) for pair in every), default=0)
    width = max(2.15, _CELL * most + 0.4 + room / 2)
    return grid(
        bands,
        _draw,
        title="Transfer: accuracy (%) on images made against other predictors",
        notes=[
            *[f"{labels.NORMS[suite.config.norm]} threat model; {settings}."] * bool(found),
            *[f"Means over seeds; seeds = {seeds}, n_test = {tests}."] * bool(found),
            *suite.notes,
        ],
        y_label="images made against",
        x_label="shown to",
        across=max(1, int(_WIDEST / width)),
        size=(width, _CELL * (most + 1) + 0.8 + room),
    )


def _draw(axes: Axes, pairs: Sequence[Crossing]) -> None:
    """One matrix with clean accuracies below it; the diagonal, the attack on the predictor itself, is outlined."""
    names = names_of(pairs)
    count, texts = len(names), [name.text for name in names]
    robust = np.array([100 * pair.robust[0] for pair in pairs]).reshape(count, count)
    values = np.vstack([robust, [100 * pair.clean for pair in pairs[:count]]])
    sns.heatmap(
        values,
        **{"ax": axes, "cmap": "cividis", "vmin": 0, "vmax": 100, "cbar": False, "linewidths": 0.6},
        **{"annot": True, "fmt": ".0f", "annot_kws": {"size": 7}},
        **{"xticklabels": texts, "yticklabels": [*texts, "clean"]},
    )
    for text, value in zip(axes.texts, values.ravel(), strict=True):
        text.set_color("black" if value > _HALF else "white")
    for i in range(count):
        axes.add_patch(Rectangle((i, i), 1, 1, fill=False, edgecolor=_OUTLINE, linewidth=1.6, zorder=3, clip_on=False))
    for i, (before, after) in enumerate(itertools.pairwise(names), start=1):
        if (before.architecture, before.kind) != (after.architecture, after.kind):
            width = 3.5 if before.architecture != after.architecture else 1.8
            axes.axhline(i, color="white", linewidth=width, zorder=2)
            axes.axvline(i, color="white", linewidth=width, zorder=2)
    axes.axhline(count, color="white", linewidth=6, zorder=2)
    axes.tick_params(axis="x", rotation=90)
    axes.tick_params(axis="y", rotation=0)
