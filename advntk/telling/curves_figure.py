"""The figure of curves: accuracy along training, of AT beside Adv-NTK; does robust accuracy fall again?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from advntk.telling import labels
from advntk.telling.frames import Suite, curves_frame
from advntk.telling.layout import grid
from advntk.telling.series import seed_counts, span, top

_FIRST = ("at", "advntk")
QUANTITIES = ("robust", "clean")
_STEP_NAMES = {"at": "SGD step", "advntk": "step of ϖ"}
_LINES: dict[str, dict[str, Any]] = {
    "train": {"linestyle": "-", "linewidth": 1.2, "zorder": 2},
    "val": {"linestyle": (0, (3, 1.5)), "linewidth": 1.2, "zorder": 3},
    "test": {"linestyle": "-", "linewidth": 2.0, "zorder": 4},
}
_BEST: dict[str, Any] = {"marker": "^", "linestyle": "", "markersize": 5, "markeredgecolor": "white"}


def curves(suite: Suite) -> Figure:
    """Robust and clean accuracy along the training of every method that trains in steps, on train, val and test."""
    frame, config, attacks = curves_frame(suite), suite.config, curve_attacks(suite)
    methods = stepwise(suite) or list(_FIRST)  # of a suite that has none the panels say so
    held_out = [method for method in methods if method not in trained_on_val(suite)]
    bands = {
        f"{dataset}, {labels.radius_label(eps255)}\n{spec.label}": {
            _title(method, quantity, attacks): (of_fit(frame, dataset, spec.label, method, eps255), method, quantity)
            for method in methods
            for quantity in QUANTITIES
        }
        for dataset in config.datasets
        for eps255 in config.eps255
        for spec in config.specs_on(dataset)
    }

    def draw(axes: Axes, shown: tuple[pd.DataFrame, str, str]) -> None:
        rows, method, quantity = shown
        draw_training(axes, rows, quantity, tuple(_LINES), triangles=method in held_out)
        axes.set_xlabel(_STEP_NAMES.get(method, "step"))

    return grid(
        bands,
        draw,
        title="Accuracy along training",
        notes=[seeds_note(suite), *suite.notes],
        y_label="accuracy (%)",
        y_top=top(100 * frame[[f"{quantity}_accuracy" for quantity in QUANTITIES]].to_numpy(dtype=float).ravel()),
        handles=training_handles(QUANTITIES, tuple(_LINES), triangles=bool(held_out)),
        across=2 * len(QUANTITIES),
    )


def of_fit(frame: pd.DataFrame, dataset: str, label: str, method: str, eps255: float) -> pd.DataFrame:
    """The curves of one training, all seeds."""
    mine = (frame["dataset"] == dataset) & (frame["architecture"] == label) & (frame["method"] == method)
    return frame[mine & (frame["eps255"] == eps255)]


def draw_training(axes: Axes, rows: pd.DataFrame, quantity: str, splits: Sequence[str], *, triangles: bool) -> None:
    """Accuracy along one training: mean over seeds with their range on each split, and where val is best."""
    column, colours = f"{quantity}_accuracy", labels.SPLIT_COLOURS[quantity]
    for split in splits:
        by_step = rows[rows["split"] == split].groupby("step")[column]
        mean, low, high = (100 * by_step.agg(name).astype(float) for name in ("mean", "min", "max"))
        if len(mean):
            axes.fill_between(mean.index, low, high, color=colours[split], alpha=0.16, linewidth=0)
            axes.plot(mean.index, mean, color=colours[split], **_LINES[split])
    for _, own in rows.groupby("seed") if triangles else ():
        test = own[own["split"] == "test"].set_index("step")[column]
        best = best_on_val(own)
        if best in test.index:
            axes.plot([best], [100 * float(test[best])], color=colours["test"], markeredgewidth=0.7, zorder=5, **_BEST)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))


def best_on_val(rows: pd.DataFrame) -> float:
    """The step of one seed that is most robust on val, of equals that of the least loss; NaN without val."""
    val = rows[rows["split"] == "val"].sort_values("step")
    order = val.sort_values(["robust_accuracy", "robust_loss"], ascending=[False, True], kind="stable")
    return float(order["step"].iloc[0]) if len(order) else float("nan")


def training_handles(quantities: Sequence[str], splits: Sequence[str], *, triangles: bool) -> list[Line2D]:
    """The legend of accuracy along training."""
    lines = [
        Line2D([], [], color=labels.SPLIT_COLOURS[quantity][split], label=f"{quantity}, {split}", **_LINES[split])
        for split in splits
        for quantity in quantities
    ]
    return [*lines, *[Line2D([], [], color="#555555", label="best on val", **_BEST)] * triangles]


def seeds_note(suite: Suite) -> str:
    """What lines and bands are over."""
    seeds = seed_counts(((one.dataset, one.architecture, one.method, one.eps255), one.seed) for one in suite.curves)
    norm = labels.NORMS[suite.config.norm]
    return f"{norm} threat model; mean and range over seeds; seeds = {span(seeds or [suite.config.seeds])}."


def stepwise(suite: Suite) -> list[str]:
    """Methods that have curves, AT and Adv-NTK first, the others as the suite lists them."""
    known = {curve.method for curve in suite.curves}
    return [method for method in dict.fromkeys((*_FIRST, *suite.config.methods)) if method in known]


def trained_on_val(suite: Suite) -> set[str]:
    """Methods that train on val too, so that it chooses none of their checkpoints."""
    return {item.record.method for item in suite.measured if item.record.images == "all"}


def _title(method: str, quantity: str, attacks: dict[str, str]) -> str:
    """A panel's title: the method, and of robust accuracy the attack."""
    under = f": {attacks[method]}" if quantity == "robust" and method in attacks else ""
    return f"{labels.method_label(method)}, {quantity}{under}"


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
