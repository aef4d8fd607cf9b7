"""What the figures of stories share: panels in rows with a heading and notes, lines with bands, words for numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from advntk.foundation.statistics import Interval, accuracy_interval, seed_interval, student_interval

PANEL = (3.1, 2.35)
"""Inches of a panel with its labels."""
_NOTE_LINE, _TITLE = 0.165, 0.3
COLOURS: list[Any] = sns.color_palette("colorblind", 8)


def panels(titles: Sequence[str], *, title: str, notes: Sequence[str], across: int = 3) -> tuple[Figure, list[Axes]]:
    """An empty figure of small panels.

    Args:
        titles: one a panel.
        title: of all.
        notes: sizes, seeds, what bands are; below the panels.
        across: panels in a row, at most.

    Returns:
        The figure and its panels, row by row.
    """
    columns = min(across, len(titles))
    rows = -(-len(titles) // columns)
    width = max(6.4, PANEL[0] * columns)
    lines = [line for note in notes for line in textwrap.wrap(note, int(width * 15.5))]
    height = PANEL[1] * rows + _TITLE + _NOTE_LINE * len(lines) + 0.1
    below = (_NOTE_LINE * len(lines) + 0.08) / height
    layout = ConstrainedLayoutEngine(rect=(0, below, 1, 1 - below - _TITLE / height))
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    figure.text(0.08 / width, 1 - 0.08 / height, title, ha="left", va="top", size=9.5, weight="bold")
    figure.text(0.08 / width, 0.06 / height, "\n".join(lines), ha="left", va="bottom", size=7.5, color="#555555")
    found = []
    for index, name in enumerate(titles):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.set_title(name)
        found.append(axes)
    return figure, found


def line_with_band(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    seeds: Sequence[Sequence[float]] | np.ndarray,
    *,
    images: int | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    **style: Any,
) -> None:
    """The mean over seeds as a line, and the range of the mean's 95% interval as a band.

    Args:
        axes: the panel.
        x: (k,).
        seeds: (seeds, k); one seed gives a line without a band.
        images: of accuracies and their differences, the test images of each seed.
        bounds: of such, the least and the largest value possible.
        style: of the line; ``color`` and ``label`` at least.
    """
    values = np.asarray(seeds, dtype=np.float64)
    axes.plot(x, values.mean(axis=0), **{"marker": "o", "markersize": 3, **style})
    if len(values) > 1:
        intervals = [seed_interval(one, images, bounds) if images else student_interval(one) for one in values.T]
        ends = np.array(intervals)[:, 1:]
        axes.fill_between(x, ends[:, 0], ends[:, 1], color=style["color"], alpha=0.18, linewidth=0)


def accuracy_dots(
    axes: Axes,
    row: int,
    robust: Sequence[np.ndarray],
    clean: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
    colour: Any,
) -> None:
    """Robust (filled) and clean (hollow) accuracy with 95% intervals over seeds and images, in one row.

    Args:
        axes: the panel.
        row: its height.
        robust: outcomes of test images, one boolean array a seed.
        clean: the same without attack.
        images: which test images these are.
        colour: of both.
    """
    for outcomes, face in ((robust, colour), (clean, "white")):
        value, low, high = accuracy_interval(outcomes, images)
        error = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
        axes.errorbar(value, row, xerr=error, color=colour, mfc=face, fmt="o", ms=3.5, lw=1)


def span(interval: Interval, digits: int = 2) -> str:
    """A value with its interval, in words: ``-0.50 [-0.53, -0.47]``."""
    value, low, high = (round(one, digits) + 0.0 for one in interval)  # no −0.00
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
