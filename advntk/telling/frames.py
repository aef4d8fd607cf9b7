"""Records and curves as data frames: one row for each line of the paper's table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from advntk.foundation.certified import Certificates
from advntk.foundation.config import SuiteConfig
from advntk.foundation.records import Evaluation, Record
from advntk.foundation.statistics import Interval, accuracy_interval, spread
from advntk.foundation.strength import Sweep
from advntk.telling.columns import shared
from advntk.telling.contents import Measured, Suite
from advntk.telling.kinds.checks import Training, unconverged
from advntk.telling.labels import OUTSIDE, attack_label, method_label
from advntk.telling.listing import Column, accuracy, table

KEY = ["dataset", "network", "method", "checkpoint", "attack", "eps255"]
_CHECKPOINT_ORDER = ("final", "last", "best_val")
CLEAN = ("clean_mean", "clean_lo", "clean_hi")
ROBUST = ("robust_mean", "robust_lo", "robust_hi")
"""Columns of a mean accuracy and the ends of its 95% interval, fractions."""
COLUMNS = (
    *shared("dataset", "architecture", "depth", "method", "checkpoint", "attack", "eps255"),
    Column("n_opt", "images to train on, without those held out for validation", "integer"),
    Column("n_train", "images that the method was trained on", "integer"),
    *shared("n_test", "seeds", "clean_mean"),
    Column("clean_lo", "lower end of the 95% interval of clean_mean over seeds and images"),
    Column("clean_hi", "upper end of the 95% interval of clean_mean over seeds and images"),
    *shared(*ROBUST),
    Column("attacked_mean", "share of test images correct under attack, whatever the clean image's class"),
    Column("seed_sd", "standard deviation of robust accuracy that training and split explain; empty with one seed"),
    Column("test_sd", "standard deviation of robust accuracy that the finite test set explains"),
    Column("max_linf255", "largest ℓ∞ norm of a perturbation, in 1/255"),
    Column("max_l2_255", "largest ℓ2 norm of a perturbation, in 1/255"),
    Column("max_l1_255", "largest ℓ1 norm of a perturbation, in 1/255"),
    Column("unconverged", "why the training has not converged; empty for one that has", "text"),
)


def evaluated(suite: Suite) -> pd.DataFrame:
    """Return the long table that the others group: one row for each record and checkpoint.

    Its columns are ``KEY`` (network is a label), seed and item (the record with its outcomes). Rows, and groups of
    them, are in the order of the configuration's lists.
    """
    lines = [
        {**cell_of(one), **under(one), "checkpoint": checkpoint, "seed": one.seed, "item": item}
        for item in suite.measured
        for one in [item.record]
        for checkpoint in one.evaluations
    ]
    frame = pd.DataFrame(lines, columns=[*KEY, "seed", "item"])
    orders = orders_of(suite) | {"checkpoint": _CHECKPOINT_ORDER}
    return in_order(frame, {name: orders[name] for name in KEY}).sort_values([*KEY, "seed"], ignore_index=True)


def cell_of(one: Record | Sweep | Certificates) -> dict[str, Any]:
    """The columns of a table that say which training a result is of."""
    spec = one.architecture
    names = {"network": spec.label, "architecture": spec.kind, "depth": spec.depth}
    return {"dataset": one.dataset, **names, "method": one.method}


def under(record: Record) -> dict[str, Any]:
    """The columns of a table that say under which attack a record is."""
    return {"attack": record.attack.name, "eps255": record.threat.eps255}


def orders_of(suite: Suite) -> dict[str, Sequence[Any]]:
    """The configuration's lists, by the column that they order."""
    config = suite.config
    networks = [spec.label for spec in config.specs()]
    own = {name: getattr(config, f"{name}s") for name in ("dataset", "method", "attack")}
    return {**own, "network": networks, "eps255": config.eps255}


