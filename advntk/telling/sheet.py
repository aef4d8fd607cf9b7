"""A sheet of small panels laid out in inches, so that nothing overlaps whatever a suite holds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from advntk.foundation import files

PANELS_ACROSS = 6
_RIGHT = 0.2
_GAP, _GROUP_GAP = 0.22, 0.46
_HEADING, _TITLE_LINE = 0.26, 0.15
_LEAST_W = 6.6
_LINE = 0.17
_GREY = "#555555"

STYLE: Any = {  # Any: matplotlib types the keys, a plain dict does not fit
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.7,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "svg.fonttype": "none",  # text stays text: it can be searched and read aloud
    "svg.hashsalt": "advntk",
}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Panels that stand close together under one heading.

    Attributes:
        keys: one for each panel, known to whoever draws.
        titles: one for each panel; may have two lines.
    """

    heading: str
    keys: Sequence[tuple[Any, ...]]
    titles: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Band:
    """Groups side by side; ``label`` stands upright on the left."""

    label: str
    groups: Sequence[Group]


def bands_of(label: str, groups: Sequence[Group], across: int = PANELS_ACROSS) -> Iterator[Band]:
    """Groups in bands of at most ``across`` panels, at least one group in each."""
    most = max((len(group.keys) for group in groups), default=1)
    at_once = max(1, across // max(most, 1))
    for start in range(0, len(groups), at_once):
        yield Band(label=label, groups=groups[start : start + at_once])


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Room in inches, the same for all panels of a sheet.

    Attributes:
        width: of a panel.
        height: of a panel.
        left: beside the first panel of a band, for the band's label and the vertical axis.
        below: under a panel, for the horizontal axis.
    """

    width: float = 1.95
    height: float = 1.75
    left: float = 0.95
    below: float = 0.46

    def across(self, widest: float) -> int:
        """How many panels, each a group of its own, stand side by side on ``widest`` inches; at least one."""
        return max(1, int((widest - self.left - _RIGHT + _GROUP_GAP) / (self.width + _GROUP_GAP)))


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure; inside it, figures are drawn and saved."""
    with sns.axes_style("whitegrid"), mpl.rc_context(STYLE):
        yield


class Sheet:
    """A figure of bands of panels, with title, notes and legend outside the data.

    Args:
        title: one line that says what is shown.
        notes: lines below the title: attack, sizes, intervals, how to read.
        bands: the panels.
        handles: the legend's entries, with their labels.
        y_label: name of the vertical axes.
        x_label: name of the horizontal axes.
        y_top: upper end of the vertical axes, which start at 0.
        shape: room of the panels.
    """

    def __init__(
        self,
        *,
        title: str,
        notes: Sequence[str],
        bands: Sequence[Band],
        handles: Sequence[Line2D],
        y_label: str,
        x_label: str,
        y_top: float,
        shape: Shape | None = None,
    ) -> None:
        self._y_label, self._x_label, self._y_top = y_label, x_label, y_top
        self._shape = shape or Shape()
        self.panels: dict[tuple[Any, ...], Axes] = {}
        width = max([_LEAST_W, *(_band_width(band, self._shape) for band in bands)])
        wrapped = [line for note in notes for line in textwrap.wrap(note, int(width * 15.5))]
        columns = max(1, min(len(handles), int((width - 0.4) / _entry_width(handles))))
        legend_h = 0.2 * -(-len(handles) // columns) + 0.15 if handles else 0.0
        head_h = 0.42 + _LINE * len(wrapped) + 0.1
        heights = [_band_height(band, self._shape) for band in bands]
        height = head_h + sum(heights) + legend_h + 0.1
        self.figure = Figure(figsize=(width, height))
        FigureCanvasAgg(self.figure)
        self._w, self._h = width, height
        self._text(0.15, 0.16, title, size=11, weight="bold")
        for i, line in enumerate(wrapped):
            self._text(0.15, 0.44 + _LINE * i, line, size=8, color=_GREY)
        top = head_h
        for band, band_height in zip(bands, heights, strict=True):
            self._draw_band(band, top)
            top += band_height
        if handles:
            self.figure.legend(
                handles=list(handles),
                loc="lower center",
                ncol=columns,
                frameon=False,
                bbox_to_anchor=(0.5, 0.05 / height),
                fontsize=8,
                handlelength=2.6,
                columnspacing=1.6,
            )

    def _text(self, left: float, top: float, text: str, **how: Any) -> None:
        """Text whose upper left corner is at inches from the upper left corner of the sheet."""
        self.figure.text(left / self._w, 1 - top / self._h, text, ha="left", va="top", **how)

    def _draw_band(self, band: Band, top: float) -> None:
        """Make the axes of a band whose upper edge is ``top`` inches below the sheet's."""
        axes_top = top + _HEADING + _TITLE_LINE * _title_lines(band)
        shape = self._shape
        left = shape.left
        for place, group in enumerate(band.groups):
            self._text(left, top + 0.06, group.heading, size=9, weight="bold")
            for key, title in zip(group.keys, group.titles, strict=True):
                bottom = 1 - (axes_top + shape.height) / self._h
                axes = self.figure.add_axes((left / self._w, bottom, shape.width / self._w, shape.height / self._h))
                axes.set_title(title, loc="left", pad=4, color="#333333")
                axes.set_ylim(0, self._y_top)
                axes.set_xlabel(self._x_label, labelpad=2)
                axes.tick_params(length=0)
                if left > shape.left:
                    axes.tick_params(labelleft=False)
                self.panels[key] = axes
                left += shape.width + _GAP
            left += _GROUP_GAP - _GAP
            if place == 0:
                self.panels[group.keys[0]].set_ylabel(self._y_label, labelpad=3)
        middle = 1 - (axes_top + shape.height / 2) / self._h
        self.figure.text(0.15 / self._w, middle, band.label, rotation=90, ha="left", va="center", size=9, weight="bold")


def say(axes: Axes, text: str) -> None:
    """Write in a panel why it is empty."""
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=_GREY, style="italic")


def save(figure: Figure, out_svg: str | Path) -> None:
    """Write the figure as svg, and as png (150 dpi) beside it; equal figures give equal bytes."""
    path = Path(out_svg)
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
    save_png(figure, path.with_suffix(".png"))


def save_png(figure: Figure, out_png: Path) -> None:
    """Write the figure as png only (150 dpi)."""
    with files.replacing(out_png) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


def _title_lines(band: Band) -> int:
    return max(1 + title.count("\n") for group in band.groups for title in group.titles)


def _band_width(band: Band, shape: Shape) -> float:
    panels = sum(len(group.keys) for group in band.groups)
    groups = len(band.groups)
    return shape.left + panels * shape.width + (panels - groups) * _GAP + (groups - 1) * _GROUP_GAP + _RIGHT


def _band_height(band: Band, shape: Shape) -> float:
    return _HEADING + _TITLE_LINE * _title_lines(band) + shape.height + shape.below


def _entry_width(handles: Sequence[Line2D]) -> float:
    """Inches that one entry of the legend takes."""
    return 0.62 + 0.068 * max((len(str(handle.get_label())) for handle in handles), default=0)
