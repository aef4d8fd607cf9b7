"""The figure of the fit: predicted over measured CPU seconds of like jobs and of probes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from advntk.foundation import files
from advntk.planning.calibration import Observation
from advntk.planning.rates import Rates

COLOURS = ("#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677", "#AA4499", "#882255", "#44AA99", "#999933", "#666666")
MARKS = "osD^vP*X<>"
TWICE = 2.0


def fit_figure(found: Sequence[Observation], rates: Rates) -> Figure:
    """Whole jobs, a mark for each rule; the band is a factor of two either way."""
    whole = [one for one in found if one.whole]
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    every = [one.cpu_s for one in whole]
    ends = np.array([min(every) / TWICE, max(every) * TWICE])
    axes.fill_between(ends, ends / TWICE, ends * TWICE, color="#eeeeee", label="within a factor of 2")
    axes.plot(ends, ends, color="#bbbbbb", linewidth=0.9)
    for index, rule in enumerate(dict.fromkeys(one.rule for one in whole)):
        mine = [one for one in whole if one.rule == rule]
        axes.plot(
            [one.cpu_s for one in mine],
            [rates.cpu_s(one.work) or np.nan for one in mine],
            linestyle="none",
            marker=MARKS[index % len(MARKS)],
            markersize=5,
            color=COLOURS[index % len(COLOURS)],
            alpha=0.8,
            label=rule,
        )
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set_xlabel("measured: CPU seconds of a job")
    axes.set_ylabel("predicted: CPU seconds")
    axes.set_title("The cost model and what it was fitted to", loc="left", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_figure(figure: Figure, out: Path) -> None:
    """Write as png, through a temporary name."""
    with files.replacing(out) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
