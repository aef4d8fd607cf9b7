"""A plan: the jobs of a suite by rule and method, their time by what was measured, and what will not fit a machine."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from advntk.planning.costs import Measurements, Time
from advntk.planning.jobs import Job, jobs_of
from advntk.suite import Suite

HEAD = ("jobs", "count", "core hours", "work over measured", "ask a GPU", "longest job", "memory (MiB)", "disk (GB)")
UNMEASURED = "not measured"
SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a machine, or a place in a cluster, has.

    Attributes:
        cores: that run jobs side by side.
        memory_mb: of one job.
        disk_gb: for all results.
        hours: of one job; None: no limit.
    """

    cores: int
    memory_mb: float
    disk_gb: float
    hours: float | None = None


def limits_here(root: Path) -> tuple[float, float]:
    """Memory of this machine in MiB, and free disk of the results in GB."""
    while not root.exists():
        root = root.parent
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return memory, shutil.disk_usage(root).free / 1e9


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A job with its time.

    Attributes:
        job: of the suite.
        time: estimated; None where no job of its kind was measured.
        wall_s: seconds with its threads, as far as there are cores; 0 where they are not known.
    """

    job: Job
    time: Time | None
    wall_s: float


@dataclass(frozen=True, kw_only=True)
class Line:
    """Jobs of one rule and method, or all.

    Attributes:
        name: rule and method, or ``total``.
        jobs: all of them.
    """

    name: str
    jobs: Sequence[Planned]

    @property
    def known(self) -> list[Time]:
        """Those that are known."""
        return [one.time for one in self.jobs if one.time]

    @property
    def unknown(self) -> int:
        """Jobs of unknown time."""
        return len(self.jobs) - len(self.known)

    @property
    def cpu_h(self) -> float:
        """Core hours of the jobs that are known."""
        return sum(one.cpu_s for one in self.known) / 3600

    @property
    def as_json(self) -> dict[str, Any]:
        """Machine-readable: hours, seconds, MiB, GB."""
        return {
            "rule": self.jobs[0].job.rule if self.name != "total" else self.name,
            "method": self.jobs[0].job.method if self.name != "total" else "",
            "jobs": len(self.jobs),
            "cpu_h": self.cpu_h,
            "not_measured": self.unknown,
            "largest_factor": max((one.factor for one in self.known), default=None),
            "gpu_jobs": sum(one.job.gpu for one in self.jobs),
            "longest_s": max(one.wall_s for one in self.jobs) if self.known else None,
            "memory_mb": max(one.job.need.asked_mb for one in self.jobs),
            "disk_gb": sum(one.job.need.disk_mb for one in self.jobs) * 2**20 / 1e9,
        }

    @property
    def row(self) -> list[str]:
        """Human-readable."""
        found, time = self.as_json, number(self.cpu_h) if self.known else UNMEASURED
        return [
            self.name,
            f"{found['jobs']:,}",
            time + (f" + {self.unknown} jobs {UNMEASURED}" if self.known and self.unknown else ""),
            f"× {number(found['largest_factor'])}" if self.known else "",
            f"{found['gpu_jobs']:,}",
            hours(found["longest_s"]) if self.known else UNMEASURED,
            f"{found['memory_mb']:,}",
            number(found["disk_gb"]),
        ]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A suite planned.

    Attributes:
        suite: resolved.
        jobs: each after those that it reads.
        limits: of the machine.
    """

    suite: Suite
    jobs: Sequence[Planned]
    limits: Limits

    @cached_property
    def lines(self) -> list[Line]:
        """One for each rule and method, then all."""
        found: dict[str, list[Planned]] = {}
        for one in self.jobs:
            found.setdefault(f"{one.job.rule} {one.job.method}".strip(), []).append(one)
        return [*(Line(name=name, jobs=jobs) for name, jobs in found.items()), self.whole]

    @cached_property
    def whole(self) -> Line:
        """All jobs."""
        return Line(name="total", jobs=self.jobs)

    @cached_property
    def chain_s(self) -> float:
        """Seconds of the longest chain of jobs that wait for one another."""
        ends: dict[str, float] = {}
        for one in self.jobs:
            ends[one.job.key] = one.wall_s + max((ends[key] for key in one.job.after), default=0.0)
        return max(ends.values(), default=0.0)

    @property
    def wall_h(self) -> float:
        """Hours on the machine, at least: the longest chain, or all work on all cores."""
        return max(self.chain_s / 3600, self.whole.cpu_h / self.limits.cores)

    def misfits(self) -> list[str]:
        """What will not fit, cells named."""
        limits, found, disk_gb = self.limits, [], self.whole.as_json["disk_gb"]
        large = [one for one in self.jobs if one.job.need.asked_mb > limits.memory_mb]
        long = [one for one in self.jobs if limits.hours is not None and one.wall_s > 3600 * limits.hours]
        if large:
            most = max(one.job.need.asked_mb for one in large)
            found.append(
                f"Will not fit in {limits.memory_mb:,.0f} MiB of memory ({most:,} are asked): {_named(large)}."
            )
        if long:
            most_s = max(one.wall_s for one in long)
            found.append(f"Will not fit in {number(limits.hours or 0)} hours a job ({hours(most_s)}): {_named(long)}.")
        if disk_gb > limits.disk_gb:
            excess = number(disk_gb - limits.disk_gb)
            found.append(f"Will not fit on the disk: {number(disk_gb)} GB, {excess} more than are free.")
        return found

    def verdicts(self) -> list[str]:
        """Sentences: the whole, where its times are from, and what will not fit."""
        limits, whole = self.limits, self.whole
        cores = f"{limits.cores} core{'s' if limits.cores > 1 else ''}"
        lines = [
            f"{len(self.jobs):,} jobs, {number(whole.cpu_h)} core hours; "
            f"on {cores} at least {hours(3600 * self.wall_h)}, the longest chain of jobs {hours(self.chain_s)}."
        ]
        if whole.known:
            used = Counter(one.source for one in whole.known)
            sources = ", ".join(f"{source}: {count:,} jobs" for source, count in used.most_common())
            lines.append(f"Times are in proportion to work from the nearest measured job of {sources}.")
        if whole.unknown:
            unknown = _named(one for one in self.jobs if not one.time)
            lines.append(f"{whole.unknown:,} jobs were not measured, nor any like them: {unknown}.")
        if asking := whole.as_json["gpu_jobs"]:
            on_gpu = sum(one.gpu for one in whole.known)
            lines.append(
                f"{asking:,} jobs ask a cluster for a GPU; {on_gpu:,} were measured on one, all others on CPUs."
            )
        fitting = f"All jobs fit in {limits.memory_mb:,.0f} MiB of memory and {number(limits.disk_gb)} GB of disk."
        return [*lines, *(self.misfits() or [fitting])]

    def as_json(self) -> dict[str, Any]:
        """Machine-readable."""
        return {
            "suite": self.suite.config.suite,
            "cores": self.limits.cores,
            "wall_h": self.wall_h,
            "chain_h": self.chain_s / 3600,
            "rules": [line.as_json for line in self.lines],
            "measured": sorted({one.source for one in self.whole.known}),
            "will_not_fit": self.misfits(),
        }


