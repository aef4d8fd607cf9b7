"""Accuracy along training, and what training to the last update loses against stopping at the best one on val."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from advntk.foundation.statistics import difference_interval
from advntk.telling import hover
from advntk.telling.accuracy_figures import top
from advntk.telling.columns import NETWORK, shared, shown
from advntk.telling.contents import Measured, Suite, frame_of
from advntk.telling.frames import cell_of, ends, evaluated, span_of, under
from advntk.telling.kinds.checks import unconverged
from advntk.telling.labels import NORMS, SPLIT_COLOURS, method_colours, method_label, radius_label
from advntk.telling.layout import grid
from advntk.telling.listing import Column, Listing, groups, lines_of, listing_of, percent, points, table

_FIRST = ("at", "advntk")
LOST = ("lost", "lost_lo", "lost_hi")
_SPLITS = ("train", "test")
QUANTITIES = ("robust", "clean")
_STEP_NAMES = {"at": "weight updates", "advntk": "step of ϖ"}
_LINES: dict[str, dict[str, Any]] = {
    "train": {"linestyle": "-", "linewidth": 1.2, "zorder": 2},
    "val": {"linestyle": (0, (3, 1.5)), "linewidth": 1.2, "zorder": 3},
    "test": {"linestyle": "-", "linewidth": 2.0, "zorder": 4},
}
_LEVEL: dict[str, Any] = {"linewidth": 1.3, "zorder": 1}
_BEST: dict[str, Any] = {"marker": "^", "linestyle": "", "markersize": 5, "markeredgecolor": "white"}


def curves(suite: Suite) -> Figure:
    """Robust and clean accuracy along the training of every method that trains in steps, on train, val and test."""
    frame, config, attacks = frame_of(suite.curves), suite.config, curve_attacks(suite)
    methods = stepwise(suite) or list(_FIRST)  # of a suite that has none the panels say so
    on_val = {item.record.method for item in suite.measured if item.record.images == "all"}
    held_out = [method for method in methods if method not in on_val]  # those of which val chooses a checkpoint
    bands = {
        f"{dataset}, {radius_label(eps255)}\n{spec.label}": {
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
    column, colours = f"{quantity}_accuracy", SPLIT_COLOURS[quantity]
    for split in splits:
        by_step = rows[rows["split"] == split].groupby("step")[column]
        mean, low, high = (100 * by_step.agg(name).astype(float) for name in ("mean", "min", "max"))
        if len(mean):
            axes.fill_between(mean.index, low, high, color=colours[split], alpha=0.16, linewidth=0)
            name, ends = f"{quantity}, {split}", (low, high)
            hover.plot(axes, mean.index, mean, name, ends=ends, color=colours[split], **_LINES[split])
    for seed, own in rows.groupby("seed") if triangles else ():
        test = own[own["split"] == "test"].set_index("step")[column]
        best = best_on_val(own)
        if best in test.index:
            look = {"color": colours["test"], "markeredgewidth": 0.7, "zorder": 5, **_BEST}
            hover.plot(axes, [best], [100 * float(test[best])], f"best on val, seed {seed}", **look)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))


def best_on_val(rows: pd.DataFrame) -> float:
    """The step of one seed that is most robust on val, of equals that of the least loss; NaN without val."""
    val = rows[rows["split"] == "val"].sort_values("step")
    order = val.sort_values(["robust_accuracy", "robust_loss"], ascending=[False, True], kind="stable")
    return float(order["step"].iloc[0]) if len(order) else float("nan")


def training_handles(quantities: Sequence[str], splits: Sequence[str], *, triangles: bool) -> list[Line2D]:
    """The legend of accuracy along training."""
    lines = [
        Line2D([], [], color=SPLIT_COLOURS[quantity][split], label=f"{quantity}, {split}", **_LINES[split])
        for split in splits
        for quantity in quantities
    ]
    return [*lines, *[Line2D([], [], color="#555555", label="best on val", **_BEST)] * triangles]


def seeds_note(suite: Suite) -> str:
    """What lines and bands are over."""
    seeds = frame_of(suite.curves).groupby(["dataset", "architecture", "method", "eps255"])["seed"].nunique()
    counts = span_of(seeds if len(seeds) else [suite.config.seeds])
    return f"{NORMS[suite.config.norm]} threat model; mean and range over seeds; seeds = {counts}."


def stepwise(suite: Suite) -> list[str]:
    """Methods that have curves, AT and Adv-NTK first, the others as the suite lists them."""
    known = {curve.method for curve in suite.curves}
    return [method for method in dict.fromkeys((*_FIRST, *suite.config.methods)) if method in known]


def _title(method: str, quantity: str, attacks: dict[str, str]) -> str:
    """A panel's title: the method, and of robust accuracy the attack."""
    under = f": {attacks[method]}" if quantity == "robust" and method in attacks else ""
    return f"{method_label(method)}, {quantity}{under}"


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
        users.setdefault(name, []).append(method_label(method))
    if len(users) == 1:
        return next(iter(users))
    return ", ".join(f"{name} for {' and '.join(methods)}" for name, methods in users.items()) or "PGD"


