"""How every figure is laid out: panels in rows, lines with intervals, one look, written as svg and png."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import rcsetup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.foundation import files
from advntk.foundation.statistics import Interval, accuracy_interval, seed_interval, student_interval
from advntk.telling import hover

if TYPE_CHECKING:
    from advntk.telling.contents import Suite

COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494")
"""Seaborn's palette ``colorblind``."""
LEAST = 1e-16
"""Smaller values are drawn there on a logarithmic axis."""
STYLE: Any = {  # Any: matplotlib types the keys, a plain dict does not fit
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.7,
    "axes.prop_cycle": rcsetup.cycler("color", COLOURS),
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "advntk",
}
_GREY = "#555555"
_LETTERS = 15  # of 8 points, on an inch
Content = TypeVar("Content")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure on a page; its caption stands in ``labels``.

    Attributes:
        title: its heading.
        wanted: whether a suite has something to show in it.
        draw: draws it, within :func:`style`.
    """

    title: str
    wanted: Callable[[Suite], bool]
    draw: Callable[[Suite], Figure]


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure; inside it, figures are drawn and saved."""
    import seaborn as sns  # two seconds, which tables do without

    with sns.axes_style("whitegrid"), mpl.rc_context(STYLE):
        yield


def save(figure: Figure, out_svg: str | Path) -> None:
    """Write the figure as svg, and as png (150 dpi) beside it; equal figures give equal bytes."""
    path = Path(out_svg)
    files.write_text(path, svg(figure))
    save_png(figure, path.with_suffix(".png"))


def svg(figure: Figure) -> str:
    """The figure as svg, whose curves say what their points are (:mod:`advntk.telling.hover`)."""
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return hover.with_titles(content.getvalue(), figure)


def save_png(figure: Figure, out_png: Path) -> None:
    """Write the figure as png only (150 dpi)."""
    with files.replacing(out_png) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


