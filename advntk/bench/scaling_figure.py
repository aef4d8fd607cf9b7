"""The figure of ``bench scaling``: time and memory of a training step over n, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from advntk.telling.sheet import save, style

_COLOURS = {"reference": "#d55e00", "ours": "#0072b2"}
_NAMES = {"reference": "reference form", "ours": "ours"}
_PHASES = {"attack_s": ("attack", (0, (1, 1.2))), "solve_s": ("solve", (0, (4, 1.5))), "gradient_s": ("gradient", "-.")}
_GREY = "#555555"
_EDGE = 0.75
"""A line that ends right of this share of a panel has its label outside."""

_APART = 0.045
"""Least distance of two labels beside a panel, as a share of its height."""


def draw(result: Mapping[str, Any], out_svg: Path) -> None:
    """Write the figure as svg, and as png beside it.

    Args:
        result: of the bench.
        out_svg: the svg.
    """
    steps: Sequence[Mapping[str, Any]] = result["steps"]
    with style():
        figure = Figure(figsize=(8.6, 4.3))
        FigureCanvasAgg(figure)
        time, memory = (figure.add_axes((left, 0.13, 0.31, 0.60)) for left in (0.075, 0.575))
        labels: dict[Axes, list[tuple[float, float, str, str]]] = {time: [], memory: []}
        for form, colour in _COLOURS.items():
            mine = sorted((step for step in steps if step["form"] == form), key=lambda step: step["n"])
            if not mine:
                continue
            sizes = [step["n"] for step in mine]
            whole = {"name": _NAMES[form], "dash": "-", "width": 1.8}
            lines: list[dict[str, Any]] = [
                {"axes": time, "key": "step_s", **whole},
                {"axes": memory, "key": "peak_anonymous_mb", **whole},
            ]
            if form == "ours":
                lines += [
                    {"axes": time, "key": key, "name": f"ours: {name}", "dash": dash, "width": 1.0}
                    for key, (name, dash) in _PHASES.items()
                ]
            for line in lines:
                axes, width = line["axes"], line["width"]
                values = [step[line["key"]] for step in mine]
                marker = "o" if width > 1 else None
                how = {"linestyle": line["dash"], "linewidth": width, "marker": marker, "markersize": 4}
                axes.plot(sizes, values, color=colour, **how)
                labels[axes].append((sizes[-1], values[-1], line["name"], colour))
        for axes, title in ((time, "Time of a step, s"), (memory, "Peak anonymous memory of a step, MiB")):
            _finish(axes, title, sorted({step["n"] for step in steps}))
            _label(axes, labels[axes])
        _head(figure, result)
        save(figure, out_svg)


def _finish(axes: Axes, title: str, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title(title, loc="left", pad=6, weight="bold", fontsize=9)
    axes.set_xlabel("training images n", labelpad=2)
    axes.tick_params(length=0)


def _label(axes: Axes, lines: Sequence[tuple[float, float, str, str]]) -> None:
    """Write the lines' names right of their last points, moved apart where they meet."""
    to_share = axes.transData + axes.transAxes.inverted()
    low = -1.0
    for x, y, name, colour in sorted(lines, key=lambda line: line[1]):
        across, height = to_share.transform((x, y))
        low = max(height, low + _APART)
        axes.annotate(
            name,
            xy=(across, height),
            xytext=(1.03 if across > _EDGE else across + 0.03, low),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=colour,
            fontsize=7.5,
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 3},
        )


def _head(figure: Figure, result: Mapping[str, Any]) -> None:
    fitted, hardware = result.get("exponent_ours"), result["hardware"]
    title = "One Adv-NTK training step over the number of training images"
    notes = [
        f"MLP-{result['depth']} on smooth synthetic images, 10 classes, PGD-10 on 128 images; "
        f"{hardware['processor']}, {hardware['threads']} threads; medians of {result['repeats']} runs.",
        "Reference form: dense float32 expm, inverse and autodiff in JAX, jitted neural-tangents."
        + (f" Ours grows as $n^{{{fitted:.2f}}}$ from 2,000 to 20,000." if fitted is not None else ""),
    ]
    figure.text(0.018, 0.965, title, ha="left", va="top", size=11, weight="bold")
    for place, note in enumerate(notes):
        figure.text(0.018, 0.895 - 0.04 * place, note, ha="left", va="top", size=8, color=_GREY)