def overfitting(suite: Suite) -> pd.DataFrame:
    """Every network method that has both checkpoints, in the order of the configuration's lists."""
    long, frame = evaluated(suite), frame_of(suite.curves)
    by_cell = groups(long[long["checkpoint"] == "best_val"], ["dataset", "network", "eps255", "method", "attack"])
    found = [list(group["item"]) for _, group in by_cell]
    chosen = [items for items in found if items[0].record.kind == "network" and "last" in items[0].robust]
    return table(COLUMNS, [_line(frame, items) for items in chosen], "network")


def _line(frame: pd.DataFrame, items: Sequence[Measured]) -> dict[str, Any]:
    """One line from the records of its seeds."""
    record = items[0].record
    best, last = ([item.robust[name] for item in items] for name in ("best_val", "last"))
    curves = of_fit(frame, record.dataset, record.architecture.label, record.method, record.threat.eps255)
    steps = np.array([_ends(rows) for _, rows in curves.groupby("seed")] or [[np.nan] * 4]).mean(axis=0)
    return {
        **cell_of(record),
        **under(record),
        "n_test": len(best[0]),
        "seeds": len(items),
        "robust_best": float(np.mean([one.mean() for one in best])),
        "robust_last": float(np.mean([one.mean() for one in last])),
        **dict(zip(LOST, difference_interval(best, last, [item.images for item in items]), strict=True)),
        **dict(zip(("best_step", "last_step", "train_best", "train_last"), steps, strict=True)),
    }


def _ends(rows: pd.DataFrame) -> list[float]:
    """Of one seed the updates at the best checkpoint on val and at the last, and robust accuracy on train there."""
    steps = [best_on_val(rows), float(rows.loc[rows["split"] == "val", "step"].max())]
    train = rows[rows["split"] == "train"].set_index("step")["robust_accuracy"]
    return [*steps, *(float(train.get(step, np.nan)) for step in steps)]


COLUMNS = (
    *shared("dataset"),
    NETWORK,
    *shared("architecture", "depth"),
    shown("method", head="method", text=method_label, words=True),
    shown("attack", head="attack", words=True),
    *shared("eps255", "n_test", "seeds"),
    Column(
        "best_step", "update of the checkpoint best on val, mean over seeds", head="best at", text="{:.0f}".format
    ),
    Column("last_step", "last update, mean over seeds", head="last at", text="{:.0f}".format),
    Column(
        "robust_best", "robust accuracy on test images at the checkpoint best on val", head="best", text=percent
    ),
    Column("robust_last", "robust accuracy on test images at the last update", head="last", text=percent),
    Column("lost", "robust_best minus robust_last"),
    Column("lost_lo", "lower end of the 95% interval of lost, paired by image and seed"),
    Column("lost_hi", "upper end of the 95% interval of lost, paired by image and seed"),
    Column(of=LOST, head="best − last", text=points),
    Column(
        "train_best", "robust accuracy on some training images at the checkpoint best on val",
        head="train, best", text=percent,
    ),
    Column(
        "train_last", "robust accuracy on some training images at the last update", head="train, last", text=percent
    ),
)  # fmt: skip


