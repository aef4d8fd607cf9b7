"""Robust overfitting of networks: what training to the last update loses against stopping at the best one on val."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from advntk.foundation.architecture import Architecture
from advntk.foundation.statistics import Interval, difference_interval
from advntk.telling.curves_figure import attacks_in_words, curve_attacks
from advntk.telling.frames import curves_frame
from advntk.telling.labels import NORMS, SPLIT_COLOURS, method_label, radius_label
from advntk.telling.listing import Column, Listing, csv_frame, listing_of, parted, percent, points
from advntk.telling.series import top
from advntk.telling.sheet import Band, Group, Shape, Sheet, bands_of, say
from advntk.telling.suite_file import Measured, Suite

_WIDTHS = {"train": 1.3, "test": 2.0}
_BEST: dict[str, Any] = {
    "marker": "^",
    "linestyle": "",
    "markersize": 5,
    "markeredgecolor": "white",
    "color": "#555555",
}


@dataclass(frozen=True, kw_only=True)
class Overfitting:
    """One network method under one attack.

    Attributes:
        steps: updates at the best checkpoint on val and at the last one, means over seeds.
        robust: robust accuracy on test at both, means over seeds.
        lost: (best − last, low, high) on test, 95%, paired.
        train: robust accuracy on some training images at both, under the attack of the reports, means over seeds.
    """

    dataset: str
    spec: Architecture
    method: str
    attack: str
    eps255: float
    n_test: int
    seeds: int
    steps: tuple[float, float]
    robust: tuple[float, float]
    lost: Interval
    train: tuple[float, float]


def overfitting(suite: Suite) -> list[Overfitting]:
    """Every network method that has both checkpoints, in the order of the configuration's lists."""
    config, cells = suite.config, dict[tuple[object, ...], list[Measured]]()
    for item in suite.measured:
        record = item.record
        if record.kind == "network" and {"best_val", "last"} <= record.evaluations.keys():
            key = (record.dataset, record.architecture.label, record.threat.eps255, record.method, record.attack.name)
            cells.setdefault(key, []).append(item)
    labels = [spec.label for spec in config.specs()]
    order = itertools.product(config.datasets, labels, config.eps255, config.methods, config.attacks)
    return [_of(suite, cells[key]) for key in order if key in cells]


def _of(suite: Suite, group: Sequence[Measured]) -> Overfitting:
    """One line from the records of its seeds."""
    group = sorted(group, key=lambda item: item.record.seed)
    record = group[0].record
    best, last = ([item.robust[name] for item in group] for name in ("best_val", "last"))
    curves = curve_of(suite, record.dataset, record.architecture.label, record.method, record.threat.eps255)
    ends = np.array([_ends(rows) for _, rows in curves.groupby("seed")] or [[np.nan] * 4])
    return Overfitting(
        dataset=record.dataset,
        spec=record.architecture,
        method=record.method,
        attack=record.attack.name,
        eps255=record.threat.eps255,
        n_test=len(best[0]),
        seeds=len(group),
        steps=(float(ends[:, 0].mean()), float(ends[:, 1].mean())),
        robust=(float(np.mean([one.mean() for one in best])), float(np.mean([one.mean() for one in last]))),
        lost=difference_interval(best, last, [item.images for item in group]),
        train=(float(ends[:, 2].mean()), float(ends[:, 3].mean())),
    )


def curve_of(suite: Suite, dataset: str, label: str, method: str, eps255: float) -> pd.DataFrame:
    """The curves of one training, all seeds."""
    frame = curves_frame(suite)
    mine = (frame["dataset"] == dataset) & (frame["architecture"] == label) & (frame["method"] == method)
    return frame[mine & (frame["eps255"] == eps255)]


def _ends(rows: pd.DataFrame) -> list[float]:
    """Of one seed the updates at the best checkpoint on val and at the last, and robust accuracy on train there."""
    val = rows[rows["split"] == "val"].sort_values("step")
    order = val.sort_values(["robust_accuracy", "robust_loss"], ascending=[False, True], kind="stable")
    steps = [int(order["step"].iloc[0]), int(val["step"].iloc[-1])]
    train = rows[rows["split"] == "train"].set_index("step")["robust_accuracy"]
    return [*map(float, steps), *(float(train.get(step, np.nan)) for step in steps)]


