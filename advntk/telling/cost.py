"""What a suite cost: time and memory by rule, network, method and attack."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from advntk.telling.jobs import PARTS, RULES, Job, jobs
from advntk.telling.labels import method_label
from advntk.telling.listing import EMPTY, Listing, write_listings
from advntk.telling.suite_file import Suite

COLUMNS = (
    *("dataset", "rule", "architecture", "depth", "method", "attack"),
    *("jobs", "total_s", "mean_s", "max_s", "peak_mb", *PARTS, "images", "ms_per_image"),
)
_TIMES = (
    "Times are of the machines that ran the suite and differ from run to run; of a job that was killed, only the time "
    "since its restart is counted. Jobs may have run side by side."
)
_ADDED = "Parts of a Gram matrix, and chunks of an attack that is split into jobs, are added up and count as one job."


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Jobs of one rule on one network, with one method and attack, over seeds and radii."""

    first: Job
    jobs: Sequence[Job]

    @property
    def total_s(self) -> float:
        """Seconds of all jobs."""
        return sum(job.wall_s for job in self.jobs)

    @property
    def max_s(self) -> float:
        """Seconds of the longest job."""
        return max(job.wall_s for job in self.jobs)

    @property
    def peak_mb(self) -> float | None:
        """Largest memory of a process, MiB; None where none is known."""
        return max((job.peak_mb for job in self.jobs if job.peak_mb is not None), default=None)

    def part_s(self, name: str) -> float | None:
        """Seconds of a part over all jobs; None where no job reports it."""
        known = [job.parts[name] for job in self.jobs if name in job.parts]
        return sum(known) if known else None

    @property
    def images(self) -> float | None:
        """Images attacked in one job, mean; None where none is attacked."""
        known = [job.images for job in self.jobs if job.images is not None]
        return float(np.mean(known)) if known else None

    @property
    def ms_per_image(self) -> float | None:
        """Milliseconds of the attack for one image."""
        attack_s, images = self.part_s("attack_s"), self.images
        return None if attack_s is None or not images else 1000 * attack_s / (images * len(self.jobs))


def costs(suite: Suite) -> list[Cost]:
    """Costs of all that was timed, in the order of the rules and of the configuration's lists."""
    groups = itertools.groupby(
        jobs(suite), key=lambda job: (job.dataset, job.rule, job.network, job.method, job.attack)
    )
    return [_cost(list(group)) for _, group in groups]


def _cost(found: Sequence[Job]) -> Cost:
    return Cost(first=found[0], jobs=found)


def cost_frame(suite: Suite) -> pd.DataFrame:
    """One row for each dataset × rule × network × method × attack.

    Returns:
        Columns ``COLUMNS``; seconds of all jobs, of one (mean) and of the longest, largest memory, seconds of parts of
        all jobs, images attacked in one job.
    """
    values = [
        (
            *(cost.first.dataset, cost.first.rule, *_spec(cost.first), cost.first.method, cost.first.attack),
            *(len(cost.jobs), cost.total_s, cost.total_s / len(cost.jobs), cost.max_s, cost.peak_mb),
            *(*(cost.part_s(name) for name in PARTS), cost.images, cost.ms_per_image),
        )
        for cost in costs(suite)
    ]
    numbers = dict.fromkeys(("peak_mb", *PARTS, "images", "ms_per_image"), float)
    return pd.DataFrame(values, columns=list(COLUMNS)).astype(numbers)


def _spec(job: Job) -> tuple[str, int | str]:
    """Kind and depth of the network; empty for a job of many networks."""
    return (job.spec.kind, job.spec.depth) if job.spec else ("", "")


def write_cost(suite: Suite, out_csv: str | Path) -> None:
    """Write the costs to ``out_csv``, and the same with totals as ``.md`` and ``.tex`` beside it."""
    found = costs(suite)
    listings = [by_rule(found), *_by_attack(found), *_by_dataset(found)] if found else []
    write_listings(f"Cost: suite {suite.config.suite}", cost_frame(suite), listings, out_csv, notes=suite.notes)


