"""What attacks cost: seconds, images and memory of evaluations."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.records import Record
from advntk.telling.labels import attack_label, method_label
from advntk.telling.listing import Listing, write_listings
from advntk.telling.suite_file import Suite

COLUMNS = (
    *("dataset", "architecture", "depth", "method", "attack", "evaluations"),
    *("attack_s", "wall_s", "images", "ms_per_image", "peak_mb", "total_attack_s"),
)
_MEASURED = {"attack_s", "wall_s", "peak_mb"}
_TIMES = (
    "Times are of the machines that ran the suite and differ from run to run; of a job that was killed, only the time "
    "since its restart is counted."
)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Evaluations of one method on one network under one attack, over seeds and radii.

    Attributes:
        evaluations: their number.
        attack_s: seconds of the attack in one evaluation, mean.
        wall_s: seconds of the process that evaluates, mean.
        images: images attacked in one evaluation, mean.
        peak_mb: largest memory of a process that evaluated, MiB.
    """

    dataset: str
    spec: Architecture
    method: str
    attack: str
    attack_label: str
    evaluations: int
    attack_s: float
    wall_s: float
    images: float
    peak_mb: float

    @property
    def total_attack_s(self) -> float:
        """Seconds of the attack in all evaluations."""
        return self.evaluations * self.attack_s

    @property
    def ms_per_image(self) -> float:
        """Milliseconds of the attack for one image."""
        return 1000 * self.attack_s / self.images


def costs(suite: Suite) -> list[Cost]:
    """Costs of all cells that were timed, in the order of the configuration's lists."""
    config = suite.config
    cells: dict[tuple[str, str, str, str], list[Record]] = {}
    for item in suite.measured:
        record = item.record
        if record.timing.keys() >= _MEASURED:
            key = (record.dataset, record.architecture.label, record.method, record.attack.name)
            cells.setdefault(key, []).append(record)
    labels = [spec.label for spec in config.specs()]
    keys = itertools.product(config.datasets, labels, config.methods, config.attacks)
    return [_cost(cells[key]) for key in keys if key in cells]


def _cost(records: Sequence[Record]) -> Cost:
    first = records[0]
    return Cost(
        dataset=first.dataset,
        spec=first.architecture,
        method=first.method,
        attack=first.attack.name,
        attack_label=attack_label(first.attack.name, inside_threat_model=first.attack.inside_threat_model),
        evaluations=len(records),
        attack_s=float(np.mean([record.timing["attack_s"] for record in records])),
        wall_s=float(np.mean([record.timing["wall_s"] for record in records])),
        images=float(np.mean([_images(record) for record in records])),
        peak_mb=max(record.timing["peak_mb"] for record in records),
    )


def _images(record: Record) -> int:
    """Images that were attacked: checkpoints of the same step are one predictor, evaluated once."""
    distinct = []
    for evaluation in record.evaluations.values():
        if evaluation not in distinct:
            distinct.append(evaluation)
    return sum(evaluation.n_test for evaluation in distinct)


def cost_frame(suite: Suite) -> pd.DataFrame:
    """One row for each dataset × network × method × attack.

    Returns:
        Columns ``COLUMNS``; means over evaluations, the largest of ``peak_mb``.
    """
    return _frame(costs(suite))


def _frame(found: Sequence[Cost]) -> pd.DataFrame:
    values = [
        (
            *(cost.dataset, cost.spec.kind, cost.spec.depth, cost.method, cost.attack, cost.evaluations),
            *(cost.attack_s, cost.wall_s, cost.images, cost.ms_per_image, cost.peak_mb, cost.total_attack_s),
        )
        for cost in found
    ]
    return pd.DataFrame(values, columns=list(COLUMNS))


def write_cost(suite: Suite, out_csv: str | Path) -> None:
    """Write the costs to ``out_csv``, and the same with totals as ``.md`` and ``.tex`` beside it."""
    found = costs(suite)
    listings = [_totals(found), *_by_dataset(found)] if found else []
    write_listings(f"Cost of attacks: suite {suite.config.suite}", _frame(found), listings, out_csv)


def _totals(found: Sequence[Cost]) -> Listing:
    lines = []
    for label in dict.fromkeys(cost.attack_label for cost in found):
        mine = [cost for cost in found if cost.attack_label == label]
        seconds = sum(cost.total_attack_s for cost in mine)
        images = sum(cost.evaluations * cost.images for cost in mine)
        evaluations = sum(cost.evaluations for cost in mine)
        lines.append([label, str(evaluations), _number(seconds), f"{images:.0f}", _number(1000 * seconds / images)])
    return Listing(
        title="All evaluations of each attack",
        caption=f"Seconds that the attack took, all jobs together, and images attacked. {_TIMES}",
        head=["attack", "evaluations", "seconds", "images", "ms per image"],
        lines=lines,
    )


def _by_dataset(found: Sequence[Cost]) -> list[Listing]:
    listings = []
    for dataset, group in itertools.groupby(found, key=lambda cost: cost.dataset):
        lines = [
            [
                *(cost.spec.label, method_label(cost.method), cost.attack_label, str(cost.evaluations)),
                *(_number(cost.attack_s), _number(cost.wall_s), f"{cost.images:.0f}"),
                *(_number(cost.ms_per_image), f"{cost.peak_mb:.0f}"),
            ]
            for cost in group
        ]
        listings.append(
            Listing(
                title=dataset,
                caption=(
                    "Means over seeds and radii. Attack: seconds of the attack in one evaluation (all its "
                    "checkpoints; chunks of an attack that is split into jobs are added up). Process: seconds of the "
                    f"process that evaluates, with loading and checks. Peak: its largest memory. {_TIMES}"
                ),
                head=[
                    *("network", "method", "attack", "evaluations"),
                    *("attack (s)", "process (s)", "images", "ms per image", "peak (MiB)"),
                ],
                lines=lines,
                words=3,
            )
        )
    return listings


def _number(value: float) -> str:
    """Three significant digits or more."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
