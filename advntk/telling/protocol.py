"""What the reference code's evaluation says of the same predictors, beside what this suite reports."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.records import AttackRecord, Evaluation, Record
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import EMPTY, Listing, write_listings
from advntk.telling.series import span
from advntk.telling.suite_file import Suite

COLUMNS = (
    *("dataset", "architecture", "depth", "method", "checkpoint", "kind", "eps255", "n_test", "seeds"),
    *("attack", "reference_attack", "clean", "robust", "reference", "reference_robust"),
    *("max_size255", "reference_max_size255"),
)
_PLAIN = {"restarts": 1, "keep": "final", "schedule": "constant", "targets": 0}
"""Options of PGD that the reference code's attack on kernels lacks, as the reference code attacks networks."""


@dataclass(frozen=True, kw_only=True)
class Protocols:
    """One predictor under both protocols; accuracies are means over seeds.

    Attributes:
        kind: kernel or network; the reference code attacks them differently.
        attack: the suite's attack, by its name.
        reference_attack: what the reference code does to such a predictor, by its name.
        robust: correct on the clean image and under ``attack``.
        reference: correct under ``reference_attack``, whatever the clean image's class.
        reference_robust: correct on the clean image and under ``reference_attack``.
        max_size255: largest perturbation by ``attack``, in the norm of the threat model, 1/255; NaN where it was not
            measured.
        reference_max_size255: the same by ``reference_attack``.
    """

    dataset: str
    spec: Architecture
    method: str
    checkpoint: str
    kind: str
    eps255: float
    n_test: int
    seeds: int
    attack: str
    reference_attack: str
    clean: float
    robust: float
    reference: float
    reference_robust: float
    max_size255: float
    reference_max_size255: float


def attack_pair(suite: Suite) -> tuple[str, str] | None:
    """Names of plain PGD and of the reference code's attack on kernels, of equal options, if both evaluate."""
    known = {item.record.attack.name: item.record.attack for item in suite.measured}
    attacks = [known[name] for name in suite.config.attacks if name in known]
    for reference in attacks:
        if reference.kind == "reference_fixed_gradient":
            for attack in attacks:
                if attack.kind == "pgd" and _differ_by_gradient(attack, reference):
                    return attack.name, reference.name
    return None


def _differ_by_gradient(attack: AttackRecord, reference: AttackRecord) -> bool:
    """Whether PGD is plain and all options that it shares with the reference code's attack are equal."""
    shared = attack.options.keys() & reference.options.keys()
    expected = {**{name: reference.options[name] for name in shared}, **_PLAIN}
    return all(attack.options.get(name) == value for name, value in expected.items())


def protocols(suite: Suite) -> list[Protocols]:
    """All predictors, in the order of the configuration's lists; none where the suite lacks one of the attacks."""
    pair = attack_pair(suite)
    if pair is None:
        return []
    config = suite.config
    cells: dict[tuple[str, float, str, str, str], list[Record]] = {}
    for item in sorted(suite.measured, key=lambda item: item.record.seed):
        record = item.record
        key = (record.dataset, record.threat.eps255, record.architecture.label, record.method, record.attack.name)
        cells.setdefault(key, []).append(record)
    labels = [spec.label for spec in config.specs()]
    found = []
    for cell in itertools.product(config.datasets, config.eps255, labels, config.methods):
        both = [cells.get((*cell, name), []) for name in pair]
        common = set.intersection(*({record.seed for record in records} for records in both))
        plain, fixed = ([record for record in records if record.seed in common] for records in both)
        if common:
            reference = plain if plain[0].kind == "network" else fixed
            found += [_protocols(plain, reference, checkpoint) for checkpoint in plain[0].evaluations]
    return found


