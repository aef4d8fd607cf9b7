"""Rates from measured jobs: the seconds of each unit that bring predicted and measured times nearest to one another.

Minimised is Σ log²(predicted/measured) over groups of like jobs, rates ≥ 0, by reweighted non-negative least squares:
with weights 1/(predicted · measured) the squared error is the squared logarithm of the ratio, to first order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from advntk.planning.costs import Costs, like, typical_peaks
from advntk.planning.jobs import Job
from advntk.planning.memory import Memory
from advntk.planning.probes import Probed
from advntk.planning.rates import BASES, Rates
from advntk.planning.work import UNITS, Work, total

ROUNDS = 30
FAR = 0.5
"""Ratios off by more than e^FAR count as if they were that far: one disturbed job must not lead."""
LEAST_PART_S = 3.0
"""Shorter parts of jobs are left out: the first call of a library is in them."""
DIGITS = 4


@dataclass(frozen=True, kw_only=True)
class Observation:
    """Something whose work and time are known.

    Attributes:
        source: file it is from.
        rule: of the jobs, or ``probe``.
        label: what it is, for people.
        work: mean of its jobs.
        cpu_s: geometric mean of their CPU seconds.
        whole: whether it is whole jobs, not a part of them.
    """

    source: str
    rule: str
    label: str
    work: Work
    cpu_s: float
    whole: bool = True


def observations(source: str, costs: Costs) -> list[Observation]:
    """Groups of like jobs of a suite: one rule, network, method and attack, over seeds and radii."""
    groups: dict[tuple[str, str], list[tuple[Job, float, Work | None]]] = defaultdict(list)
    for job, cost in costs.pairs:
        label = like(job)
        groups[label, ""].append((job, cost.cpu_s, job.estimate.work))
        for name, seconds in cost.parts.items():
            part = (job.estimate.parts or {}).get(name)
            if part and seconds >= LEAST_PART_S:
                groups[label, name].append((job, seconds, part))
    found = []
    for (label, name), members in groups.items():
        works = [work for _, _, work in members if work is not None]
        if len(works) == len(members):
            mean = {unit: amount / len(works) for unit, amount in total(*works).items()}
            seconds = float(np.exp(np.mean([np.log(max(cpu_s, 0.01)) for _, cpu_s, _ in members])))
            rule, text = members[0][0].rule, f"{label} {name}".strip()
            found.append(Observation(source=source, rule=rule, label=text, work=mean, cpu_s=seconds, whole=not name))
    return found


def probed(source: str, probes: Iterable[Probed]) -> list[Observation]:
    """Probes as observations."""
    return [
        Observation(source=source, rule="probe", label=probe.label, work=probe.work, cpu_s=probe.cpu_s)
        for probe in probes
        if probe.cpu_s > 0
    ]


def fitted(found: Sequence[Observation]) -> dict[str, float]:
    """Seconds of one core by unit, of every unit that an observation has."""
    units = [unit for unit in UNITS if any(one.work.get(unit) for one in found)]
    amounts = np.array([[one.work.get(unit, 0.0) for unit in units] for one in found])
    scale = amounts.max(axis=0)  # units differ by twelve orders of magnitude
    seconds = np.array([one.cpu_s for one in found])
    weights = 1 / seconds
    for _ in range(ROUNDS):
        rates, _ = nnls(amounts / scale * weights[:, None], seconds * weights, maxiter=50 * len(units))
        predicted = np.maximum(amounts / scale @ rates, 1e-3 * seconds)
        distance = np.abs(np.log(predicted / seconds))
        weights = np.sqrt(np.minimum(1.0, FAR / np.maximum(distance, FAR)) / (predicted * seconds))
    return {unit: _rounded(rate) for unit, rate in zip(units, rates / scale, strict=True)}


def bases(found: Iterable[tuple[Memory, float]]) -> dict[str, float]:
    """MiB of processes without data, by their libraries: the least that bounds every measured peak from above.

    Args:
        found: memory of jobs, and their measured peak.

    Returns:
        MiB by base; 0 where nothing was measured.
    """
    largest = dict.fromkeys(BASES, 0.0)
    for memory, peak_mb in found:
        largest[memory.base] = max(largest[memory.base], peak_mb - memory.held_mb - memory.mapped_mb)
    return {base: float(np.ceil(mb)) for base, mb in largest.items()}


def calibrated(suites: Sequence[tuple[str, Costs]], probes: Sequence[Probed], *, machine: dict[str, str]) -> Rates:
    """Rates and memory from finished suites and probes."""
    found = [one for name, costs in suites for one in observations(name, costs)] + probed("probes", probes)
    peaks = [(job.estimate.memory, peak_mb) for _, costs in suites for job, peak_mb in typical_peaks(costs)]
    peaks += [(Memory(held_mb=0, base=probe.base), probe.peak_mb) for probe in probes if probe.base]
    sources = (*(name for name, _ in suites), *(["probes"] if probes else []))
    return Rates(seconds=fitted(found), bases=bases(peaks), machine=machine, sources=sources)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
