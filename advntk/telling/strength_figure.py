"""The figure of strength: robust accuracy over the radius, the steps and the restarts of an attack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from advntk.foundation.records import AttackRecord
from advntk.foundation.strength import Sweep, SweepName
from advntk.telling import labels
from advntk.telling.series import (
    attack_in_words,
    in_order,
    interval_of_counts,
    method_handles,
    seeds_in_words,
    span,
)
from advntk.telling.sheet import Band, Group, Sheet, say
from advntk.telling.suite_file import Suite

KINDS: tuple[SweepName, ...] = ("radius", "steps", "restarts")
_AXES = {"radius": "ε (1/255)", "steps": "steps", "restarts": "restarts"}
_WIDE = 8.0  # ratio of the largest to the smallest value from which an axis is logarithmic
_APART = 0.115  # least distance of two tick labels, as a share of the axis
_MARK: dict[str, Any] = {"color": "#777777", "linestyle": (0, (4, 2)), "linewidth": 0.9}
_CLEAN: dict[str, Any] = {"linestyle": (0, (1, 1.5)), "linewidth": 1.1}

Interval = tuple[float, float, float]


def strength(suite: Suite) -> Figure:
    """Robust accuracy over each strength that was varied, a line for each method, by network and radius."""
    config = suite.config
    kinds = [kind for kind in KINDS if any(sweep.kind == kind for sweep in suite.sweeps)]
    panels = {
        (dataset, spec.label, eps255, kind): _of_panel(suite.sweeps, dataset, spec.label, eps255, kind)
        for dataset in config.datasets
        for spec in config.specs()
        for eps255 in config.eps255
        for kind in kinds
    }
    bands = [
        Band(
            label=f"{dataset}, {labels.radius_label(eps255)}",
            groups=[
                Group(
                    heading=spec.label,
                    keys=[(dataset, spec.label, eps255, kind) for kind in kinds],
                    titles=[_title(kind, eps255, panels[dataset, spec.label, eps255, kind]) for kind in kinds],
                )
            ],
        )
        for dataset in config.datasets
        for spec in config.specs()
        for eps255 in config.eps255
        if any(panels[dataset, spec.label, eps255, kind] for kind in kinds)
    ]
    empty = Band(label="", groups=[Group(heading="", keys=[()], titles=[""])])
    sheet = Sheet(
        title="Robust accuracy over the strength of the attack",
        notes=[*_notes(suite, kinds), *suite.notes],
        bands=bands or [empty],
        handles=_handles(suite, kinds),
        y_label="robust accuracy (%)",
        x_label="",
        y_top=102.0,
    )
    for key, axes in sheet.panels.items():
        if not key:
            say(axes, "no sweeps\nin this suite")
        elif not panels[key]:
            say(axes, "nothing measured\nin this suite")
        else:
            _draw(axes, suite, panels[key], kind=key[3], eps255=key[2])
    return sheet.figure


def _of_panel(
    sweeps: Iterable[Sweep], dataset: str, label: str, eps255: float, kind: SweepName
) -> dict[tuple[str, str], list[Sweep]]:
    """The sweeps of one panel by method and checkpoint, one a seed.

    A predictor that was not trained for a radius stands in the row of each; its sweep over the radius is the same
    in all of them.

    Returns:
        The sweeps, by rising seed.
    """
    found: dict[tuple[str, str], dict[int, Sweep]] = {}
    for sweep in sweeps:
        if (sweep.dataset, sweep.architecture.label, sweep.kind) != (dataset, label, kind):
            continue
        trained = sweep.trained_at.eps255 if sweep.trained_at else None
        if trained not in (None, eps255) or (kind != "radius" and sweep.threat.eps255 != eps255):
            continue
        by_seed = found.setdefault((sweep.method, sweep.checkpoint), {})
        if sweep.seed not in by_seed or sweep.threat.eps255 == eps255:
            by_seed[sweep.seed] = sweep
    return {pair: [by_seed[seed] for seed in sorted(by_seed)] for pair, by_seed in found.items()}


def line(sweeps: Sequence[Sweep]) -> list[tuple[float, Interval]]:
    """Mean robust accuracy over the seeds' sweeps of one method.

    A sweep over the radius ends where no example is robust: beyond, it counts as 0. A strength that a seed lacks
    otherwise is left out.

    Returns:
        Strengths, each with (mean, low, high) in fractions; 95% interval over seeds and examples.
    """
    points = []
    counts = [{point.value: point.robust_correct for point in sweep.points} for sweep in sweeps]
    for value in sorted({value for known in counts for value in known}):
        at_value = []
        for sweep, known in zip(sweeps, counts, strict=True):
            last = sweep.points[-1]
            ended = sweep.kind == "radius" and last.robust_correct == 0 and value > last.value
            if value in known or ended:
                at_value.append((known.get(value, 0), sweep.n_test))
        if len(at_value) == len(sweeps):
            points.append((value, interval_of_counts(at_value)))
    return points


def _draw(
    axes: Axes, suite: Suite, found: Mapping[tuple[str, str], Sequence[Sweep]], *, kind: SweepName, eps255: float
) -> None:
    """Lines with bands, clean accuracy dotted, and the radius trained for."""
    colours = labels.method_colours(suite.config.methods)
    values: set[float] = set()
    for method, checkpoint in in_order(suite.config.methods, found):
        sweeps = found[method, checkpoint]
        points = line(sweeps)
        x = [value for value, _ in points]
        mean, low, high = (100 * np.array([interval[part] for _, interval in points]) for part in range(3))
        colour = colours[method]
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=2)
        axes.plot(
            x,
            mean,
            color=colour,
            marker=labels.marker(checkpoint),
            linestyle=labels.dashes(checkpoint),
            markersize=3.2,
            markeredgewidth=0,
            linewidth=1.3,
            zorder=3,
        )
        clean = sum(sweep.clean_correct / sweep.n_test for sweep in sweeps) / len(sweeps)
        axes.axhline(100 * clean, color=colour, zorder=1.5, **_CLEAN)
        values.update(x)
    axes.set_xlabel(_AXES[kind] if kind != "radius" else f"ε (1/255, {labels.NORMS[suite.config.norm]})", labelpad=2)
    _scale(axes, sorted(values), logarithmic=kind == "steps")
    if kind == "radius":
        axes.axvline(eps255, zorder=1.4, **_MARK)


def _scale(axes: Axes, values: Sequence[float], *, logarithmic: bool) -> None:
    """Linear or logarithmic horizontal axis, with ticks at those measured values that have room for a label."""
    positive = [value for value in values if value > 0]
    ratio = max(positive) / min(positive) if positive else 1.0
    places = np.array(values, dtype=float)
    if (logarithmic or ratio > _WIDE) and ratio > 1:
        # zero, where it was measured, stands one halving left of the smallest positive value
        axes.set_xscale("symlog", base=2, linthresh=min(positive), linscale=1.0)
        places = np.array([1 + np.log2(value / min(positive)) if value > 0 else 0.0 for value in values])
    span = max(float(np.ptp(places)), 1e-9)
    shown: list[int] = []
    for i in reversed(range(len(values))):
        if not shown or (places[shown[-1]] - places[i]) / span >= _APART:
            shown.append(i)
    low, high = values[0], values[-1]
    if axes.get_xscale() == "linear":
        margin = 0.06 * (high - low) or 0.5
        axes.set_xlim(low - margin, high + margin)
    else:
        axes.set_xlim(low * 0.85 if low > 0 else -0.2 * min(positive), high * 1.25)
    axes.xaxis.set_major_locator(FixedLocator([values[i] for i in sorted(shown)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _title(kind: SweepName, eps255: float, found: Mapping[tuple[str, str], Sequence[Sweep]]) -> str:
    """What is varied and of which attack."""
    at = "" if kind == "radius" else f" at {labels.radius_label(eps255)}"
    first = next((sweeps[0].attack for sweeps in found.values()), None)
    return f"{kind}{at}\n{_attack(first)}" if first else f"{kind}{at}\n"


def _attack(attack: AttackRecord) -> str:
    return attack.name if attack.inside_threat_model else f"{attack.name} (outside)"


def _notes(suite: Suite, kinds: Sequence[SweepName]) -> list[str]:
    """Attacks with their settings, sizes, intervals, and how to read the panels."""
    if not kinds:
        return ["There are no sweeps in this suite."]
    several = suite.config.seeds > 1
    over = "seeds and test images" if several else "test images (one seed: no spread over seeds)"
    attacks = {kind: next(sweep.attack for sweep in suite.sweeps if sweep.kind == kind) for kind in kinds}
    settings = "; ".join(f"{kind}: {attack_in_words(attack, kind)}" for kind, attack in attacks.items())
    tests = span(sweep.n_test for sweep in suite.sweeps)
    lines = (((one.dataset, one.architecture, one.method, one.kind), one.seed) for one in suite.sweeps)
    notes = [
        f"{settings[0].upper()}{settings[1:]}. {labels.NORMS[suite.config.norm]}; n_test = {tests}, "
        f"seeds = {seeds_in_words(lines)}. Line: mean over seeds; band: 95% interval over {over}; "
        "dotted: clean accuracy.",
    ]
    if "radius" in kinds:
        notes.append("Radius: accuracy should fall to 0; a sweep ends there and counts as 0 beyond.")
    if "steps" in kinds or "restarts" in kinds:
        notes.append("Steps and restarts: a line that still falls at its right end belongs to an unconverged attack.")
    return notes


def _handles(suite: Suite, kinds: Sequence[SweepName]) -> list[Line2D]:
    """One entry for each method and checkpoint, and the lines that belong to none."""
    if not kinds:
        return []
    handles = method_handles(suite.config.methods, [(sweep.method, sweep.checkpoint) for sweep in suite.sweeps])
    handles.append(Line2D([], [], color="#777777", label="clean accuracy", **_CLEAN))
    if "radius" in kinds:
        handles.append(Line2D([], [], label="radius trained for", **_MARK))
    return handles