def _protocols(records: Sequence[Record], reference: Sequence[Record], checkpoint: str) -> Protocols:
    first = records[0]
    ours = [record.evaluations[checkpoint] for record in records]
    theirs = [record.evaluations[checkpoint] for record in reference]
    return Protocols(
        dataset=first.dataset,
        spec=first.architecture,
        method=first.method,
        checkpoint=checkpoint,
        kind=first.kind,
        eps255=first.threat.eps255,
        n_test=ours[0].n_test,
        seeds=len(ours),
        attack=first.attack.name,
        reference_attack=reference[0].attack.name,
        clean=float(np.mean([one.clean_accuracy for one in ours])),
        robust=float(np.mean([one.robust_accuracy for one in ours])),
        reference=float(np.mean([one.attacked_correct / one.n_test for one in theirs])),
        reference_robust=float(np.mean([one.robust_accuracy for one in theirs])),
        max_size255=_largest(ours, first.threat.norm),
        reference_max_size255=_largest(theirs, first.threat.norm),
    )


def _largest(evaluations: Sequence[Evaluation], norm: str) -> float:
    """Largest perturbation of all seeds in a norm."""
    field = {"linf": "max_linf255", "l2": "max_l2_255", "l1": "max_l1_255"}[norm]
    return float(max(getattr(one, field) for one in evaluations))


def protocol_frame(suite: Suite) -> pd.DataFrame:
    """One row for each dataset × ε × network × method × checkpoint.

    Returns:
        Columns ``COLUMNS``; accuracies are fractions, sizes of perturbations in 1/255.
    """
    return _frame(protocols(suite))


def _frame(found: Sequence[Protocols]) -> pd.DataFrame:
    values = [
        (
            *(one.dataset, one.spec.kind, one.spec.depth, one.method, one.checkpoint, one.kind, one.eps255),
            *(one.n_test, one.seeds, one.attack, one.reference_attack),
            *(one.clean, one.robust, one.reference, one.reference_robust),
            *(one.max_size255, one.reference_max_size255),
        )
        for one in found
    ]
    return pd.DataFrame(values, columns=list(COLUMNS))


def write_protocol(suite: Suite, out_csv: str | Path) -> None:
    """Write both protocols side by side to ``out_csv``, and the same as ``.md`` and ``.tex`` beside it."""
    found = protocols(suite)
    groups = itertools.groupby(found, key=lambda one: (one.dataset, one.eps255))
    listings = [_listing(list(group), NORMS[suite.config.norm]) for _, group in groups]
    title = f"The reference code's protocol: suite {suite.config.suite}"
    write_listings(title, _frame(found), listings or [_missing()], out_csv, notes=suite.notes)


def _missing() -> Listing:
    return Listing(
        title="No such evaluation",
        caption=(
            "The table needs an attack of kind reference_fixed_gradient and one of kind pgd with equal options (loss, "
            "steps, step_ratio, random_start), the latter with restarts 1, keep final, schedule constant and targets "
            "0. This suite measured no such two: set `protocol: reference`, or give both attacks equal options."
        ),
        head=["method"],
        lines=[],
    )


def _listing(found: Sequence[Protocols], norm: str) -> Listing:
    first = found[0]
    return Listing(
        title=f"{first.dataset}, {radius_label(first.eps255)} ({norm})",
        caption=(
            f"Percent, mean over seeds; n_test = {first.n_test}, seeds = "
            f"{span(one.seeds for one in found)}. Robust is the suite's number: "
            f"correct on the clean image and under {first.attack}, which takes a fresh gradient at each step and stays "
            "within ε. Reference is what the reference code counts: correct under its attack, whatever the clean "
            "image's class, where its attack on kernels follows one gradient from a random start and reaches up to 2ε, "
            f"and its attack on networks is {first.attack}. Both judge the same predictors, as this suite trained them."
        ),
        head=[
            *("network", "method", "kind", "clean", "robust", "reference", "reference, clean too"),
            *("largest, robust", "largest, reference"),
        ],
        lines=[_line(one) for one in found],
        notes=[
            "Reference, clean too: the same without images that are wrong without attack.",
            f"Largest: largest perturbation found, {norm}, in 1/255.",
        ],
        words=3,
    )


def _line(one: Protocols) -> list[str]:
    accuracies = (one.clean, one.robust, one.reference, one.reference_robust)
    sizes = (one.max_size255, one.reference_max_size255)
    return [
        *(one.spec.label, method_label(one.method, one.checkpoint), one.kind),
        *(f"{100 * accuracy:.1f}" for accuracy in accuracies),
        *(f"{size:.2f}" if np.isfinite(size) else EMPTY for size in sizes),
    ]
