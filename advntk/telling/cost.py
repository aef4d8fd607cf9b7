"""What a suite cost: time and memory by rule, network, method and attack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.records import AttackRecord, Record
from advntk.telling.columns import NETWORK, shared, shown
from advntk.telling.contents import Suite
from advntk.telling.frames import in_order, orders_of
from advntk.telling.kinds import kinds
from advntk.telling.kinds.fits import FitFacts
from advntk.telling.kinds.grams import GramFacts
from advntk.telling.labels import attack_label, method_label
from advntk.telling.listing import Column, Listing, listing_of, percent

RULES = ("gram", "fit", "train", "attack", "evaluate", "sweep", "transfer")
PARTS = ("solve_s", "attack_s", "gradient_s", "curves_s")
"""Parts into which the seconds of a job are divided."""
_KEYS, _NAMES = ["dataset", "rule", "network", "method", "attack"], ["architecture", "depth", "attack_label"]
_NUMBERS = ["peak_mb", *PARTS, "images"]
_NO_NETWORK = {"network": "", "architecture": "", "depth": ""}
_TIMES = "Jobs may have run in parallel; of a job that was killed, only the time since its restart is counted."
_ADDED = "The parts of a Gram matrix, and the chunks of an attack, count as one job."


def jobs(suite: Suite) -> pd.DataFrame:
    """Return one row for each result that was timed, and for each attack that jobs of their own ran.

    Rows, and groups of them, are in the order of the rules and of the configuration's lists; a transfer has no network,
    as it has many. NaN where a number is not known.
    """
    datasets = {fit.split_hash: fit.dataset for fit in suite.of(FitFacts)}
    found = list[dict[str, Any]]()
    for gram in suite.of(GramFacts):
        whole = gram.timing.get("wall_s", 0.0) + gram.timing.get("parts_s", 0.0)
        found += _job("gram", datasets[gram.split_hash], gram.timing, gram.architecture, wall_s=whole)
    for fit in suite.of(FitFacts):
        rule = "fit" if fit.kind == "kernel" else "train"
        parts: dict[str, Any] = {name: fit.timing[name] for name in PARTS if name in fit.timing}
        found += _job(rule, fit.dataset, fit.timing, fit.architecture, fit.method, **parts)
    for record in (item.record for item in suite.measured):
        cell = (record.dataset, record.timing, record.architecture, record.method, record.attack)
        attack_s = record.timing.get("attack_s")
        attacked: dict[str, Any] = {"attack_s": attack_s, "images": _images(record)}
        if "chunks" in record.attack.options:
            found += _job("attack", *cell, **attacked, wall_s=attack_s, peak_mb=np.nan)
            attacked = {}
        found += _job("evaluate", *cell, **attacked)
    for kind in kinds().values():
        for _, one in suite.placed(kind.model) if kind.rule else ():
            about = {name: getattr(one, name) for name in ("method", "attack") if hasattr(one, name)}
            found += _job(kind.rule, one.dataset, one.timing, getattr(one, "architecture", None), **about)
    frame = pd.DataFrame(found, columns=[*_KEYS, *_NAMES, "wall_s", *_NUMBERS])
    orders = orders_of(suite) | {"rule": RULES}
    frame = in_order(frame, {name: orders[name] for name in _KEYS})
    return frame.astype(dict.fromkeys(_NUMBERS, float)).sort_values(_KEYS, kind="stable")


def _job(
    rule: str,
    dataset: str,
    timing: Mapping[str, float],
    spec: Architecture | None = None,
    method: str = "",
    attack: AttackRecord | None = None,
    **more: Any,
) -> list[dict[str, Any]]:
    """One job; none where a result does not say what it took."""
    if not timing.keys() >= {"wall_s", "peak_mb"}:
        return []
    network = {"network": spec.label, "architecture": spec.kind, "depth": spec.depth} if spec else _NO_NETWORK
    names = {"rule": rule, "dataset": dataset, "method": method, **network, "attack": "", "attack_label": ""}
    if attack:
        label = attack_label(attack.name, inside_threat_model=attack.inside_threat_model)
        names |= {"attack": attack.name, "attack_label": label}
    return [{**names, "wall_s": timing["wall_s"], "peak_mb": timing["peak_mb"], **more}]


def _images(record: Record) -> int:
    """Images that were attacked: checkpoints of the same step are one predictor, evaluated once."""
    distinct = []
    for evaluation in record.evaluations.values():
        if evaluation not in distinct:
            distinct.append(evaluation)
    return sum(evaluation.n_test for evaluation in distinct)


def costs(found: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Costs of :func:`jobs`, grouped by some of their columns; NaN where a number is not known."""
    grouped = found.groupby(by, observed=True, sort=False)
    frame = grouped.agg(
        jobs=("wall_s", "size"),
        total_s=("wall_s", "sum"),
        mean_s=("wall_s", "mean"),
        max_s=("wall_s", "max"),
        peak_mb=("peak_mb", "max"),
        images=("images", "mean"),
    ).join(grouped[list(PARTS)].sum(min_count=1))
    frame["ms_per_image"] = 1000 * frame["attack_s"] / (frame["images"] * frame["jobs"])
    return frame.reset_index()


