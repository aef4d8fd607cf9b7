"""What the reference code's evaluation says of the same predictors, beside what this suite reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from advntk.foundation.records import AttackRecord
from advntk.telling.columns import NETWORK, PREDICTOR, shared, shown
from advntk.telling.contents import Suite
from advntk.telling.frames import cell_of, evaluated, span_of, under
from advntk.telling.labels import NORMS, radius_label
from advntk.telling.listing import Column, Listing, groups, listing_of, percent, table

_PLAIN = {"restarts": 1, "keep": "final", "schedule": "constant", "targets": 0}
"""Options of PGD that the reference code's attack on kernels lacks, as the reference code attacks networks."""
_SIZES = {"linf": "max_linf255", "l2": "max_l2_255", "l1": "max_l1_255"}


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


def protocols(suite: Suite) -> pd.DataFrame:
    """What both protocols say of each predictor: ``COLUMNS`` and network; no rows where the suite lacks an attack."""
    key, long = ["dataset", "eps255", "network", "method", "checkpoint"], evaluated(suite)
    plain, fixed = (long[long["attack"] == name] for name in attack_pair(suite) or ("", ""))
    both = plain.merge(fixed[[*key, "seed", "item"]], on=[*key, "seed"], suffixes=("", "_fixed"))
    return table(COLUMNS, [_line(group) for _, group in groups(both, key)], "network")


def _line(group: pd.DataFrame) -> dict[str, Any]:
    """One predictor, a row a seed: its records under plain PGD and under the reference code's attack on kernels."""
    checkpoint = group["checkpoint"].iloc[0]
    plain, fixed = ([item.record for item in group[name]] for name in ("item", "item_fixed"))
    record, reference = plain[0], plain if plain[0].kind == "network" else fixed
    numbers = {"n_test", "clean_accuracy", "robust_accuracy", "attacked_correct", *_SIZES.values()}
    ours, theirs = (
        pd.DataFrame([one.evaluations[checkpoint].model_dump(include=numbers) for one in records])
        for records in (plain, reference)
    )
    size = _SIZES[record.threat.norm]
    return {
        **cell_of(record),
        **under(record),
        "checkpoint": checkpoint,
        "kind": record.kind,
        "n_test": ours["n_test"][0],
        "seeds": len(ours),
        "reference_attack": reference[0].attack.name,
        "clean": ours["clean_accuracy"].mean(),
        "robust": ours["robust_accuracy"].mean(),
        "reference": (theirs["attacked_correct"] / theirs["n_test"]).mean(),
        "reference_robust": theirs["robust_accuracy"].mean(),
        "max_size255": ours[size].max(),
        "reference_max_size255": theirs[size].max(),
    }


_size = "{:.2f}".format
COLUMNS = (
    *shared("dataset"),
    NETWORK,
    *shared("architecture", "depth", "method", "checkpoint"),
    PREDICTOR,
    Column("kind", "kernel or network", "text", head="kind", words=True),
    *shared("eps255", "n_test", "seeds", "attack"),
    Column("reference_attack", "attack that the reference code makes on such a predictor", "text"),
    shown("clean", head="clean", text=percent),
    shown("robust", head="robust", text=percent),
    Column(
        "reference", "share of test images correct under reference_attack, whatever the clean image's class",
        head="reference", text=percent,
    ),
    Column(
        "reference_robust", "share of test images correct both clean and under reference_attack",
        head="reference, clean too", text=percent,
    ),
    Column(
        "max_size255", "largest perturbation by attack in the norm of the threat model, in 1/255",
        head="largest, robust", text=_size,
    ),
    Column(
        "reference_max_size255", "largest perturbation by reference_attack in the same norm, in 1/255",
        head="largest, reference", text=_size,
    ),
)  # fmt: skip


def protocol_listings(suite: Suite) -> Iterator[Listing]:
    """Both protocols side by side, a table for each dataset and radius."""
    norm, found = NORMS[suite.config.norm], protocols(suite)
    for (dataset, eps255), mine in groups(found, ["dataset", "eps255"]):
        attack, n_test = mine[["attack", "n_test"]].iloc[0]
        yield listing_of(
            COLUMNS,
            mine,
            title=f"{dataset}, {radius_label(eps255)} ({norm})",
            caption=f"Percent, mean over seeds; n_test = {n_test}, seeds = {span_of(mine['seeds'])}. "
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
    if found.empty:
        yield Listing(
            title="No such evaluation",
            caption="The table needs an attack of kind reference_fixed_gradient and one of kind pgd with equal options "
            "(loss, steps, step_ratio, random_start), the latter with restarts 1, keep final, schedule constant and "
            "targets 0. This suite measured no such two: set `protocol: reference`, or give both attacks equal "
            "options.",
            head=["method"],
            lines=[],
        )
