"""The figures, by name: accuracy along training, over depth, radius and strength, and transfer."""

from __future__ import annotations

from pathlib import Path

from advntk.foundation.errors import ConfigError, nearest
from advntk.telling.accuracy_figures import depth, radius
from advntk.telling.contents import Suite
from advntk.telling.kinds import kinds
from advntk.telling.kinds.findings import figures
from advntk.telling.layout import Picture, save, style
from advntk.telling.training import curves, overfitting, overfitting_figure


def _several_depths(suite: Suite) -> bool:
    specs = suite.config.specs()
    return any(a.kind == b.kind and a.depth != b.depth for a in specs for b in specs)


PICTURES: dict[str, Picture] = {
    "curves": Picture(title="accuracy along training", wanted=lambda suite: bool(suite.curves), draw=curves),
    "depth": Picture(title="accuracy over depth", wanted=_several_depths, draw=depth),
    "overfitting": Picture(
        title="robust overfitting",
        wanted=lambda suite: not overfitting(suite).empty,
        draw=overfitting_figure,
    ),
    "radius": Picture(title="accuracy over the radius", wanted=lambda suite: len(suite.config.eps255) > 1, draw=radius),
} | {name: picture for kind in kinds().values() for name, picture in kind.figures.items()}
FIGURES = {name: picture.draw for name, picture in PICTURES.items()}


def write_figure(name: str, suite: Suite, out_svg: str | Path) -> None:
    """Draw a figure and write it as svg, and as png beside it.

    Args:
        name: one of ``FIGURES``, or ``theory_NAME`` of an experiment that the suite ran.
        suite: what was measured.
        out_svg: path of the svg file.

    Raises:
        ConfigError: there is no such figure.
    """
    known = FIGURES | figures(suite)
    if name not in known:
        raise ConfigError(
            f"unknown figure '{name}'{nearest(name, known)}", where="figures", remedy=f"allowed: {', '.join(known)}"
        )
    with style():
        save(known[name](suite), out_svg)
