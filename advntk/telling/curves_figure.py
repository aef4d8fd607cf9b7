"""The figure of curves: accuracy along training, of AT beside Adv-NTK; does robust accuracy fall again?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from advntk.telling import labels
from advntk.telling.frames import Suite, curves_frame
from advntk.telling.series import seeds_in_words, top
from advntk.telling.sheet import Band, Group, Shape, Sheet, bands_of, say

_FIRST = ("at", "advntk")
QUANTITIES = ("robust", "clean")
_STEP_NAMES = {"at": "SGD step", "advntk": "step of ϖ"}
_LINES: dict[str, dict[str, Any]] = {
    "train": {"linestyle": "-", "linewidth": 1.2, "zorder": 2},
    "val": {"linestyle": (0, (3, 1.5)), "linewidth": 1.2, "zorder": 3},
    "test": {"linestyle": "-", "linewidth": 2.0, "zorder": 4},
}
_BEST: dict[str, Any] = {"marker": "^", "linestyle": "", "markersize": 5, "markeredgecolor": "white"}
_SIDE_BY_SIDE = 2  # methods, each with two panels
_SHORT = 18
"""Letters of a method's name that leave room for the rest of a panel's title in one line."""


def curves(suite: Suite) -> Figure:
    """Robust and clean accuracy along the training of every method that trains in steps, on train, val and test."""
    frame, config, attacks = curves_frame(suite), suite.config, curve_attacks(suite)
    methods = stepwise(suite) or list(_FIRST)  # of a suite that has none the panels say so
    trained = trained_on_val(suite)
    held_out = [method for method in methods if method not in trained]
    beside = [methods[start : start + _SIDE_BY_SIDE] for start in range(0, len(methods), _SIDE_BY_SIDE)]
    for quantity in QUANTITIES:
        frame[f"{quantity}_accuracy"] = 100 * frame[f"{quantity}_accuracy"].astype(float)
    bands: list[Band] = []
    for dataset in config.datasets:
        for eps255 in config.eps255:
            groups = [
                Group(
                    heading=spec.label,
                    keys=[(dataset, eps255, spec.label, method, what) for what in QUANTITIES for method in some],
                    titles=[_title(method, what, attacks) for what in QUANTITIES for method in some],
                )
                for spec in config.specs_on(dataset)
                for some in beside
            ]
            across = _SIDE_BY_SIDE * len(QUANTITIES)
            bands += bands_of(f"{dataset}, {labels.radius_label(eps255)}", groups, across)
    lines = (((one.dataset, one.architecture, one.method, one.eps255), one.seed) for one in suite.curves)
    seeds = seeds_in_words(lines) if suite.curves else str(config.seeds)
    spread = "band: range over seeds" if config.seeds > 1 else "one seed, no spread"
    sheet = Sheet(
        title="Accuracy along training",
        notes=[
            f"Robust accuracy under {attacks_in_words(attacks)} ({labels.NORMS[config.norm]}). "
            f"Line: mean over seeds (seeds = {seeds}); {spread}.{_triangle_in_words(methods, held_out)}",
            f"Robust overfitting shows {'past the triangle' if held_out else 'where lines part'}: robust accuracy "
            "still rises on train and falls on test.",
            *suite.notes,
            f"train: some of the training images; val: {val_in_words(suite)}; test: watched in "
            "training, choose nothing.",
        ],
        bands=bands,
        handles=_handles(triangle=bool(held_out)),
        y_label="accuracy (%)",
        x_label="",
        y_top=top(frame[[f"{quantity}_accuracy" for quantity in QUANTITIES]].to_numpy().ravel()),
        shape=Shape(height=2.0),
    )
    for (dataset, eps255, label, method, what), axes in sheet.panels.items():
        axes.set_xlabel(_STEP_NAMES.get(method, "step"), labelpad=2)
        chosen = frame[
            (frame["dataset"] == dataset)
            & (frame["eps255"] == eps255)
            & (frame["architecture"] == label)
            & (frame["method"] == method)
        ]
        if chosen.empty:
            say(axes, f"no {labels.method_label(method)} curve\nin this suite")
        else:
            _draw(axes, chosen, what, triangles=method in held_out)
    return sheet.figure


def stepwise(suite: Suite) -> list[str]:
    """Methods that have curves, AT and Adv-NTK first, the others as the suite lists them."""
    known = {curve.method for curve in suite.curves}
    return [method for method in dict.fromkeys((*_FIRST, *suite.config.methods)) if method in known]


def trained_on_val(suite: Suite) -> list[str]:
    """Methods with curves that train on val too, so that it chooses none of their checkpoints."""
    made = {item.record.method for item in suite.measured if item.record.images == "all"}
    return [method for method in stepwise(suite) if method in made]


def _triangle_in_words(methods: Sequence[str], held_out: Sequence[str]) -> str:
    """What a triangle marks, if there is any, and which methods have one, if not all."""
    if not held_out:
        return ""
    whose = "" if len(held_out) == len(methods) else f" ({labels.listed(held_out)})"
    return f" Triangle{whose}: the checkpoint best on val (each seed), of highest robust accuracy there."


def val_in_words(suite: Suite) -> str:
    """What val images are for, by the methods that are shown."""
    shown, trained = stepwise(suite), trained_on_val(suite)
    uses = ["choose a checkpoint or a rate"] if set(shown) - set(trained) else []
    uses += ["Adv-NTK's ϖ is trained on them"] if "advntk" in shown else []
    uses += [f"{labels.listed(trained)} trained on them too"] if trained else []
    return ", ".join(uses) or "choose nothing"


def _title(method: str, quantity: str, attacks: dict[str, str]) -> str:
    """A panel's title: the method, and of robust accuracy the attack."""
    under = f": {attacks[method].partition(' (')[0]}" if quantity == "robust" and method in attacks else ""
    name = labels.method_label(method)
    between = " " if len(name) < _SHORT else "\n"
    return f"{name},{between}{quantity}{under}"