COLUMNS = (
    Column("dataset"),
    Column(of="spec.label", head="network", words=True),
    Column("architecture", "spec.kind"),
    Column("depth", "spec.depth"),
    Column("method"),
    Column(of=lambda one: method_label(one.method), head="method", words=True),
    Column("attack", head="attack", words=True),
    Column("eps255"),
    Column("n_test"),
    Column("seeds"),
    Column("best_step", lambda one: one.steps[0], "best at", "{:.0f}".format),
    Column("last_step", lambda one: one.steps[1], "last at", "{:.0f}".format),
    Column("robust_best", lambda one: one.robust[0], "best", percent),
    Column("robust_last", lambda one: one.robust[1], "last", percent),
    *parted(("lost", "lost_lo", "lost_hi"), "lost"),
    Column(of="lost", head="best − last", text=points),
    Column("train_best", lambda one: one.train[0], "train, best", percent),
    Column("train_last", lambda one: one.train[1], "train, last", percent),
)


def overfitting_frame(suite: Suite) -> pd.DataFrame:
    """One row for each network method, checkpoint pair and attack.

    Returns:
        ``COLUMNS``; accuracies are fractions; ``lost`` is best minus last with its 95% interval.
    """
    return csv_frame(COLUMNS, overfitting(suite))


def overfitting_listings(suite: Suite) -> Iterator[Listing]:
    """One printed table for each dataset and radius."""
    groups = itertools.groupby(overfitting(suite), key=lambda one: (one.dataset, one.eps255))
    for (dataset, eps255), found in groups:
        yield listing_of(
            COLUMNS,
            found,
            title=f"{dataset}, {radius_label(eps255)} ({NORMS[suite.config.norm]})",
            caption="Robust accuracy on test images, in percent, at the checkpoint best on val and at the last update; "
            "best − last in percentage points with its 95% interval, paired over images and seeds. Train: robust "
            f"accuracy on some training images under {attacks_in_words(curve_attacks(suite))} at both.",
        )


def figure(suite: Suite) -> Figure:
    """Robust accuracy on train and test along training, a panel for each network method; best − last above it."""
    attack = next(iter(suite.config.attacks))
    found = [one for one in overfitting(suite) if one.attack == attack]
    bands: list[Band] = [
        band
        for (dataset, eps255), group in itertools.groupby(found, key=lambda one: (one.dataset, one.eps255))
        for band in bands_of(
            f"{dataset}, {radius_label(eps255)}",
            [Group(heading=one.spec.label, keys=[(one,)], titles=[_title(one)]) for one in group],
            3,
        )
    ]
    bands = bands or list(bands_of("", [Group(heading="", keys=[(None,)], titles=[""])]))
    robust = curves_frame(suite)["robust_accuracy"].astype(float)
    sheet = Sheet(
        title="Robust overfitting",
        notes=[
            f"Curves: robust accuracy under {attacks_in_words(curve_attacks(suite))} ({NORMS[suite.config.norm]}), "
            f"mean over seeds (seeds = {suite.config.seeds}), band: range over seeds.",
            "Triangle: the checkpoint best on val, of each seed. Best − last: on all test images under "
            f"{attack}, in points, with its 95% interval.",
            *suite.notes,
        ],
        bands=bands,
        handles=[*(_handle(split) for split in _WIDTHS), Line2D([], [], label="best on val", **_BEST)],
        y_label="robust accuracy (%)",
        x_label="weight updates",
        y_top=top(100 * robust),
        shape=Shape(width=2.6, height=2.1),
    )
    for (one,), axes in sheet.panels.items():
        if one is None:
            say(axes, "no network with both checkpoints\nin this suite")
            continue
        _draw(axes, curve_of(suite, one.dataset, one.spec.label, one.method, one.eps255))
    return sheet.figure


def _title(one: Overfitting) -> str:
    mean, low, high = (100 * value for value in one.lost)
    return f"{method_label(one.method)}\nbest − last {mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _handle(split: str) -> Line2D:
    return Line2D([], [], color=SPLIT_COLOURS["robust"][split], linewidth=_WIDTHS[split], label=split)


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    """Mean and range over seeds on train and test, and the checkpoint best on val of each seed."""
    for split, width in _WIDTHS.items():
        mine = rows[rows["split"] == split].groupby("step")["robust_accuracy"].agg(["mean", "min", "max"]) * 100
        colour, steps = SPLIT_COLOURS["robust"][split], mine.index.to_numpy(dtype=float)
        axes.fill_between(steps, mine["min"], mine["max"], color=colour, alpha=0.16, linewidth=0)
        axes.plot(steps, mine["mean"], color=colour, linewidth=width)
    for _, own in rows.groupby("seed"):
        best = _ends(own)[0]
        test = own[own["split"] == "test"].set_index("step")["robust_accuracy"]
        axes.plot([best], [100 * float(test[best])], zorder=5, **_BEST)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
