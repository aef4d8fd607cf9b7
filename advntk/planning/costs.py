"""What jobs took: CPU seconds and memory from Snakemake's benchmarks, in one small file that outlives the results.

CPU seconds, not wall time: other work on the machine, or a pause, lengthens the wall time and hardly the CPU time. Only
of a job that computed on a GPU the wall time counts.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from advntk.foundation import files, provenance
from advntk.foundation.errors import ConfigError, InputError
from advntk.planning.jobs import Job, jobs_of
from advntk.planning.resources import Need
from advntk.suite import Suite, resolve

SCHEMA = "advntk-costs-1"
COMMITTED = Path("results/reference/costs")
"""Where files of costs are kept, below the checkout."""
DENSE_S, EVERY_S, LOOK_S = 15.5, 30.0, 0.5
"""Snakemake looks at a job 31 times half a second apart, then every 30 seconds."""
TIMED = ("fit", "train", "evaluate")
"""Rules whose results say where they were computed and what their own process took."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one job took.

    Attributes:
        key: of the job.
        cpu_s: CPU seconds of all its threads.
        wall_s: seconds from start to end.
        peak_mb: largest resident memory, mapped pages included, MiB.
        gpu: whether it computed on a GPU.
    """

    key: str
    cpu_s: float
    wall_s: float
    peak_mb: float
    gpu: bool = False


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


@dataclass(frozen=True, kw_only=True)
class Time:
    """What like jobs of one suite took, the median over seeds: one of them may have compiled kernels.

    Attributes:
        source: suite and processor.
        need: of each of them.
        gpu: whether they computed on a GPU.
        cpu_s: CPU seconds of all threads.
        wall_s: seconds from start to end.
        factor: work of the job that this is an estimate for, over theirs; both times are multiplied by it.
    """

    source: str
    need: Need
    gpu: bool
    cpu_s: float
    wall_s: float
    factor: float = 1.0

    def lasts_s(self, cores: int) -> float:
        """Seconds on so many cores; with a GPU, as measured."""
        return self.wall_s if self.gpu else self.cpu_s / cores


class Measurements:
    """Measured jobs by their kind."""

    def __init__(self, suites: Iterable[Costs]) -> None:
        self._kinds: dict[tuple[str, ...], list[Time]] = {}
        for costs in suites:
            groups: dict[tuple[Need, bool], list[Cost]] = {}
            for job, cost in costs.pairs:
                groups.setdefault((job.need, cost.gpu), []).append(cost)
            for (need, gpu), alike in groups.items():
                measured = Time(
                    source=f"{costs.suite.config.suite} ({costs.machine})",
                    need=need,
                    gpu=gpu,
                    cpu_s=statistics.median(cost.cpu_s for cost in alike),
                    wall_s=statistics.median(cost.wall_s for cost in alike),
                )
                self._kinds.setdefault(need.kind, []).append(measured)

    def estimate(self, need: Need, *, gpu: bool = False, any_method: bool = False) -> Time | None:
        """The time of a job; None where no job of its kind was measured.

        A job that asks for a GPU is compared with those that had one, if there are any; then with those of the same
        family of networks, if there are any; and of these with the nearest by its work.

        Args:
            need: of the job.
            gpu: whether it asks for a GPU.
            any_method: whether other methods and attacks of the same rule and kernel engine will do.

        Returns:
            The estimate.
        """

        def distance(one: Time) -> tuple[bool, bool, float]:
            return one.gpu != gpu, one.need.family != need.family, abs(math.log(one.need.work / need.work))

        kinds = [need.kind]
        if any_method:
            kinds = [kind for kind in self._kinds if (kind[0], kind[-1]) == (need.kind[0], need.kind[-1])]
        found = [one for kind in kinds for one in self._kinds.get(kind, []) if gpu or not one.gpu]
        if not found:
            return None
        nearest = min(found, key=distance)
        factor = need.work / nearest.need.work
        return replace(nearest, factor=factor, cpu_s=factor * nearest.cpu_s, wall_s=factor * nearest.wall_s)


def committed(checkout: Path) -> list[Costs]:
    """The costs that are kept in a checkout."""
    return [read_costs(path) for path in sorted((checkout / COMMITTED).glob("*.json"))]


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
        InputError: another kind of file, a suite of another version, or no job of it is known.
    """
    content = files.read_json(path)
    if not isinstance(content, dict) or "config" not in content:
        raise InputError("names no suite", where=path, remedy="give results/SUITE/suite.json or a file of costs")
    try:
        suite = resolve(content["config"])
    except ConfigError as error:
        remedy = "run the suite again, or remove the file"
        raise InputError(f"not a suite of this version: {error.line()}", where=path, remedy=remedy) from error
    if content.get("schema") == SCHEMA:
        costs = [Cost(**{name: one[name] for name in one if name != "parts"}) for one in content["costs"]]
        return Costs(suite=suite, machine=content["machine"], costs={cost.key: cost for cost in costs})
    found = {cost.key: cost for cost in _of_results(suite, path.parent)}
    if not found:
        raise InputError("none of its jobs has a benchmark", where=path, remedy="run the suite with Snakemake")
    return Costs(suite=suite, machine=provenance.processor(), costs=found)