def by_rule(found: Sequence[Cost]) -> Listing:
    """Time and memory of each rule, and of all."""
    every = [job for cost in found for job in cost.jobs]
    rules = {rule: [job for job in every if job.rule == rule] for rule in RULES}
    named = {**{rule: mine for rule, mine in rules.items() if mine}, "total": every}
    return Listing(
        title="All jobs of each rule",
        caption=(
            "Wall time of what the suite measured: all jobs together, mean, longest job, share of the whole; largest "
            f"memory of a process. {_ADDED} Preparing data, splits, tables and figures are not in it. {_TIMES}"
        ),
        head=["rule", "jobs", "total (s)", "mean (s)", "max (s)", "share (%)", "peak (MiB)"],
        lines=[_rule_line(name, mine, _cost(every).total_s) for name, mine in named.items()],
    )


def _rule_line(name: str, mine: Sequence[Job], all_s: float) -> list[str]:
    cost = _cost(mine)
    share = f"{100 * cost.total_s / all_s:.1f}" if all_s else EMPTY
    return [name, *_times(cost), share, _whole(cost.peak_mb)]


def _by_attack(found: Sequence[Cost]) -> list[Listing]:
    """What each attack took on all predictors; none where nothing was attacked."""
    attacked = [job for cost in found for job in cost.jobs if job.images is not None]
    lines = []
    for label in dict.fromkeys(job.attack_label for job in attacked):
        mine = [job for job in attacked if job.attack_label == label]
        seconds, images = sum(job.parts["attack_s"] for job in mine), sum(job.images or 0 for job in mine)
        ms_per_image = _number(1000 * seconds / images) if images else EMPTY
        lines.append([label, str(len(mine)), _number(seconds), str(images), ms_per_image])
    listing = Listing(
        title="All evaluations of each attack",
        caption="Seconds that the attack took, all jobs together, and images attacked.",
        head=["attack", "evaluations", "seconds", "images", "ms per image"],
        lines=lines,
    )
    return [listing] if lines else []


def _by_dataset(found: Sequence[Cost]) -> list[Listing]:
    groups = itertools.groupby(found, key=lambda cost: cost.first.dataset)
    return [_of_dataset(dataset, list(group)) for dataset, group in groups]


def _of_dataset(dataset: str, found: Sequence[Cost]) -> Listing:
    return Listing(
        title=dataset,
        caption=(
            "Jobs over seeds and radii: seconds of all, of one (mean) and of the longest; of which: seconds of all "
            "that went into solving, attacking, taking gradients and measuring curves, where a job reports them (of a "
            "fit, those of its last process); images attacked in one job (all its checkpoints), milliseconds of the "
            f"attack for one; largest memory of a process. {_ADDED} {_TIMES}"
        ),
        head=[
            *("rule", "network", "method", "attack", "of which (s)"),
            *("jobs", "total (s)", "mean (s)", "max (s)", "images", "ms per image", "peak (MiB)"),
        ],
        lines=[*map(_line, found), _total([job for cost in found for job in cost.jobs])],
        words=5,
    )


def _line(cost: Cost) -> list[str]:
    job = cost.first
    parts = [(name.removesuffix("_s"), cost.part_s(name)) for name in PARTS]
    told = ", ".join(f"{name} {_number(seconds)}" for name, seconds in parts if seconds is not None)
    method = method_label(job.method) if job.method else EMPTY
    return [
        *(job.rule, job.network or EMPTY, method, job.attack_label or EMPTY, told or EMPTY, *_times(cost)),
        *(_whole(cost.images), EMPTY if cost.ms_per_image is None else _number(cost.ms_per_image)),
        _whole(cost.peak_mb),
    ]


def _total(found: Sequence[Job]) -> list[str]:
    cost = _cost(found)
    return ["total", EMPTY, EMPTY, EMPTY, EMPTY, *_times(cost), EMPTY, EMPTY, _whole(cost.peak_mb)]


def _times(cost: Cost) -> Iterable[str]:
    """Number of jobs and their seconds."""
    return str(len(cost.jobs)), _number(cost.total_s), _number(cost.total_s / len(cost.jobs)), _number(cost.max_s)


def _whole(value: float | None) -> str:
    return EMPTY if value is None else f"{value:.0f}"


def _number(value: float) -> str:
    """Three significant digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
