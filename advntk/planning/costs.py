"""What the jobs of a suite took: CPU seconds and memory, in one small file that outlives the results.

CPU seconds, not wall time: other work on the machine, or a pause, lengthens the wall time and hardly the CPU time.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from advntk.foundation import files, provenance
from advntk.foundation.errors import InputError
from advntk.planning.jobs import Job, fit_key, jobs_of
from advntk.suite import Suite, resolve

SCHEMA = "advntk-costs-1"
DENSE_S, EVERY_S, LOOK_S = 15.5, 30.0, 0.5
"""Snakemake looks at a job 31 times half a second apart, then every 30 seconds."""
BENCHMARKS = {"gram_part": "gram"}
"""Folders of benchmarks that are not named as their rule."""
UNDISTURBED = 0.7
"""CPU seconds over wall seconds of a job whose parts are believed."""
PARTS = ("solve_s", "attack_s", "gradient_s", "curves_s")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one job took.

    Attributes:
        key: of the job.
        cpu_s: CPU seconds of all its threads.
        wall_s: seconds from start to end.
        peak_mb: largest resident memory, mapped pages included, MiB.
        parts: CPU seconds of parts that the result reports, by name.
    """

    key: str
    cpu_s: float
    wall_s: float
    peak_mb: float
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a suite took.

    Attributes:
        suite: resolved.
        machine: processor it ran on.
        costs: of the jobs that are known, by key.
    """

    suite: Suite
    machine: str
    costs: Mapping[str, Cost]

    @property
    def pairs(self) -> list[tuple[Job, Cost]]:
        """Each job of the suite with what it took, where that is known."""
        return [(job, self.costs[job.key]) for job in jobs_of(self.suite) if job.key in self.costs]


def like(job: Job) -> str:
    """A job without its seed and radius: rule, dataset, network, method and attack."""
    words = [word for word in job.name.split(".") if not word.startswith(("seed", "eps", "anyeps"))]
    return f"{job.rule} {' '.join(words)}"


def typical_peaks(costs: Costs) -> list[tuple[Job, float]]:
    """One of each group of like jobs, and the (lower) median of their largest memory, MiB.

    The median: a job that compiles kernels at their first use takes more once. Of a suite of several seeds that is not
    finished, groups with one job are left out: it may be that one.

    Returns:
        Pairs.
    """
    groups: dict[str, list[tuple[Job, float]]] = {}
    for job, cost in costs.pairs:
        groups.setdefault(like(job), []).append((job, cost.peak_mb))
    least = min(2, costs.suite.config.seeds)
    return [
        (members[0][0], statistics.median_low(peak for _, peak in members))
        for members in groups.values()
        if len(members) >= least or not members[0][0].architecture
    ]


def cpu_seconds(seen_s: float, wall_s: float) -> float:
    """CPU seconds of a whole job from those at Snakemake's last look at it.

    What came after that look is taken to be like what was before: at most half a second of a job up to 15 s, half a
    minute of a longer one.

    Returns:
        CPU seconds.
    """
    last = wall_s - LOOK_S / 2
    if wall_s > DENSE_S:
        last = DENSE_S + EVERY_S * ((wall_s - DENSE_S) // EVERY_S)
    return seen_s * wall_s / max(last, LOOK_S)


def read_costs(path: Path) -> Costs:
    """Costs of a finished or unfinished suite (``results/SUITE/suite.json``), or a file that :func:`write_costs` made.

    Returns:
        The costs.

    Raises:
        InputError: another kind of file, or no job of it is known.
    """
    content = files.read_json(path)
    if not isinstance(content, dict) or "config" not in content:
        raise InputError("names no suite", where=path, remedy="give results/SUITE/suite.json or a file of costs")
    suite = resolve(content["config"])
    if content.get("schema") == SCHEMA:
        costs = [Cost(**one) for one in content["costs"]]
        return Costs(suite=suite, machine=content["machine"], costs={cost.key: cost for cost in costs})
    found = {cost.key: cost for cost in _of_results(suite, path.parent)}
    if not found:
        raise InputError("none of its jobs has a benchmark", where=path, remedy="run the suite with Snakemake")
    return Costs(suite=suite, machine=provenance.processor(), costs=found)


def write_costs(costs: Costs, out: Path) -> None:
    """Write the costs of a suite, without names of hosts and folders."""
    config = costs.suite.config.model_dump(mode="json")
    content = {
        "schema": SCHEMA,
        "machine": costs.machine,
        "config": {**config, "results": "results", "data": "data"},
        "costs": [
            {
                "key": cost.key,
                "cpu_s": round(cost.cpu_s, 3),
                "wall_s": round(cost.wall_s, 3),
                "peak_mb": round(cost.peak_mb, 1),
                "parts": {name: round(seconds, 3) for name, seconds in cost.parts.items()},
            }
            for cost in costs.costs.values()
        ],
    }
    files.write_json(out, content)


def _of_results(suite: Suite, root: Path) -> Iterator[Cost]:
    told = {fit_key(suite, cell): cell.fit for cell in suite.cells()}
    for cell in suite.cells():
        stem = f"{cell.dataset}.seed{cell.seed}.{cell.spec.label}.{cell.method}.eps{cell.eps255:g}"
        told |= {f"evaluate/{stem}.{attack}": suite.record_of(cell, attack) for attack in suite.attacks}
    for job in jobs_of(suite):
        bench = root / "benchmarks" / BENCHMARKS.get(job.rule, job.rule) / f"{job.name}.jsonl"
        if job.rule == "expand" or not bench.exists():
            continue
        seen = json.loads(bench.read_text(encoding="utf-8").splitlines()[-1])
        timing: Mapping[str, float] = {}
        if job.key in told:
            result = root / Path(told[job.key]).relative_to(suite.root)
            if not result.exists():
                continue
            timing = files.read_json(result)["timing"]
            if _resumed(suite, job, timing):
                continue
        yield _cost(job, seen, timing)


def _resumed(suite: Suite, job: Job, timing: Mapping[str, Any]) -> bool:
    """Whether a fit went on after a kill: its last process did only a part of it."""
    if job.method not in suite.methods or "timed_steps" not in timing:
        return False
    options: Any = suite.options[job.dataset, job.architecture, job.method]
    return bool(timing["timed_steps"] < options.steps * len(options.rates()))


def _cost(job: Job, seen: Mapping[str, Any], timing: Mapping[str, float]) -> Cost:
    wall_s = float(seen["s"])
    cpu_s = cpu_seconds(float(seen["cpu_time"] or 0.0), wall_s)
    share = cpu_s / wall_s  # parts are in wall time, which is unreliable for a job that waited for I/O
    parts = {name: share * timing[name] for name in PARTS if name in timing and share >= UNDISTURBED}
    # a result reports the peak of its own process; Snakemake's sum includes processes that are about to end
    peak_mb = float(timing.get("peak_mb", seen["max_rss"] or 0.0))
    return Cost(key=job.key, cpu_s=cpu_s, wall_s=wall_s, peak_mb=peak_mb, parts=parts)