def write_costs(costs: Costs, out: Path) -> None:
    """Write the costs of a suite, without names of hosts and folders."""
    config = costs.suite.config.model_dump(mode="json")
    digits = {"cpu_s": 3, "wall_s": 3, "peak_mb": 1}
    content = {
        "schema": SCHEMA,
        "machine": costs.machine,
        "config": {**config, "results": "results", "data": "data"},
        "costs": [
            {name: round(value, digits[name]) if name in digits else value for name, value in asdict(cost).items()}
            for cost in costs.costs.values()
        ],
    }
    files.write_json(out, content)


def _of_results(suite: Suite, root: Path) -> Iterator[Cost]:
    jobs = jobs_of(suite)
    told = {job.key: root / Path(job.path).relative_to(suite.root) for job in jobs if job.rule in TIMED}
    results = {key: files.read_json(path) for key, path in told.items() if path.exists()}
    gpus = any(_on_gpu(result) for result in results.values())
    for job in jobs:
        bench = root / "benchmarks" / (job.step.logs or job.rule) / f"{job.name}.jsonl"
        if not bench.exists() or (job.key in told and job.key not in results):
            continue
        seen, result = json.loads(bench.read_text(encoding="utf-8").splitlines()[-1]), results.get(job.key, {})
        if _resumed(suite, job, result.get("timing", {})):
            continue
        # the device of a Gram matrix or a search is not read: it had a GPU if it asked for one and others had theirs
        yield _cost(job, seen, result, gpu=_on_gpu(result) if result else job.gpu and gpus)


def _on_gpu(result: Mapping[str, Any]) -> bool:
    return bool(result["provenance"].get("device_name", "cpu") != "cpu")


def _resumed(suite: Suite, job: Job, timing: Mapping[str, Any]) -> bool:
    """Whether a fit went on after a kill: its last process did only a part of it."""
    if job.method not in suite.methods or "timed_steps" not in timing:
        return False
    options: Any = suite.options[job.dataset, job.architecture, job.method]
    return bool(timing["timed_steps"] < options.steps * len(options.rates()))


def _cost(job: Job, seen: Mapping[str, Any], result: Mapping[str, Any], *, gpu: bool) -> Cost:
    wall_s = float(seen["s"])
    # a result reports the peak of its own process; Snakemake's sum includes processes that are about to end
    peak_mb = float(result.get("timing", {}).get("peak_mb", seen["max_rss"] or 0.0))
    cpu_s = cpu_seconds(float(seen["cpu_time"] or 0.0), wall_s)
    return Cost(key=job.key, cpu_s=cpu_s, wall_s=wall_s, peak_mb=peak_mb, gpu=gpu)
