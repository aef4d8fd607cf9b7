"""Records and curves as data frames: one row for each line of the paper's table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.records import Evaluation
from advntk.foundation.statistics import Spread, accuracy_interval, spread
from advntk.telling.convergence import Training, unconverged
from advntk.telling.curves import CURVE_COLUMNS, frame_of
from advntk.telling.labels import OUTSIDE, attack_label
from advntk.telling.listing import Column, accuracy, csv_frame, parted
from advntk.telling.suite_file import Measured, Suite, read_suite

__all__ = ["CURVE_COLUMNS", "Suite", "read_suite"]

_CHECKPOINT_ORDER = ("final", "last", "best_val")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One checkpoint of one method under one attack, over all seeds.

    Attributes:
        spec: the network.
        attack: the attack's name, as the configuration has it.
        attack_label: the name with a warning where the attack may leave the threat model.
        clean: (mean, low, high) of the clean accuracy, 95%, fractions.
        robust: the same of the robust accuracy.
        attacked: mean share of images that are classified correctly under attack, whatever the clean image's class.
        robust_spread: what the spread of the robust accuracy comes from.
        max_linf255: largest perturbation of all seeds, ℓ∞, in 1/255.
        max_l2_255: the same, ℓ2.
        max_l1_255: the same, ℓ1.
        stages: of an attack made of several, by name in their order: mean robust accuracy after it.
        unconverged: why its training has not converged; empty for one that has, and for kernels.
        flags: that, and warnings about its evaluations, with their seeds.
    """

    dataset: str
    spec: Architecture
    method: str
    checkpoint: str
    attack: str
    attack_label: str
    eps255: float
    n_opt: int
    n_train: int
    n_test: int
    seeds: int
    clean: tuple[float, float, float]
    robust: tuple[float, float, float]
    attacked: float
    robust_spread: Spread
    max_linf255: float
    max_l2_255: float
    max_l1_255: float
    stages: dict[str, float]
    unconverged: str
    flags: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """The network without its depth: ``mlp``, ``cnn-average`` or ``cnn-erf``."""
        return self.spec.kind


COLUMNS = (
    Column("dataset"),
    Column("architecture"),
    Column("depth", "spec.depth"),
    Column("method"),
    Column("checkpoint"),
    Column("attack"),
    Column("eps255"),
    Column("n_opt"),
    Column("n_train"),
    Column("n_test"),
    Column("seeds"),
    *parted(("clean_mean", "clean_lo", "clean_hi"), "clean"),
    *parted(("robust_mean", "robust_lo", "robust_hi"), "robust"),
    Column("attacked_mean", "attacked"),
    Column("seed_sd", "robust_spread.seed_sd"),
    Column("test_sd", "robust_spread.test_sd"),
    Column("max_linf255"),
    Column("max_l2_255"),
    Column("max_l1_255"),
    Column("unconverged", lambda row: row.unconverged or math.nan),
)


def evaluated(suite: Suite) -> pd.DataFrame:
    """The long table that the others group: one row for each record and checkpoint.

    Returns:
        Columns dataset, network (its label), method, checkpoint, attack, eps255, seed and item (the record with its
        outcomes). Rows, and groups of them, are in the order of the configuration's lists.
    """
    config = suite.config
    orders = {
        "dataset": config.datasets,
        "network": [spec.label for spec in config.specs()],
        "method": config.methods,
        "checkpoint": _CHECKPOINT_ORDER,
        "attack": config.attacks,
        "eps255": config.eps255,
    }
    values = [
        (
            *(one.dataset, one.architecture.label, one.method, checkpoint, one.attack.name, one.threat.eps255),
            *(one.seed, item),
        )
        for item in suite.measured
        for one in [item.record]
        for checkpoint in one.evaluations
    ]
    frame = pd.DataFrame(values, columns=[*orders, "seed", "item"])
    for name, order in orders.items():
        categories = dict.fromkeys([*order, *sorted(frame[name].unique())])
        frame[name] = pd.Categorical(frame[name], categories=list(categories), ordered=True)
    return frame.sort_values([*orders, "seed"], ignore_index=True)


def rows(suite: Suite) -> list[Row]:
    """All rows, in the order of the configuration's lists (datasets, architectures, methods, attacks, radii)."""
    key = ["dataset", "network", "method", "checkpoint", "attack", "eps255"]
    reasons = unconverged(suite)
    groups = evaluated(suite).groupby(key, observed=True)
    return [_row(list(group["item"]), group["checkpoint"].iloc[0], reasons) for _, group in groups]


