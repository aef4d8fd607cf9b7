"""What stories on training time share: the time chosen on val, networks that were attacked, points with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from advntk.foundation.statistics import Interval
from advntk.telling.story import Told
from advntk.telling.story_figure import COLOURS

POINT = 0.01
"""Of accuracy, or of a relative distance: smaller effects do not count."""
LEAST = 1e-16


def chosen(curves: Mapping[str, Any], row: int | None = None) -> int:
    """Position of the time of best robust accuracy on val, the earliest of equals.

    Args:
        curves: with ``robust_val``, (T,) or (S, T).
        row: which strength, where there are several.

    Returns:
        An index of the times.
    """
    values = np.asarray(curves["robust_val"] if row is None else curves["robust_val"][row])
    return int(values.argmax())


def attacked(told: Told) -> list[str]:
    """Networks whose robust accuracy was measured."""
    return [name for name in told.values("network") if "robust_test" in told.of(network=name)[0].found]


def points(axes: Axes, names: Sequence[str], intervals: Sequence[Interval], label: str, *, log: bool = False) -> None:
    """A point with its interval for each name, from the top down.

    Args:
        axes: the panel.
        names: of the lines.
        intervals: one a name.
        label: of the horizontal axis.
        log: whether that is logarithmic, from 1e-16 to 1; what is below is drawn at its end.
    """
    floor = LEAST if log else -np.inf
    for line, (value, low, high) in enumerate(intervals):
        axes.plot([max(low, floor), max(high, floor)], [line, line], color=COLOURS[0], lw=2)
        axes.plot(max(value, floor), line, "o", ms=4, color=COLOURS[0])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)
    if log:
        axes.set(xscale="log", xlim=(LEAST / 2, 2))
        axes.set_xticks([1e-16, 1e-12, 1e-8, 1e-4, 1])
