"""Robust overfitting of networks: what training to the last update loses against stopping at the best one on val."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advntk.foundation.statistics import difference_interval
from advntk.telling.curves_figure import (
    attacks_in_words,
    best_on_val,
    curve_attacks,
    draw_training,
    of_fit,
    seeds_note,
    training_handles,
)
from advntk.telling.frames import curves_frame, ends, evaluated
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.layout import grid
from advntk.telling.listing import Column, Listing, csv_frame, groups, lines_of, listing_of, percent, points, table
from advntk.telling.series import top
from advntk.telling.suite_file import Measured, Suite

_SPLITS = ("train", "test")


LOST = ("lost", "lost_lo", "lost_hi")


def overfitting(suite: Suite) -> pd.DataFrame:
    """Every network method that has both checkpoints, in the order of the configuration's lists.

    Returns:
        Columns ``COLUMNS`` and network: robust accuracy on test images at the checkpoint best on val and at the last
        update; lost, the former minus the latter, paired, with its 95% interval; updates at both, and robust accuracy
        on some training images under the attack of the reports, means over seeds. Accuracies are fractions.
    """
    long, frame = evaluated(suite), curves_frame(suite)
    by_cell = groups(long[long["checkpoint"] == "best_val"], ["dataset", "network", "eps255", "method", "attack"])
    found = [list(group["item"]) for _, group in by_cell]
    chosen = [items for items in found if items[0].record.kind == "network" and "last" in items[0].robust]
    return table(COLUMNS, [_line(frame, items) for items in chosen], "network")


def _line(frame: pd.DataFrame, items: Sequence[Measured]) -> dict[str, Any]:
    """One line from the records of its seeds."""
    record = items[0].record
    spec, eps255 = record.architecture, record.threat.eps255
    best, last = ([item.robust[name] for item in items] for name in ("best_val", "last"))
    curves = of_fit(frame, record.dataset, spec.label, record.method, eps255)
    steps = np.array([_ends(rows) for _, rows in curves.groupby("seed")] or [[np.nan] * 4]).mean(axis=0)
    return {
        "dataset": record.dataset,
        "network": spec.label,
        "architecture": spec.kind,
        "depth": spec.depth,
        "method": record.method,
        "attack": record.attack.name,
        "eps255": eps255,
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
    Column("dataset"),
    Column(of="network", head="network", words=True),
    *map(Column, ("architecture", "depth")),
    Column("method", head="method", text=method_label, words=True),
    Column("attack", head="attack", words=True),
    *map(Column, ("eps255", "n_test", "seeds")),
    Column("best_step", head="best at", text="{:.0f}".format),
    Column("last_step", head="last at", text="{:.0f}".format),
    Column("robust_best", head="best", text=percent),
    Column("robust_last", head="last", text=percent),
    *map(Column, LOST),
    Column(of=LOST, head="best − last", text=points),
    Column("train_best", head="train, best", text=percent),
    Column("train_last", head="train, last", text=percent),
)


def overfitting_frame(suite: Suite) -> pd.DataFrame:
    """What the CSV file has of :func:`overfitting`."""
    return csv_frame(COLUMNS, overfitting(suite))


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


def figure(suite: Suite) -> Figure:
    """Robust accuracy on train and test along training, a panel for each network method; best − last above it."""
    attack, frame = next(iter(suite.config.attacks)), curves_frame(suite)
    found = overfitting(suite)
    found = found[found["attack"] == attack]
    watched = {method: curve_attacks(suite).get(method, "PGD") for method in found["method"]}
    bands: dict[str, dict[str, pd.DataFrame]] = {}
    for one in lines_of(found):
        band = bands.setdefault(f"{one['dataset']}, {radius_label(one['eps255'])}", {})
        title = f"{one['network']}, {method_label(one['method'])}\nbest − last {points(ends(one, LOST))}"
        band[title] = of_fit(frame, one["dataset"], one["network"], one["method"], one["eps255"])
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
