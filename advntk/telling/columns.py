"""Columns of CSV files that more than one table has, those of curves, and those of tables of earlier versions.

All others are described where their table is. Accuracies, shares and their differences are fractions; times are in
seconds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from advntk.telling.labels import named
from advntk.telling.listing import Column

SHARED = {
    column.name: column
    for column in (
        Column("dataset", "dataset", "text"),
        Column("architecture", "kind of network, such as mlp; in curves with its depth, such as mlp-3", "text"),
        Column("depth", "dense layers of an mlp; convolutional layers of a cnn; 18 or 34 of a resnet", "integer"),
        Column("method", "method, by its name in the configuration", "text"),
        Column(
            "checkpoint",
            "predictor of the training that was tested: best_val, last, or final where there is one",
            "text",
        ),
        Column("attack", "attack, by its name in the configuration", "text"),
        Column("eps255", "radius of the threat model, in 1/255 of the range of a pixel"),
        Column("seed", "seed of split and training", "integer"),
        Column("seeds", "number of seeds", "integer"),
        Column("n_test", "test images of a seed", "integer"),
        Column("clean", "accuracy on clean test images, mean over seeds; in transfer that of the target"),
        Column("clean_mean", "accuracy on clean test images, mean over seeds"),
        Column("robust", "accuracy on test images clean and under attack (in transfer the source's), mean over seeds"),
        Column("robust_mean", "share of test images classified correctly both clean and under attack, mean over seeds"),
        Column("robust_lo", "lower end of the 95% interval of robust_mean over seeds and images"),
        Column("robust_hi", "upper end of the 95% interval of robust_mean over seeds and images"),
        Column("lo", "lower end of the 95% interval; in transfer of robust, in claims of value"),
        Column("hi", "upper end of the 95% interval; in transfer of robust, in claims of value"),
        Column("p_holm", "p adjusted by Holm over all comparisons of the suite; in methods that against the best"),
        Column("attack_s", "time in attacks, of all jobs; in tables with total_attack_s of an evaluation, mean"),
        Column(
            "verdict", "which of the two is more robust; in claims: holds, holds if, does not hold, or open", "text"
        ),
        Column("step", "update of the training; 0 is before the first", "integer"),
        Column("split", "images that were measured: train, val or test", "text"),
        Column("clean_accuracy", "accuracy on clean images"),
        Column("robust_accuracy", "share of images classified correctly both clean and under the attack of the curves"),
        Column("robust_loss", "mean loss under attack: training loss of a network, ½‖f − y‖² of a kernel predictor"),
        Column("evaluations", "number of evaluations", "integer"),
        Column("wall_s", "wall time of an evaluation, mean"),
        Column("total_attack_s", "time in attacks, of all evaluations"),
    )
}
NETWORK = Column(of="network", head="network", words=True)
PREDICTOR = Column(of=("method", "checkpoint"), head="method", text=named, words=True)
"""These two are only printed."""


def shared(*names: str) -> tuple[Column, ...]:
    """Columns of these names, which are only in the CSV file."""
    return tuple(SHARED[name] for name in names)


def shown(name: str, **look: Any) -> Column:
    """The column of this name, printed with this look too."""
    return replace(SHARED[name], **look)