def in_order(frame: pd.DataFrame, orders: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """The frame with columns that sort and group as their lists have it; what a list lacks comes last."""
    categories = {name: dict.fromkeys([*order, *sorted(frame[name].unique())]) for name, order in orders.items()}
    return frame.assign(
        **{name: pd.Categorical(frame[name], list(known), ordered=True) for name, known in categories.items()}
    )


def results(suite: Suite) -> pd.DataFrame:
    """Return the table of results: one row for each dataset × architecture × depth × method × checkpoint × attack × ε.

    Rows follow the configuration's lists; what is empty in the CSV file is NaN. Not in the CSV file are network,
    attack_label (warns where the attack may leave the threat model), flags (warnings, with their seeds) and stages (of
    an attack made of several, by name in their order: mean robust accuracy after it).
    """
    reasons, groups = unconverged(suite), evaluated(suite).groupby(KEY, observed=True)
    lines = [_row(list(group["item"]), group["checkpoint"].iloc[0], reasons) for _, group in groups]
    return table(COLUMNS, lines, "network", "attack_label", "flags", "stages")


def _row(group: list[Measured], checkpoint: str, reasons: Mapping[Training, str]) -> dict[str, Any]:
    """One row from the records of its seeds; ``reasons``: why trainings have not converged."""
    record = group[0].record
    attack = record.attack
    reason = reasons.get((record.dataset, record.architecture.label, record.method, record.threat.eps255), "")
    evaluations, images = [item.record.evaluations[checkpoint] for item in group], [item.images for item in group]
    clean, robust = [item.clean[checkpoint] for item in group], [item.robust[checkpoint] for item in group]
    doubts: dict[str, list[int]] = defaultdict(list)
    for item in group:
        for flag in item.record.evaluations[checkpoint].flags:
            doubts[flag].append(item.record.seed)
    flags = [f"{flag} (seed {', '.join(map(str, seeds))})" for flag, seeds in doubts.items()]
    return {
        **cell_of(record),
        **under(record),
        "checkpoint": checkpoint,
        "attack_label": attack_label(attack.name, inside_threat_model=attack.inside_threat_model),
        "n_opt": record.n_opt,
        "n_train": record.n_train,
        "n_test": evaluations[0].n_test,
        "seeds": len(group),
        **dict(zip(CLEAN, accuracy_interval(clean, images), strict=True)),
        **dict(zip(ROBUST, accuracy_interval(robust, images), strict=True)),
        "attacked_mean": np.mean([evaluation.attacked_correct / evaluation.n_test for evaluation in evaluations]),
        **asdict(spread(robust, images)),
        **{
            size: max(getattr(one, size) for one in evaluations) for size in ("max_linf255", "max_l2_255", "max_l1_255")
        },
        "unconverged": reason or math.nan,
        "flags": [f"not converged, takes part in no comparison: {reason}"] * bool(reason) + flags,
        "stages": _mean_stages(evaluations),
    }


def _mean_stages(evaluations: list[Evaluation]) -> dict[str, float]:
    """Mean robust accuracy after each stage, by the stage's name."""
    after: dict[str, list[float]] = defaultdict(list)
    for evaluation in evaluations:
        for stage in evaluation.stages:
            after[stage.name].append(stage.robust_after)
    return {name: float(np.mean(accuracies)) for name, accuracies in after.items()}


def ends(row: Mapping[str, Any], names: tuple[str, str, str]) -> Interval:
    """A value and the ends of its interval."""
    value, low, high = (row[name] for name in names)
    return value, low, high


def span_of(values: Iterable[int]) -> str:
    """``797``, or ``100–797`` where values differ."""
    known = sorted(values) or [0]
    return "–".join(str(value) for value in dict.fromkeys((known[0], known[-1])))


def sizes_caption(found: pd.DataFrame) -> str:
    """What accuracies are: percent, kind of interval, sizes and seeds."""
    sizes = {name: span_of(found[name]) for name in ("n_test", "n_train", "seeds")}
    alone = " (one seed: without the spread over seeds)" if sizes["seeds"] == "1" else ""
    return (
        f"Accuracy in percent: mean ± half the width of its 95% interval over seeds and test images{alone}; "
        f"{', '.join(f'{name} = {size}' for name, size in sizes.items())}."
    )


def robust_cell(row: Mapping[str, Any], seeds: int, notes: dict[str, str], *, bold: bool = False) -> str:
    """Robust accuracy, with marks of what a reader must know of it.

    Args:
        row: of :func:`results`.
        seeds: of the suite; a row of fewer says so.
        notes: footnotes to add to, text → mark; equal texts share one.
        bold: whether it is set in bold.

    Returns:
        Such as ``**78.5 ± 1.2** [a,b]``.
    """
    flags = [*row["flags"], *([f"{row['seeds']} of {seeds} seeds"] if row["seeds"] < seeds else [])]
    marks = ",".join(notes.setdefault(flag, _mark(len(notes))) for flag in flags)
    text = accuracy(ends(row, ROBUST))
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


def method_settings(config: SuiteConfig) -> dict[str, str]:
    """How the methods of other names than their kinds differ from the suite's method of the kind, by their names."""
    given, settings = config.method_options, {}
    for name in config.methods:
        kind = given.get(name, {}).get("kind", name)
        if kind != name:
            own, usual = _flat(given[name]), _flat(given.get(kind, {}))
            changed = [
                f"{key} {text}"
                for key, text in own.items()
                if key not in {"kind", "report_every"} and f"search.{key}" not in own and usual.get(key) != text
            ]
            settings[name] = f"{method_label(kind)}{': ' if changed else ''}{', '.join(changed)}"
    return settings


def _flat(options: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Options in words; those of an attack after its key, and so what recipes set, all of them together."""
    found: dict[str, str] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{key}.")
        elif isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            for name in dict.fromkeys(name for recipe in value for name in recipe):
                texts = dict.fromkeys(str(recipe[name]) for recipe in value if name in recipe)
                found[f"{before}{key}.{name}"] = " or ".join(texts)
        else:
            found[f"{before}{key}"] = str(value)
    return found