def _row(group: list[Measured], checkpoint: str, reasons: Mapping[Training, str]) -> Row:
    """One row from the records of its seeds; ``reasons``: why trainings have not converged."""
    record = group[0].record
    reason = reasons.get((record.dataset, record.architecture.label, record.method, record.threat.eps255), "")
    evaluations, images = [item.record.evaluations[checkpoint] for item in group], [item.images for item in group]
    doubts: dict[str, list[int]] = defaultdict(list)
    for item in group:
        for flag in item.record.evaluations[checkpoint].flags:
            doubts[flag].append(item.record.seed)
    flags = (f"{flag} (seed {', '.join(map(str, seeds))})" for flag, seeds in doubts.items())
    return Row(
        dataset=record.dataset,
        spec=record.architecture,
        method=record.method,
        checkpoint=checkpoint,
        attack=record.attack.name,
        attack_label=attack_label(record.attack.name, inside_threat_model=record.attack.inside_threat_model),
        eps255=record.threat.eps255,
        n_opt=record.n_opt,
        n_train=record.n_train,
        n_test=evaluations[0].n_test,
        seeds=len(group),
        clean=accuracy_interval([item.clean[checkpoint] for item in group], images),
        robust=accuracy_interval([item.robust[checkpoint] for item in group], images),
        attacked=float(np.mean([evaluation.attacked_correct / evaluation.n_test for evaluation in evaluations])),
        robust_spread=spread([item.robust[checkpoint] for item in group], images),
        max_linf255=max(evaluation.max_linf255 for evaluation in evaluations),
        max_l2_255=max(evaluation.max_l2_255 for evaluation in evaluations),
        max_l1_255=max(evaluation.max_l1_255 for evaluation in evaluations),
        stages=_mean_stages(evaluations),
        unconverged=reason,
        flags=(*([f"not converged, takes part in no comparison: {reason}"] if reason else []), *flags),
    )


def _mean_stages(evaluations: list[Evaluation]) -> dict[str, float]:
    """Mean robust accuracy after each stage, by the stage's name."""
    after: dict[str, list[float]] = defaultdict(list)
    for evaluation in evaluations:
        for stage in evaluation.stages:
            after[stage.name].append(stage.robust_after)
    return {name: float(np.mean(accuracies)) for name, accuracies in after.items()}


def results_frame(suite: Suite) -> pd.DataFrame:
    """The table of results: one row for each dataset × architecture × depth × method × checkpoint × attack × ε.

    Returns:
        Columns ``COLUMNS``; accuracies are fractions in [0, 1], clean and robust ones with their 95%
        interval over seeds and examples. ``seed_sd`` is NaN with one seed; ``unconverged`` says why a training has not
        converged, NaN for one that has. Rows follow the configuration's lists.
    """
    return csv_frame(COLUMNS, rows(suite))


def span_of(values: Iterable[int]) -> str:
    """``797``, or ``100–797`` where values differ."""
    known = sorted(values) or [0]
    return "–".join(str(value) for value in dict.fromkeys((known[0], known[-1])))


def sizes_caption(found: Sequence[Row]) -> str:
    """What accuracies are: percent, kind of interval, sizes and seeds."""
    sizes = {name: span_of(getattr(row, name) for row in found) for name in ("n_test", "n_train", "seeds")}
    alone = " (one seed: the spread over seeds is not in it)" if sizes["seeds"] == "1" else ""
    return (
        "Accuracy in percent, mean ± half the width of its 95% interval over seeds and test examples, which is not "
        f"symmetric near 0 and 100{alone}; {', '.join(f'{name} = {size}' for name, size in sizes.items())}."
    )


def robust_cell(row: Row, seeds: int, notes: dict[str, str], *, bold: bool = False) -> str:
    """Robust accuracy, with marks of what a reader must know of it.

    Args:
        row: what was measured.
        seeds: of the suite; a row of fewer says so.
        notes: footnotes to add to, text → mark; equal texts share one.
        bold: whether it is set in bold.

    Returns:
        Such as ``**78.5 ± 1.2** [a,b]``.
    """
    flags = [*row.flags, *([f"{row.seeds} of {seeds} seeds"] if row.seeds < seeds else [])]
    marks = ",".join(notes.setdefault(flag, _mark(len(notes))) for flag in flags)
    text = accuracy(row.robust)
    return (f"**{text}**" if bold else text) + (f" [{marks}]" if marks else "")


def _mark(index: int) -> str:
    """Footnote marks: a, b, …, z, aa, ab, and so on."""
    letter = chr(ord("a") + index % 26)
    return letter if index < 26 else _mark(index // 26 - 1) + letter


def footnotes(notes: Mapping[str, str]) -> list[str]:
    """Footnotes with their marks before them."""
    return [f"[{mark}] {text}" for text, mark in notes.items()]


def attack_settings(suite: Suite) -> dict[str, str]:
    """Settings of each attack of the suite in words, by its name."""
    settings = {}
    for item in suite.measured:
        attack = item.record.attack
        options = ", ".join(f"{key} {_setting(value)}" for key, value in attack.options.items())
        warning = "" if attack.inside_threat_model else f"; {OUTSIDE}: its points may lie beyond ε"
        settings[attack.name] = f"{attack.kind}{': ' if options else ''}{options}{warning}"
    return {name: settings[name] for name in suite.config.attacks if name in settings}


def _setting(value: Any) -> str:
    """An option's value in words; what is done one after the other is joined by +."""
    return " + ".join(map(str, value)) if isinstance(value, list) else str(value)


def curves_frame(suite: Suite) -> pd.DataFrame:
    """All curves: accuracy and loss on train, val and test along training, by dataset, network, method, seed and ε.

    Returns:
        Columns ``CURVE_COLUMNS``; accuracies are fractions, ``architecture`` is the label with the depth, such as
        ``mlp-3``.
    """
    return frame_of(suite.curves)
