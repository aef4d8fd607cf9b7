"""What the reference code's evaluation says of the same predictors, beside what this suite reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.records import AttackRecord
from advntk.telling.frames import evaluated, span_of
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import Column, Listing, csv_frame, listing_of, percent
from advntk.telling.suite_file import Suite

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
    key, long = ["dataset", "eps255", "network", "method", "checkpoint"], evaluated(suite)
    plain, fixed = (long[long["attack"] == name] for name in pair)
    both = plain.merge(fixed[[*key, "seed", "item"]], on=[*key, "seed"], suffixes=("", "_fixed"))
    return [_protocols(group) for _, group in both.groupby(key, observed=True)]


def _protocols(group: pd.DataFrame) -> Protocols:
    """One predictor, a row a seed: its records under plain PGD and under the reference code's attack on kernels."""
    checkpoint = group["checkpoint"].iloc[0]
    plain, fixed = ([item.record for item in group[name]] for name in ("item", "item_fixed"))
    first = plain[0]
    reference = plain if first.kind == "network" else fixed
    ours, theirs = ([record.evaluations[checkpoint] for record in records] for records in (plain, reference))
    size = {"linf": "max_linf255", "l2": "max_l2_255", "l1": "max_l1_255"}[first.threat.norm]
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
        max_size255=float(max(getattr(one, size) for one in ours)),
        reference_max_size255=float(max(getattr(one, size) for one in theirs)),
    )


_size = "{:.2f}".format
COLUMNS = (
    Column("dataset"),
    Column(of="spec.label", head="network", words=True),
    Column("architecture", "spec.kind"),
    Column("depth", "spec.depth"),
    Column("method"),
    Column("checkpoint"),
    Column(of=lambda one: method_label(one.method, one.checkpoint), head="method", words=True),
    Column("kind", head="kind", words=True),
    *(Column(name) for name in ("eps255", "n_test", "seeds", "attack", "reference_attack")),
    Column("clean", head="clean", text=percent),
    Column("robust", head="robust", text=percent),
    Column("reference", head="reference", text=percent),
    Column("reference_robust", head="reference, clean too", text=percent),
    Column("max_size255", head="largest, robust", text=_size),
    Column("reference_max_size255", head="largest, reference", text=_size),
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
    for (dataset, eps255), group in itertools.groupby(found, key=lambda one: (one.dataset, one.eps255)):
        mine = list(group)
        yield listing_of(
            COLUMNS,
            mine,
            title=f"{dataset}, {radius_label(eps255)} ({norm})",
            caption=f"Percent, mean over seeds; n_test = {mine[0].n_test}, seeds = "
            f"{span_of(one.seeds for one in mine)}. Robust is the suite's number: correct on the clean image and under "
            f"{mine[0].attack}, which takes a fresh gradient at each step and stays within ε. Reference is what the "
            "reference code counts: correct under its attack, whatever the clean image's class, where its attack on "
            "kernels follows one gradient from a random start and reaches up to 2ε, and its attack on networks is "
            f"{mine[0].attack}.",
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
