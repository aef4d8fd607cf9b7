"""Records and curves as data frames: one row for each line of the paper's table."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.records import Evaluation
from advntk.foundation.statistics import Spread, accuracy_interval, spread
from advntk.telling.convergence import unconverged
from advntk.telling.curves import CURVE_COLUMNS, frame_of
from advntk.telling.labels import OUTSIDE, attack_label
from advntk.telling.suite_file import Measured, Suite, read_suite

__all__ = [
    "COLUMNS",
    "CURVE_COLUMNS",
    "Row",
    "Suite",
    "attack_settings",
    "curves_frame",
    "read_suite",
    "results_frame",
    "rows",
]

COLUMNS = (
    *("dataset", "architecture", "depth", "method", "checkpoint", "attack", "eps255", "n_opt", "n_train"),
    *("n_test", "seeds"),
    *("clean_mean", "clean_lo", "clean_hi", "robust_mean", "robust_lo", "robust_hi"),
    *("attacked_mean", "seed_sd", "test_sd", "max_linf255", "max_l2_255", "max_l1_255", "unconverged"),
)
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


def rows(suite: Suite) -> list[Row]:
    """All rows, in the order of the configuration's lists (datasets, architectures, methods, attacks, radii)."""
    config = suite.config
    labels = [spec.label for spec in config.specs()]
    groups: dict[tuple[str, str, str, str, str, float], list[Measured]] = defaultdict(list)
    for item in suite.measured:
        record = item.record
        for checkpoint in record.evaluations:
            cell = (record.dataset, record.architecture.label, record.method, checkpoint)
            groups[*cell, record.attack.name, record.threat.eps255].append(item)

    def position(key: tuple[str, str, str, str, str, float]) -> tuple[object, ...]:
        dataset, label, method, checkpoint, attack, eps255 = key
        known = _CHECKPOINT_ORDER
        choice = known.index(checkpoint) if checkpoint in known else len(known)
        where = (config.datasets.index(dataset), labels.index(label), config.methods.index(method))
        return (*where, choice, checkpoint, config.attacks.index(attack), config.eps255.index(eps255))

    reasons = unconverged(suite)
    return [_row(groups[key], key[3], reasons.get((*key[:3], key[5]), "")) for key in sorted(groups, key=position)]


def _row(group: list[Measured], checkpoint: str, reason: str) -> Row:
    """One row from the records of its seeds; ``reason``: why its training has not converged, if so."""
    group = sorted(group, key=lambda item: item.record.seed)
    record = group[0].record
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
    values = [
        (
            *(row.dataset, row.architecture, row.spec.depth, row.method, row.checkpoint, row.attack, row.eps255),
            *(row.n_opt, row.n_train, row.n_test, row.seeds, *row.clean, *row.robust),
            *(row.attacked, row.robust_spread.seed_sd, row.robust_spread.test_sd),
            *(row.max_linf255, row.max_l2_255, row.max_l1_255, row.unconverged or math.nan),
        )
        for row in rows(suite)
    ]
    return pd.DataFrame(values, columns=list(COLUMNS))


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