def plan(suite: Suite, measurements: Measurements, limits: Limits) -> Plan:
    """All jobs of a suite planned."""
    known: dict[Any, Time | None] = {}
    jobs = []
    for job in jobs_of(suite):
        key = (job.need, job.gpu)
        if key not in known:
            known[key] = measurements.estimate(job.need, gpu=job.gpu)
        time = known[key]
        jobs.append(
            Planned(job=job, time=time, wall_s=time.lasts_s(min(job.need.threads, limits.cores)) if time else 0.0)
        )
    return Plan(suite=suite, jobs=jobs, limits=limits)


def hours(value_s: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if value_s >= 2 * size:
            return f"{number(value_s / size)} {unit}"
    return f"{number(value_s)} s"


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return "0" if value == 0 else f"{value:.3g}" if value >= 0.01 else "< 0.01"


def _named(jobs: Iterable[Planned]) -> str:
    """Jobs by rule and cell, the most frequent first, not all where there are many."""
    words = ((one.job.rule, one.job.dataset, one.job.architecture, one.job.method) for one in jobs)
    counted = Counter(" ".join(filter(None, four)) for four in words).most_common()
    shown = [f"{name} ({count})" for name, count in counted[:SHOWN]]
    return ", ".join(shown) + (f" and {len(counted) - SHOWN} more kinds" if len(counted) > SHOWN else "")


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns for a terminal: words on the left, numbers on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