def overfitting_listings(suite: Suite) -> Iterator[Listing]:
    """One printed table for each dataset and radius."""
    for (dataset, eps255), found in groups(overfitting(suite), ["dataset", "eps255"]):
        yield listing_of(
            COLUMNS,
            found,
            title=f"{dataset}, {radius_label(eps255)} ({NORMS[suite.config.norm]})",
            caption="Robust accuracy on test images, in percent, at the checkpoint best on val and at the last update; "
            "best − last in percentage points with its 95% interval, paired over images and seeds. Train: robust "
            f"accuracy on some training images under {attacks_in_words(curve_attacks(suite))} at both.",
        )


def overfitting_figure(suite: Suite) -> Figure:
    """Robust accuracy along training, with levels of infinite networks; a panel a method, best − last above it."""
    attack, frame = next(iter(suite.config.attacks)), frame_of(suite.curves)
    found = overfitting(suite)
    found = found[found["attack"] == attack]
    watched = {method: curve_attacks(suite).get(method, "PGD") for method in found["method"]}
    reasons = unconverged(suite)
    bands: dict[str, dict[str, tuple[pd.DataFrame, dict[str, float]]]] = {}
    for one in lines_of(found):
        band = bands.setdefault(f"{one['dataset']}, {radius_label(one['eps255'])}", {})
        training = (one["dataset"], one["network"], one["method"], one["eps255"])
        converged = training not in reasons
        name = f"{one['network']}, {method_label(one['method'])}{'' if converged else ' (not converged)'}"
        levels = _levels(suite, one) if converged else {}
        band[f"{name}\nbest − last {points(ends(one, LOST))}"] = of_fit(frame, *training), levels
    colours = method_colours(suite.config.methods)
    beside = list(dict.fromkeys(method for band in bands.values() for _, levels in band.values() for method in levels))
    gap = 4 * max(1, len(beside) - 1)  # levels at one height fill each other's gaps
    dashes = {method: (4.0 * number, (4, gap)) for number, method in enumerate(beside)}

    def draw(axes: Axes, shown: tuple[pd.DataFrame, dict[str, float]]) -> None:
        rows, levels = shown
        for method, level in levels.items():
            axes.axhline(100 * level, color=colours[method], linestyle=dashes[method], **_LEVEL)
        draw_training(axes, rows, "robust", _SPLITS, triangles=True)

    return grid(
        bands,
        draw,
        title="Robust overfitting",
        notes=[
            f"Curves: {attacks_in_words(watched)}; {seeds_note(suite)}",
            f"best − last: {attack}, points of accuracy with 95% interval.",
            *suite.notes,
        ],
        y_label="robust accuracy (%)",
        x_label="weight updates",
        y_top=top(100 * frame["robust_accuracy"].astype(float)),
        handles=[
            *training_handles(["robust"], _SPLITS, triangles=True),
            *(Line2D([], [], color=colours[one], label=method_label(one), linestyle="--", **_LEVEL) for one in beside),
        ],
        across=3,
        size=(2.9, 2.6),
    )


def _levels(suite: Suite, line: Mapping[str, Any]) -> dict[str, float]:
    """Robust accuracy of each kernel method beside a line of :func:`overfitting`: mean over seeds, last checkpoint."""
    beside: dict[str, list[float]] = {}
    for item in suite.measured:
        record = item.record
        place = (record.dataset, record.architecture.label, record.attack.name, record.threat.eps255)
        if place != (line["dataset"], line["network"], line["attack"], line["eps255"]):
            continue
        if record.method == line["method"]:
            report = record.method_options.get("report_attack", {})
            if not report.items() <= record.attack.options.items():
                return {}
        if record.kind == "kernel":
            last = next(name for name in ("last", "final") if name in item.robust)
            beside.setdefault(record.method, []).append(float(item.robust[last].mean()))
    return {method: float(np.mean(accuracies)) for method, accuracies in beside.items()}
