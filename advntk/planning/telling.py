"""A plan in words: lines for people, Markdown for pages, JSON for programs; estimates beside what was measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from advntk.planning.costs import Costs, typical_peaks
from advntk.planning.jobs import RULES
from advntk.planning.plan import Line, Plan, cells
from advntk.planning.rates import Rates

HEAD = ("rule", "jobs", "core hours", "ask a GPU", "longest job", "largest memory (MiB)", "disk (GB)")
MEASURED_HEAD = ("rule", "jobs", "predicted (CPU s)", "measured (CPU s)", "ratio", "memory, ratios from", "to")
SHOWN = 8


def hours(value_s: float | None) -> str:
    """A time in the unit that suits it."""
    if value_s is None:
        return "not measured"
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if value_s >= 2 * size:
            return f"{number(value_s / size)} {unit}"
    return f"{number(value_s)} s"


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return "0" if value == 0 else f"{value:.3g}" if value >= 0.01 else "< 0.01"


def rows(plan: Plan) -> list[list[str]]:
    """The table by rule."""
    return [_row(line) for line in plan.lines]


def _row(line: Line) -> list[str]:
    longest = line.longest
    time = number(line.cpu_h) if line.known else "not measured"
    if line.known and line.unknown:
        time += f" + {line.unknown} jobs not measured"
    return [
        line.rule,
        f"{len(line.jobs):,}",
        time,
        f"{line.gpu_jobs:,}",
        hours(longest.wall_s) if longest else "not measured",
        f"{line.largest.memory_mb:,.0f}",
        number(line.disk_gb),
    ]


def verdicts(plan: Plan) -> list[str]:
    """Sentences: the whole, what leads, and what will not fit."""
    limits, whole = plan.limits, plan.whole
    cores = f"{limits.cores} core{'s' if limits.cores > 1 else ''}"
    lines = [
        f"{len(plan.jobs):,} jobs, {number(whole.cpu_h)} core hours; on {cores} at least {hours(3600 * plan.wall_h)}, "
        f"the longest chain of jobs {hours(plan.chain_s)}."
    ]
    leading = max(plan.lines[:-1], key=lambda line: line.cpu_h)
    share = 100 * leading.cpu_h / whole.cpu_h if whole.cpu_h else 0
    lines.append(f"{share:.0f}% of it is the rule {leading.rule}.")
    if whole.unknown:
        unknown = _named(one for one in whole.jobs if one.cpu_s is None)
        lines.append(f"The time of {whole.unknown} jobs is not measured: of {unknown}.")
    if whole.gpu_jobs:
        asking = f"{whole.gpu_jobs:,} jobs ask a cluster for a GPU."
        lines.append(f"{asking} All times are of CPU cores.")
    return [*lines, *misfits(plan)]


def misfits(plan: Plan) -> list[str]:
    """What will not fit, cells named; one sentence that all fits, if it does."""
    limits, found = plan.limits, []
    if large := plan.too_large():
        most = max(one.asked_mb for one in large)
        found.append(f"Will not fit in {limits.memory_mb:,.0f} MiB of memory ({most:,} are needed): {_named(large)}.")
    if long := plan.too_long():
        most_s = max(one.wall_s or 0.0 for one in long)
        found.append(f"Will not fit in {number(limits.hours or 0)} hours a job ({hours(most_s)}): {_named(long)}.")
    if (excess := plan.excess_disk_gb()) > 0:
        found.append(f"Will not fit on the disk: {number(plan.whole.disk_gb)} GB, {number(excess)} more than are free.")
    fitting = f"{limits.memory_mb:,.0f} MiB of memory and {number(limits.disk_gb)} GB of disk"
    return found or [f"All jobs fit in {fitting}."]


def _named(jobs: Any) -> str:
    """Jobs by rule and cell, the most frequent first, not all where there are many."""
    counted = sorted(cells(jobs).items(), key=lambda item: -item[1])
    told = [f"{name} ({count})" for name, count in counted[:SHOWN]]
    return ", ".join(told) + (f" and {len(counted) - SHOWN} more kinds" if len(counted) > SHOWN else "")


def aligned(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Columns for a terminal: words on the left, numbers on the right."""
    table = [list(head), *map(list, body)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]


def as_json(plan: Plan) -> dict[str, Any]:
    """For programs: hours, MiB, GB."""
    return {
        "suite": plan.suite.config.suite,
        "cores": plan.limits.cores,
        "wall_h": plan.wall_h,
        "chain_h": plan.chain_s / 3600,
        "rules": [
            {
                "rule": line.rule,
                "jobs": len(line.jobs),
                "cpu_h": line.cpu_h,
                "not_measured": line.unknown,
                "gpu_jobs": line.gpu_jobs,
                "longest_s": line.longest.wall_s if line.longest else None,
                "memory_mb": line.largest.memory_mb,
                "disk_gb": line.disk_gb,
            }
            for line in plan.lines
        ],
        "will_not_fit": [] if fits(plan) else misfits(plan),
    }


def fits(plan: Plan) -> bool:
    """Whether everything fits."""
    return not (plan.too_large() or plan.too_long() or plan.excess_disk_gb() > 0)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Estimate and measurement of one rule, or of all: sums of CPU seconds, ratios of memory."""

    rule: str
    jobs: int
    predicted_s: float
    measured_s: float
    memory: tuple[float, float]

    @property
    def ratio(self) -> float:
        """Predicted over measured time."""
        return self.predicted_s / self.measured_s if self.measured_s else float("nan")


def compared(costs: Costs, rates: Rates) -> list[Compared]:
    """By rule, known jobs with an estimated time; memory of each group of like jobs."""
    times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job, cost in costs.pairs:
        predicted_s = rates.cpu_s(job.estimate.work)
        if predicted_s is not None:
            times[job.rule].append((predicted_s, cost.cpu_s))
    ratios: dict[str, list[float]] = defaultdict(list)
    for job, peak_mb in typical_peaks(costs):
        if peak_mb:
            ratios[job.rule].append(job.estimate.memory.peak_mb(rates.bases) / peak_mb)
    found = [_compared(rule, times[rule], ratios[rule]) for rule in RULES if times[rule]]
    every = [one for rule in times for one in times[rule]]
    return [*found, _compared("total", every, [ratio for rule in times for ratio in ratios[rule]])]


def _compared(rule: str, times: Sequence[tuple[float, float]], ratios: Sequence[float]) -> Compared:
    return Compared(
        rule=rule,
        jobs=len(times),
        predicted_s=sum(predicted_s for predicted_s, _ in times),
        measured_s=sum(measured_s for _, measured_s in times),
        memory=(min(ratios, default=math.nan), max(ratios, default=math.nan)),
    )


def measured_rows(found: Sequence[Compared]) -> list[list[str]]:
    """The table of estimates beside measurements."""
    return [
        [
            one.rule,
            f"{one.jobs:,}",
            number(one.predicted_s),
            number(one.measured_s),
            f"{one.ratio:.2f}",
            *(f"{ratio:.2f}" for ratio in one.memory),
        ]
        for one in found
    ]
