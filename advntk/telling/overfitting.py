"""Robust overfitting of networks: what training to the last update loses against stopping at the best one on val."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advntk.foundation.architecture import Architecture
from advntk.foundation.statistics import Interval, difference_interval
from advntk.telling.curves_figure import (
    attacks_in_words,
    best_on_val,
    curve_attacks,
    draw_training,
    of_fit,
    seeds_note,
    training_handles,
)
from advntk.telling.frames import curves_frame
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.layout import grid
from advntk.telling.listing import Column, Listing, csv_frame, listing_of, parted, percent, points
from advntk.telling.series import top
from advntk.telling.suite_file import Measured, Suite

_SPLITS = ("train", "test")


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
    label, eps255 = record.architecture.label, record.threat.eps255
    curves = of_fit(curves_frame(suite), record.dataset, label, record.method, eps255)
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


def _ends(rows: pd.DataFrame) -> list[float]:
    """Of one seed the updates at the best checkpoint on val and at the last, and robust accuracy on train there."""
    steps = [best_on_val(rows), float(rows.loc[rows["split"] == "val", "step"].max())]
    train = rows[rows["split"] == "train"].set_index("step")["robust_accuracy"]
    return [*steps, *(float(train.get(step, np.nan)) for step in steps)]


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
    attack, frame = next(iter(suite.config.attacks)), curves_frame(suite)
    found = [one for one in overfitting(suite) if one.attack == attack]
    watched = {one.method: curve_attacks(suite).get(one.method, "PGD") for one in found}
    bands: dict[str, dict[str, pd.DataFrame]] = {}
    for one in found:
        band = bands.setdefault(f"{one.dataset}, {radius_label(one.eps255)}", {})
        mean, low, high = (100 * value for value in one.lost)
        title = f"{one.spec.label}, {method_label(one.method)}\nbest − last {mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        band[title] = of_fit(frame, one.dataset, one.spec.label, one.method, one.eps255)
    return grid(
        bands,
        lambda axes, rows: draw_training(axes, rows, "robust", _SPLITS, triangles=True),
        title="Robust overfitting",
        notes=[
            f"Curves: {attacks_in_words(watched)}; {seeds_note(suite)}",
            f"best − last: {attack}, points of accuracy with 95% interval.",
            *suite.notes,
        ],
        y_label="robust accuracy (%)",
        x_label="weight updates",
        y_top=top(100 * frame["robust_accuracy"].astype(float)),
        handles=training_handles(["robust"], _SPLITS, triangles=True),
        across=3,
        size=(2.9, 2.6),
    )