def _seconds(value: float) -> str:
    """Three significant digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _parts(values: Sequence[float]) -> str:
    known = {name.removesuffix("_s"): value for name, value in zip(PARTS, values, strict=True) if value == value}
    return ", ".join(f"{name} {_seconds(value)}" for name, value in known.items())


_TIMED = (
    Column("jobs", "number of jobs", "integer", head="jobs"),
    Column("total_s", "wall time of all jobs", head="total (s)", text=_seconds),
    Column("mean_s", "wall time of a job, mean", head="mean (s)", text=_seconds),
    Column("max_s", "wall time of the longest job", head="max (s)", text=_seconds),
)
_PEAK = Column("peak_mb", "largest memory of a job, MiB", head="peak (MiB)", text="{:.0f}".format)
_EACH = Column("ms_per_image", "time of the attack for one image, in milliseconds", head="ms per image", text=_seconds)
COLUMNS = (
    *shared("dataset"),
    Column("rule", "rule of the workflow", "text", head="rule", words=True),
    NETWORK,
    *shared("architecture", "depth"),
    shown("method", head="method", text=method_label, words=True),
    *shared("attack"),
    Column(of="attack_label", head="attack", words=True),
    Column(of=PARTS, head="of which (s)", text=_parts, words=True),
    *_TIMED,
    _PEAK,
    Column("solve_s", "time of all jobs for solving systems of equations"),
    *shared("attack_s"),
    Column("gradient_s", "time of all jobs in gradients of a kernel method"),
    Column("curves_s", "time of all jobs in measuring accuracy along training"),
    Column("images", "images attacked in a job, mean", head="images", text="{:.0f}".format),
    _EACH,
)


def cost(suite: Suite) -> pd.DataFrame:
    """Costs by dataset, rule, network, method and attack: one row each, ``COLUMNS``."""
    return costs(jobs(suite), [*_KEYS, *_NAMES])


def cost_listings(suite: Suite) -> Iterator[Listing]:
    """Costs by rule, by attack, and of each dataset."""
    found = jobs(suite)
    if len(found):
        yield by_rule(suite)
    attacked = found[found["images"].notna()]
    if len(attacked):
        by_attack = costs(attacked, ["attack_label"])
        yield listing_of(
            [
                Column(of="attack_label", head="attack", words=True),
                Column(of="jobs", head="evaluations"),
                Column(of="attack_s", head="seconds", text=_seconds),
                Column(of="all_images", head="images", text="{:.0f}".format),
                _EACH,
            ],
            by_attack.assign(all_images=by_attack["images"] * by_attack["jobs"]),
            title="All evaluations of each attack",
            caption="Total seconds of each attack over all jobs, and images attacked.",
        )
    total: dict[str, Any] = dict.fromkeys(["network", "method", "attack", "architecture", "depth", "attack_label"], "")
    total |= {"rule": "total", "images": np.nan}
    for dataset, mine in found.groupby("dataset", observed=True):
        yield listing_of(
            COLUMNS,
            pd.concat([costs(part, [*_KEYS, *_NAMES]) for part in (mine, mine.assign(**total))]),
            title=str(dataset),
            caption="Jobs over seeds and radii: seconds of all, of one (mean) and of the longest; of which: seconds of "
            "all that went into solving, attacking, taking gradients and measuring curves, where a job reports them "
            "(of a fit, those of its last process); images attacked in one job (all its checkpoints), milliseconds of "
            f"the attack for one; largest memory of a process. {_ADDED} {_TIMES}",
        )


def by_rule(suite: Suite) -> Listing:
    """Time and memory of each rule, and of all."""
    found = jobs(suite)
    rules = pd.concat([costs(mine, ["rule"]) for mine in (found.sort_values("rule"), found.assign(rule="total"))])
    return listing_of(
        [
            Column(of="rule", head="rule", words=True),
            *_TIMED,
            Column(of="share", head="share (%)", text=percent),
            _PEAK,
        ],
        rules.assign(share=rules["total_s"] / (found["wall_s"].sum() or np.nan)),
        title="All jobs of each rule",
        caption="Wall time by rule: sum over its jobs, mean, longest job, and share of the suite's total; peak is the "
        f"peak memory of a process. {_ADDED} {_TIMES}",
        notes=["Data preparation, splits, tables and figures are not included."],
    )
