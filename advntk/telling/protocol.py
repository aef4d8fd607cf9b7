"""What the reference code's evaluation says of the same predictors, beside what this suite reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advntk.foundation.records import AttackRecord, Evaluation, Record
from advntk.telling.frames import evaluated, span_of
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import Column, Listing, csv_frame, listing_of, percent
from advntk.telling.suite_file import Suite

_PLAIN = {"restarts": 1, "keep": "final", "schedule": "constant", "targets": 0}
"""Options of PGD that the reference code's attack on kernels lacks, as the reference code attacks networks."""


@dataclass(frozen=True, kw_only=True)
class Protocols:
    """One predictor under both protocols.

    Attributes:
        record: of its first seed, under the suite's attack.
        checkpoint: which of its checkpoints.
        reference_attack: what the reference code does to such a predictor, by its name.
        ours: evaluations under the suite's attack, by seed.
        theirs: the same under ``reference_attack``.
    """

    record: Record
    checkpoint: str
    reference_attack: str
    ours: Sequence[Evaluation]
    theirs: Sequence[Evaluation]

    def largest(self, evaluations: Sequence[Evaluation]) -> float:
        """Largest perturbation in the norm of the threat model, 1/255."""
        size = {"linf": "max_linf255", "l2": "max_l2_255", "l1": "max_l1_255"}[self.record.threat.norm]
        return float(max(getattr(one, size) for one in evaluations))


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
    key, long = ["dataset", "eps255", "network", "method", "checkpoint"], evaluated(suite)
    plain, fixed = (long[long["attack"] == name] for name in pair)
    both = plain.merge(fixed[[*key, "seed", "item"]], on=[*key, "seed"], suffixes=("", "_fixed"))
    return [_protocols(group) for _, group in both.groupby(key, observed=True)]


def _protocols(group: pd.DataFrame) -> Protocols:
    """One predictor, a row a seed: its records under plain PGD and under the reference code's attack on kernels."""
    checkpoint = group["checkpoint"].iloc[0]
    plain, fixed = ([item.record for item in group[name]] for name in ("item", "item_fixed"))
    reference = plain if plain[0].kind == "network" else fixed
    return Protocols(
        record=plain[0],
        checkpoint=checkpoint,
        reference_attack=reference[0].attack.name,
        ours=[record.evaluations[checkpoint] for record in plain],
        theirs=[record.evaluations[checkpoint] for record in reference],
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


_size = "{:.2f}".format
COLUMNS = (
    Column("dataset", "record.dataset"),
    Column(of="record.architecture.label", head="network", words=True),
    Column("architecture", "record.architecture.kind"),
    Column("depth", "record.architecture.depth"),
    Column("method", "record.method"),
    Column("checkpoint"),
    Column(of=lambda one: method_label(one.record.method, one.checkpoint), head="method", words=True),
    Column("kind", "record.kind", "kind", words=True),
    Column("eps255", "record.threat.eps255"),
    Column("n_test", lambda one: one.ours[0].n_test),
    Column("seeds", lambda one: len(one.ours)),
    Column("attack", "record.attack.name"),
    Column("reference_attack"),
    Column("clean", lambda one: _mean(x.clean_accuracy for x in one.ours), "clean", percent),
    Column("robust", lambda one: _mean(x.robust_accuracy for x in one.ours), "robust", percent),
    Column("reference", lambda one: _mean(x.attacked_correct / x.n_test for x in one.theirs), "reference", percent),
    Column(
        "reference_robust", lambda one: _mean(x.robust_accuracy for x in one.theirs), "reference, clean too", percent
    ),
    Column("max_size255", lambda one: one.largest(one.ours), "largest, robust", _size),
    Column("reference_max_size255", lambda one: one.largest(one.theirs), "largest, reference", _size),
)


def protocol_frame(suite: Suite) -> pd.DataFrame:
    """One row for each dataset × ε × network × method × checkpoint.

    Returns:
        ``COLUMNS``; accuracies are fractions, sizes of perturbations in 1/255.
    """
    return csv_frame(COLUMNS, protocols(suite))


def protocol_listings(suite: Suite) -> Iterator[Listing]:
    """Both protocols side by side, a table for each dataset and radius."""
    norm, found = NORMS[suite.config.norm], protocols(suite)
    for (dataset, eps255), group in itertools.groupby(
        found, key=lambda one: (one.record.dataset, one.record.threat.eps255)
    ):
        mine = list(group)
        attack, n_test = mine[0].record.attack.name, mine[0].ours[0].n_test
        yield listing_of(
            COLUMNS,
            mine,
            title=f"{dataset}, {radius_label(eps255)} ({norm})",
            caption=f"Percent, mean over seeds; n_test = {n_test}, seeds = {span_of(len(one.ours) for one in mine)}. "
            f"Robust is the suite's number: correct on the clean image and under {attack}, which takes a fresh "
            "gradient at each step and stays within ε. Reference is what the reference code counts: correct under its "
            "attack, whatever the clean image's class, where its attack on kernels follows one gradient from a random "
            f"start and reaches up to 2ε, and its attack on networks is {attack}.",
            notes=[
                "Both judge the same predictors, as this suite trained them.",
                "Reference, clean too: the same without images that are wrong without attack.",
                f"Largest: largest perturbation found, {norm}, in 1/255.",
            ],
        )
    if not found:
        yield Listing(
            title="No such evaluation",
            caption="The table needs an attack of kind reference_fixed_gradient and one of kind pgd with equal options "
            "(loss, steps, step_ratio, random_start), the latter with restarts 1, keep final, schedule constant and "
            "targets 0. This suite measured no such two: set `protocol: reference`, or give both attacks equal "
            "options.",
            head=["method"],
            lines=[],
        )