def _draw(axes: Axes, chosen: pd.DataFrame, quantity: str, *, triangles: bool) -> None:
    """Mean over seeds with their range on each split, and where val is best."""
    column, colours = f"{quantity}_accuracy", labels.SPLIT_COLOURS[quantity]
    for split, look in _LINES.items():
        rows = chosen[chosen["split"] == split]
        if rows.empty:
            continue
        over_seeds = rows.groupby("step")[column].agg(["mean", "min", "max"])
        steps = over_seeds.index.to_numpy(dtype=float)
        low, high = over_seeds["min"].to_numpy(), over_seeds["max"].to_numpy()
        axes.fill_between(steps, low, high, color=colours[split], alpha=0.16, linewidth=0, zorder=1)
        axes.plot(steps, over_seeds["mean"].to_numpy(), color=colours[split], **look)
    for step, accuracy in _best_on_val(chosen, column) if triangles else ():
        axes.plot([step], [accuracy], color=colours["test"], markeredgewidth=0.7, zorder=5, **_BEST)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.margins(x=0.04)


def _best_on_val(chosen: pd.DataFrame, column: str) -> list[tuple[float, float]]:
    """Of each seed the step that is most robust on val, of equals the one of the least loss, and test's value there."""
    found = []
    for _, rows in chosen.groupby("seed"):
        val, test = rows[rows["split"] == "val"], rows[rows["split"] == "test"].set_index("step")[column]
        order = val.sort_values(["robust_accuracy", "robust_loss"], ascending=[False, True], kind="stable")
        step = order["step"].iloc[0] if len(order) else np.nan
        if step in test.index:
            found.append((float(step), float(test[step])))
    return found


def _handles(*, triangle: bool) -> list[Line2D]:
    lines = [
        Line2D([], [], color=labels.SPLIT_COLOURS[quantity][split], label=f"{quantity}, {split}", **look)
        for split, look in _LINES.items()
        for quantity in QUANTITIES
    ]
    best = Line2D([], [], color="#555555", label="best on val, on test", **_BEST)
    return [*lines, best] if triangle else lines


def curve_attacks(suite: Suite) -> dict[str, str]:
    """The attacks that watched training by method, from the options that the records carry."""
    found = {}
    for method in stepwise(suite):
        options = next((item.record.method_options for item in suite.measured if item.record.method == method), None)
        if options is not None:
            attack = options.get("report_attack") or options.get("attack") or {}
            loss = f" ({str(attack['loss']).replace('_', ' ')} loss)" if "loss" in attack else ""
            found[method] = f"PGD-{attack['steps']}{loss}" if "steps" in attack else "PGD"
    return found


def attacks_in_words(attacks: dict[str, str]) -> str:
    """One name where all are the same."""
    users: dict[str, list[str]] = {}
    for method, name in attacks.items():
        users.setdefault(name, []).append(labels.method_label(method))
    if len(users) == 1:
        return next(iter(users))
    return ", ".join(f"{name} for {' and '.join(methods)}" for name, methods in users.items()) or "PGD"
