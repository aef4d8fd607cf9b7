"""Curves whose points are described under the pointer: by titles in the SVG, which browsers show without a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Affine2D, Bbox
from numpy.typing import ArrayLike
from scipy.spatial import Voronoi

_REACH = 12.0
"""A pointer finds the nearest point up to this far away, horizontally and vertically, in 1/72 inch."""
_TOGETHER = 1.5
"""Points about this close share one title, in 1/72 inch."""
_FAR = 1e5 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])


class _Named(Artist):
    """A line's name, and x and intervals of its points; it draws nothing."""

    def __init__(self, line: Line2D, name: str, places: ArrayLike, ends: ArrayLike) -> None:
        super().__init__()
        self.name, self.drawn = name, np.asarray(line.get_xydata(), dtype=float)
        self.places, self.ends = np.asarray(places, dtype=float), np.asarray(ends, dtype=float).T

    def titles(self, axes: Axes) -> Iterator[str]:
        """For each point: the name, then x and y with the titles of the axes, and the interval of y."""
        ticks = axes.xaxis.get_major_formatter()
        names = (text.split("\n")[-1] for text in (axes.get_xlabel(), axes.get_ylabel()))
        x_name, y_name = (f"{name}: " if name else "" for name in names)
        intervals = [f" [{low:.4g}, {high:.4g}]" for low, high in self.ends] or [""] * len(self.drawn)
        for x, (_, y), interval in zip(self.places, self.drawn, intervals, strict=True):
            words = ticks(x) if isinstance(ticks, FuncFormatter) else ""  # of ticks that have their own
            yield f"{self.name}\n{x_name}{words or f'{x:.6g}'}\n{y_name}{y:.4g}{interval}"


def plot(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    name: str,
    *,
    places: ArrayLike | None = None,
    ends: ArrayLike = (),
    **look: Any,
) -> Line2D:
    """Plot a line whose points are described under the pointer.

    Args:
        axes: the panel.
        x: (k,), where the points are drawn.
        y: (k,).
        name: of the line, as in the legend.
        places: (k,), the points' x where they are drawn beside it.
        ends: (2, k), lower and upper ends of the intervals of y, if there are any.
        look: of the line, as ``Axes.plot`` takes it.

    Returns:
        The line.
    """
    (line,) = axes.plot(x, y, **look)
    axes.add_artist(_Named(line, name, x if places is None else places, ends))
    return line


def with_titles(svg: str, figure: Figure) -> str:
    """The svg of a figure with a title for each point of its curves.

    Args:
        svg: of the figure as it is.
        figure: drawn by then.

    Returns:
        The svg. If there are curves, it ends with a group of class ``points``: in it a group for each panel, in that
        one for each point, with its title, the cell where a pointer finds it, and a circle that a style sheet can show.
    """
    panels = "".join(_panel(axes, figure) for axes in figure.axes if axes.findobj(_Named))
    layer = f'<g class="points" fill="none" pointer-events="all">\n{panels}</g>\n</svg>'
    return svg.replace("</svg>", layer) if panels else svg


def _panel(axes: Axes, figure: Figure) -> str:
    """The points of one panel."""
    from_top = Affine2D().scale(72, -72).translate(0, 72 * figure.get_figheight())
    to_svg = figure.dpi_scale_trans.inverted() + from_top
    box = Bbox(to_svg.transform(axes.bbox.padded(0.1).get_points()))  # a little more, for points that lie on its edge
    found: dict[tuple[float, ...], tuple[np.ndarray, list[str]]] = {}
    for one in axes.findobj(_Named):
        places = (axes.transData + to_svg).transform(one.drawn)
        for place, title in zip(places, one.titles(axes), strict=True):
            if box.contains(*place):
                found.setdefault(tuple(np.round(place / _TOGETHER)), (place, []))[1].append(title)
    cells = _cells([place for place, _ in found.values()], box)
    shown = ((*place, escape("\n\n".join(titles), quote=False)) for place, titles in found.values())
    points = "".join(
        f'<g role="img" transform="translate({x:.1f} {y:.1f})"><title>{title}</title>'
        f'<path d="M{" ".join(f"{a:.1f} {b:.1f}" for a, b in cell)}z"/><circle/></g>\n'
        for (x, y, title), cell in zip(shown, cells, strict=True)
    )
    *band, _ = axes.get_ylabel().split("\n")
    name = " ".join([*band, *axes.get_title("left").split()])
    return f'<g role="group" aria-label="{escape(name)}">\n{points}</g>\n'


def _cells(places: Sequence[np.ndarray], box: Bbox) -> Iterator[np.ndarray]:
    """Corners, relative to each place, of the part of the box within its reach that is nearest to it."""
    found = Voronoi([*places, *_FAR])  # with those far away every cell is finite
    for place, region in zip(places, found.point_region, strict=False):
        cell = Path(found.vertices[found.regions[region]], closed=True).clip_to_bbox(box)
        near = cell.clip_to_bbox(Bbox([place - _REACH, place + _REACH]))
        yield np.asarray(near.vertices)[:-1] - place