def _panels(rows: Sequence[Sequence[str]], title: str, size: tuple[float, float]) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a panel for each title, laid out by matplotlib so that nothing overlaps."""
    columns = max(map(len, rows))
    figure = Figure(figsize=(max(6.4, size[0] * columns), size[1] * len(rows) + 0.3), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", size=9.5, weight="bold")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, titles in zip(axes, rows, strict=True):
        for panel, name in zip(line, titles, strict=False):
            panel.set_title(name)
        for panel in line[len(titles) :]:
            panel.remove()
    return figure, [list(line[: len(titles)]) for line, titles in zip(axes, rows, strict=True)]


def panels(titles: Sequence[str], *, title: str, notes: Sequence[str], across: int = 3) -> tuple[Figure, list[Axes]]:
    """An empty figure of small panels.

    Args:
        titles: one a panel.
        title: of all.
        notes: how lines and bands are read; below the panels.
        across: panels in a row, at most.

    Returns:
        The figure and its panels, row by row.
    """
    rows = [titles[start : start + across] for start in range(0, len(titles), across)]
    figure, axes = _panels(rows, title, (3.1, 2.35))
    remark(figure, notes)
    return figure, [panel for line in axes for panel in line]


def grid(
    bands: Mapping[str, Mapping[str, Content]],
    draw: Callable[[Axes, Content], None],
    *,
    title: str,
    notes: Sequence[str],
    y_label: str,
    x_label: str = "",
    y_top: float = 102.0,
    handles: Sequence[Line2D] = (),
    across: int = 6,
    size: tuple[float, float] = (2.15, 2.2),
) -> Figure:
    """Bands of panels, such as a dataset and radius each, with one vertical axis and one legend.

    Args:
        bands: by label, what each panel shows by the panel's title.
        draw: draws it; a panel in which it draws nothing says so.
        title: of all.
        notes: sizes, intervals and settings; stand over the legend.
        y_label: of the vertical axes.
        x_label: of the horizontal axes, unless ``draw`` sets them.
        y_top: upper end of the vertical axes, which start at 0.
        handles: the legend's entries.
        across: panels in a row, at most; a longer band is broken.
        size: of a panel with its labels, in inches.

    Returns:
        The figure.
    """
    lines = [
        (label, list(band.items())[start : start + across])
        for label, band in bands.items()
        for start in range(0, len(band), across)
    ]
    titles = [[_wrapped(name.split("\n"), size[0] * 0.85) for name, _ in band] for _, band in lines]
    figure, axes = _panels(titles or [[""]], title, size)
    _taller(figure, sum(max(name.count("\n") for name in row) for row in titles))
    for row, (label, band) in zip(axes, lines, strict=False):
        for panel, (_, content) in zip(row, band, strict=True):
            panel.set(xlabel=x_label, ylim=(0, y_top))
            panel.set_ylabel(f"{label}\n{y_label}", visible=panel is row[0])
            panel.tick_params(length=0, labelleft=panel is row[0])
            draw(panel, content)
            if not panel.has_data():
                _empty(panel)
    if not lines:
        _empty(axes[0][0])
    remark(figure, notes, handles)
    return figure


def _empty(panel: Axes) -> None:
    panel.grid(visible=False)
    panel.set_xticks([])
    text = "nothing measured\nin this suite"
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center", color=_GREY, style="italic")


def _wrapped(texts: Iterable[str], inches: float) -> str:
    return "\n".join(textwrap.fill(text, int(inches * _LETTERS)) for text in texts)


def remark(figure: Figure, notes: Iterable[str], handles: Sequence[Line2D] = ()) -> None:
    """Notes below the panels, and below these the legend."""
    width, text = figure.get_figwidth(), _wrapped(notes, figure.get_figwidth())
    entry = 0.65 + max((len(str(handle.get_label())) for handle in handles), default=0) / _LETTERS
    columns = max(1, min(len(handles), int(width / entry)))
    _taller(figure, text.count("\n") + 2 + -(-len(handles) // columns))
    legend = figure.legend(
        handles=list(handles),
        title=text,
        loc="outside lower center",
        ncol=columns,
        fontsize=8,
        title_fontsize=7.5,
        handlelength=2.6,
    )
    legend.get_title().set_color(_GREY)


def _taller(figure: Figure, lines: int) -> None:
    """Room for more lines of text."""
    figure.set_figheight(figure.get_figheight() + 0.17 * lines)


def line_with_band(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    seeds: Sequence[Sequence[float]] | np.ndarray,
    label: str,
    *,
    dashed: Sequence[Sequence[float]] | np.ndarray | None = None,
    images: int | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    **look: Any,
) -> Any:
    """The mean over seeds as a line, and the range of the mean's 95% interval as a band.

    Args:
        axes: the panel.
        x: (k,).
        seeds: (seeds, k); one seed gives a line without a band.
        label: of the line.
        dashed: (seeds, k), another quantity, whose mean is a dashed line of the same colour.
        images: of accuracies and their differences, the test images of each seed.
        bounds: of such, the least and the largest value possible.
        look: of the line.

    Returns:
        The line's colour, the panel's next one unless ``look`` has another.
    """
    values = np.asarray(seeds, dtype=np.float64)
    ends: Any = ()
    if len(values) > 1:
        intervals = [seed_interval(one, images, bounds) if images else student_interval(one) for one in values.T]
        ends = np.array(intervals)[:, 1:].T
    look = {"marker": "o", "markersize": 3, **look}
    colour = hover.plot(axes, x, values.mean(axis=0), label, ends=ends, label=label, **look).get_color()
    if len(values) > 1:
        axes.fill_between(x, *ends, color=colour, alpha=0.18, linewidth=0)
    if dashed is not None:
        mean, name = np.mean(dashed, axis=0), f"{label}, dashed"
        hover.plot(axes, x, mean, name, color=colour, linestyle="--", linewidth=0.9)
    return colour


def accuracy_dots(
    axes: Axes,
    outcomes: Mapping[str, Sequence[Sequence[np.ndarray]]],
    images: Sequence[np.ndarray],
    colours: Sequence[Any],
) -> None:
    """Robust (filled) and clean (hollow) accuracy with 95% intervals over seeds and images, a row for each name.

    Args:
        axes: the panel.
        outcomes: by name, robust and clean outcomes of test images, one boolean array a seed.
        images: which test images these are.
        colours: one a name.
    """
    for row, (both, colour) in enumerate(zip(outcomes.values(), colours, strict=True)):
        for found, face in zip(both, (colour, "white"), strict=True):
            value, low, high = accuracy_interval(found, images)
            error = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
            axes.errorbar(value, row, xerr=error, color=colour, mfc=face, fmt="o", ms=3.5, lw=1)
    axes.set_yticks(range(len(outcomes)), list(outcomes), fontsize=6.5)
    axes.set(xlim=(0, 1.02), ylim=(len(outcomes) - 0.5, -0.5), xlabel="accuracy")


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


def span(interval: Interval, digits: int = 2) -> str:
    """A value with its interval, in words: ``-0.50 [-0.53, -0.47]``."""
    value, low, high = (round(one, digits) + 0.0 for one in interval)  # no −0.00
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
