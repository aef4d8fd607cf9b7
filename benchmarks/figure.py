"""The figure of ``scaling``: time and memory of a training step over n, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from advntk.foundation import files

_STYLE: Any = {"font.size": 8, "axes.grid": True, "grid.alpha": 0.4, "svg.fonttype": "none", "svg.hashsalt": "advntk"}


def draw(result: Mapping[str, Any], out_svg: Path) -> None:
    """Write the figure of a result as svg, and as png beside it."""
    steps, hardware = pd.DataFrame(result["steps"]).sort_values("n"), result["hardware"]
    sizes, growth = sorted(set(steps["n"])), result["exponent_ours"]
    heading = (
        "One Adv-NTK training step over the number of training images\n"
        f"MLP-{result['depth']} on smooth synthetic images, 10 classes, PGD-10 on 128 images; "
        f"{hardware['processor']}, {hardware['threads']} threads; medians of {result['repeats']} runs.\n"
        "Reference form: dense float32 expm, inverse and autodiff in JAX, jitted neural-tangents."
        + (f" Ours grows as $n^{{{growth:.2f}}}$ from 2,000 to 20,000." if growth else "")
    )
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.6, 4.6), layout="constrained")
        time, memory = figure.subplots(1, 2)
        for form, name, colour in (("reference", "reference form", "#d55e00"), ("ours", "ours", "#0072b2")):
            mine = steps[steps["form"] == form]
            for axes, key in ((time, "step_s"), (memory, "peak_anonymous_mb")):
                axes.plot(mine["n"], mine[key], "o-", color=colour, linewidth=1.8, markersize=4, label=name)
        for phase, dash in (("gradient", "-."), ("solve", "--"), ("attack", ":")):
            time.plot(mine["n"], mine[f"{phase}_s"], dash, color=colour, linewidth=1.0, label=f"ours: {phase}")
        for axes, title in ((time, "Time of a step, s"), (memory, "Peak anonymous memory of a step, MiB")):
            axes.set(xscale="log", yscale="log", xlabel="training images n")
            axes.set_title(title, loc="left", weight="bold")
            axes.set_xticks(sizes, [f"{n / 1000:g}k" for n in sizes])
            axes.minorticks_off()
            axes.legend()
        figure.suptitle(heading, x=0.01, ha="left", fontsize=8)
        for form, unset in (("svg", ("Date", "Creator")), ("png", ("Software",))):
            with files.replacing(out_svg.with_suffix(f".{form}")) as temporary:
                figure.savefig(temporary, format=form, dpi=150, metadata=dict.fromkeys(unset))
