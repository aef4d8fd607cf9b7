"""A plan: what a suite costs by rule, what takes longest, and what will not fit a machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from advntk.planning.estimates import Estimate
from advntk.planning.jobs import RULES, Job, jobs_of
from advntk.planning.rates import Rates
from advntk.suite import Suite


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
    """A job with its estimate in seconds and MiB.

    Attributes:
        job: of the suite.
        cpu_s: seconds of one core; None where nothing like it was measured.
        wall_s: seconds with its threads, as far as there are cores.
        memory_mb: largest resident memory, mapped pages included.
        asked_mb: what it asks a scheduler for.
    """

    job: Job
    cpu_s: float | None
    wall_s: float | None
    memory_mb: float
    asked_mb: int


def seconds(estimate: Estimate, rates: Rates, cores: int, *, speed: float = 1.0) -> tuple[float | None, float | None]:
    """CPU seconds and wall seconds of a job; its start has one thread, the rest is shared by all of them.

    Args:
        estimate: of the job.
        rates: measured.
        cores: that there are.
        speed: of a core of this machine over one of those measured.

    Returns:
        Both; None where no measurement exists.
    """
    cpu_s = rates.cpu_s(estimate.work)
    if cpu_s is None or estimate.parts is None:
        return None, None
    start_s = rates.cpu_s(estimate.parts["start"]) or 0.0
    return cpu_s / speed, (start_s + (cpu_s - start_s) / min(estimate.threads, cores)) / speed


def planned(job: Job, rates: Rates, cores: int, *, speed: float = 1.0) -> Planned:
    """The plan of one job."""
    cpu_s, wall_s = seconds(job.estimate, rates, cores, speed=speed)
    memory = job.estimate.memory
    return Planned(
        job=job,
        cpu_s=cpu_s,
        wall_s=wall_s,
        memory_mb=memory.peak_mb(rates.bases),
        asked_mb=memory.asked_mb(rates.bases),
    )


@dataclass(frozen=True, kw_only=True)
class Line:
    """Jobs of one rule, or of all.

    Attributes:
        rule: its name, or ``total``.
        jobs: all of them.
    """

    rule: str
    jobs: Sequence[Planned]

    @property
    def known(self) -> list[Planned]:
        """Those with an estimate of time."""
        return [one for one in self.jobs if one.cpu_s is not None]

    @property
    def cpu_h(self) -> float:
        """Core hours of the jobs that are known."""
        return sum(one.cpu_s or 0.0 for one in self.jobs) / 3600

    @property
    def unknown(self) -> int:
        """Jobs of unknown time: no measurement exists."""
        return len(self.jobs) - len(self.known)

    @property
    def gpu_jobs(self) -> int:
        """Jobs that ask a cluster for a GPU."""
        return sum(one.job.gpu for one in self.jobs)

    @property
    def longest(self) -> Planned | None:
        """The job of the largest wall time."""
        return max(self.known, key=lambda one: one.wall_s or 0.0, default=None)

    @property
    def largest(self) -> Planned:
        """The job of the largest memory."""
        return max(self.jobs, key=lambda one: one.memory_mb)

    @property
    def disk_gb(self) -> float:
        """What the jobs leave."""
        return sum(one.job.estimate.disk_mb for one in self.jobs) * 2**20 / 1e9


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A suite planned.

    Attributes:
        suite: resolved.
        jobs: each after those that it needs.
        rates: that were used.
        limits: of the machine.
        speed: of its cores over those measured.
    """

    suite: Suite
    jobs: Sequence[Planned]
    rates: Rates
    limits: Limits
    speed: float = 1.0

    @cached_property
    def lines(self) -> list[Line]:
        """One a rule, then all."""
        by_rule: dict[str, list[Planned]] = {rule: [] for rule in RULES}
        for one in self.jobs:
            by_rule[one.job.rule].append(one)
        return [*(Line(rule=rule, jobs=jobs) for rule, jobs in by_rule.items() if jobs), self.whole]

    @cached_property
    def whole(self) -> Line:
        """All jobs."""
        return Line(rule="total", jobs=self.jobs)

    @cached_property
    def chain_s(self) -> float:
        """Seconds of the longest chain of jobs that wait for one another."""
        ends: dict[str, float] = {}
        for one in self.jobs:
            ends[one.job.key] = (one.wall_s or 0.0) + max((ends[key] for key in one.job.needs), default=0.0)
        return max(ends.values(), default=0.0)

    @property
    def wall_h(self) -> float:
        """Hours on the machine, at least: the longest chain, or all work on all cores."""
        return max(self.chain_s / 3600, self.whole.cpu_h / self.limits.cores)

    def too_large(self) -> list[Planned]:
        """Jobs that need more memory than there is; what is mapped need not be in memory."""
        return [one for one in self.jobs if one.asked_mb > self.limits.memory_mb]

    def too_long(self) -> list[Planned]:
        """Jobs that take longer than one job may."""
        hours = self.limits.hours
        return [] if hours is None else [one for one in self.jobs if (one.wall_s or 0.0) > 3600 * hours]

    def excess_disk_gb(self) -> float:
        """Disk that the results need beyond what is free; 0 if they fit."""
        return max(0.0, self.whole.disk_gb - self.limits.disk_gb)

    def by_network(self) -> list[tuple[str, str, float, int]]:
        """Dataset, network, core hours and jobs, the costliest first; jobs of no network are left out."""
        found: dict[tuple[str, str], list[float]] = {}
        for one in self.jobs:
            if one.job.architecture:
                found.setdefault((one.job.dataset, one.job.architecture), []).append((one.cpu_s or 0.0) / 3600)
        rows = [(*key, sum(hours), len(hours)) for key, hours in found.items()]
        return sorted(rows, key=lambda row: -row[2])


def cells(jobs: Iterable[Planned]) -> Mapping[str, int]:
    """Jobs counted by rule, dataset, network and method."""
    counts: dict[str, int] = {}
    for one in jobs:
        job = one.job
        name = " ".join(word for word in (job.rule, job.dataset, job.architecture, job.method) if word)
        counts[name] = counts.get(name, 0) + 1
    return counts


def plan(suite: Suite, rates: Rates, limits: Limits, *, speed: float = 1.0) -> Plan:
    """All jobs of a suite planned."""
    jobs = [planned(job, rates, limits.cores, speed=speed) for job in jobs_of(suite)]
    return Plan(suite=suite, jobs=jobs, rates=rates, limits=limits, speed=speed)
