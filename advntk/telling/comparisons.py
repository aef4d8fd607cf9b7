"""Is one method more robust than another? Every pair of methods, on the same examples of the same seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError
from advntk.foundation.statistics import discordant, holm, paired_test
from advntk.telling.convergence import unconverged
from advntk.telling.frames import evaluated, span_of
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import EMPTY, Column, Listing, csv_frame, listing_of, parted, percent, points
from advntk.telling.suite_file import Measured, Suite

SIGNIFICANCE = 0.05
"""Adjusted p up to which a difference is significant."""
_DEPLOYED = {"network": ("best_val", "last"), "kernel": ("last", "final")}
"""Checkpoints that a user would deploy, by kind of predictor: a network's best one on val, where val was held out."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two methods under one attack.

    Attributes:
        a: method and checkpoint.
        b: the other.
        seeds: how many they are compared on: those that both have.
        own_seeds: those that a has, and those that b has.
        robust: robust accuracy of a and of b, mean over the seeds that both have.
        difference: (a − b, low, high), 95%.
        only_a: examples of all seeds that are robust under a only.
        only_b: the same of b.
        p: of :func:`paired_test`: the larger of McNemar's exact test and of that of the interval.
        p_holm: the same adjusted over all comparisons of the suite.
    """

    dataset: str
    spec: Architecture
    attack: str
    eps255: float
    a: tuple[str, str]
    b: tuple[str, str]
    n_test: int
    seeds: int
    own_seeds: tuple[tuple[int, ...], tuple[int, ...]]
    robust: tuple[float, float]
    difference: tuple[float, float, float]
    only_a: int
    only_b: int
    p: float
    p_holm: float = math.nan

    @property
    def significant(self) -> bool:
        """Whether the methods differ."""
        return self.p_holm <= SIGNIFICANCE

    @property
    def verdict(self) -> str:
        """What the adjusted p says, in words."""
        if not self.significant:
            return "not distinguished"
        return "A more robust" if self.only_a > self.only_b else "B more robust"

    def seen_from(self, method: str) -> Comparison:
        """The same with a method of it as a."""
        if self.a[0] == method:
            return self
        mean, low, high = self.difference
        return replace(
            self,
            a=self.b,
            b=self.a,
            own_seeds=self.own_seeds[::-1],
            robust=self.robust[::-1],
            difference=(-mean, -high, -low),
            only_a=self.only_b,
            only_b=self.only_a,
        )

    def cell(self) -> str:
        """The difference in percentage points with its interval, bold where it is significant."""
        text = points(self.difference)
        return f"**{text}**" if self.significant else text


def comparisons(suite: Suite) -> list[Comparison]:
    """All pairs of methods under each attack inside the threat model, in the order of the configuration's lists.

    Two methods are compared on the seeds that both have; without a common seed they are not.

    Returns:
        The comparisons; methods whose training has not converged take part in none.
    """
    reasons, cells = unconverged(suite), dict[tuple[str, str, float, str], list[list[Measured]]]()
    for _, group in evaluated(suite).groupby(["dataset", "attack", "eps255", "network", "method"], observed=True):
        items = list({item.record.seed: item for item in group["item"]}.values())
        record = items[0].record
        dataset, network, eps255 = record.dataset, record.architecture.label, record.threat.eps255
        if record.attack.inside_threat_model and (dataset, network, record.method, eps255) not in reasons:
            cells.setdefault((dataset, record.attack.name, eps255, network), []).append(items)
    pairs = (pair for methods in cells.values() for pair in itertools.combinations(methods, 2))
    found = [one for a, b in pairs if (one := _on_common_seeds(a, b))]
    return [replace(one, p_holm=p) for one, p in zip(found, holm([one.p for one in found]), strict=True)]


def _on_common_seeds(a: Sequence[Measured], b: Sequence[Measured]) -> Comparison | None:
    """Compare two methods on the seeds that both have, if there are any."""
    own = tuple(item.record.seed for item in a), tuple(item.record.seed for item in b)
    common = set(own[0]) & set(own[1])
    if not common:
        return None
    chosen = ([item for item in side if item.record.seed in common] for side in (a, b))
    return replace(_compare(*chosen), own_seeds=own)


def _compare(a: Sequence[Measured], b: Sequence[Measured]) -> Comparison:
    """Compare two methods from the records of the same seeds."""
    _require_same_examples(a, b)
    record, choices = a[0].record, (_checkpoint(a), _checkpoint(b))
    left, right = ([item.robust[choice] for item in side] for side, choice in zip((a, b), choices, strict=True))
    only_a, only_b = discordant(left, right)
    difference, p = paired_test(left, right, [item.images for item in a])
    return Comparison(
        dataset=record.dataset,
        spec=record.architecture,
        attack=record.attack.name,
        eps255=record.threat.eps255,
        a=(record.method, choices[0]),
        b=(b[0].record.method, choices[1]),
        n_test=len(left[0]),
        seeds=len(left),
        own_seeds=(tuple(item.record.seed for item in a), tuple(item.record.seed for item in b)),
        robust=(float(np.mean([x.mean() for x in left])), float(np.mean([y.mean() for y in right]))),
        difference=difference,
        only_a=only_a,
        only_b=only_b,
        p=p,
    )


def _checkpoint(group: Sequence[Measured]) -> str:
    """The checkpoint to compare: the one that a user would deploy."""
    names = list(group[0].robust)
    return next((name for name in _DEPLOYED[group[0].record.kind] if name in names), names[0])


def _require_same_examples(a: Sequence[Measured], b: Sequence[Measured]) -> None:
    """Check that two methods were tested on the same images.

    Raises:
        InputError: seeds, splits or numbers of test images differ.
    """
    sides = []
    for group in (a, b):
        choice = _checkpoint(group)
        sides.append([(item.record.seed, item.record.split_hash, len(item.robust[choice])) for item in group])
    if sides[0] != sides[1]:
        raise InputError(
            f"cannot be compared with {b[0].path}: seeds, splits or numbers of test images differ",
            where=a[0].path,
            remedy="delete the stale records and run the suite again",
        )


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


COLUMNS = (
    Column("dataset"),
    Column("architecture", "spec.kind"),
    Column("depth", "spec.depth"),
    Column("attack"),
    Column("eps255"),
    Column(of="spec.label", head="network", words=True),
    *parted(("method_a", "checkpoint_a"), "a"),
    Column(of=lambda one: method_label(*one.a), head="A", words=True),
    *parted(("method_b", "checkpoint_b"), "b"),
    Column(of=lambda one: method_label(*one.b), head="B", words=True),
    Column("n_test"),
    Column("seeds", head="seeds"),
    Column("robust_a", lambda one: one.robust[0], "A %", percent),
    Column("robust_b", lambda one: one.robust[1], "B %", percent),
    *parted(("difference", "difference_lo", "difference_hi"), "difference"),
    Column(of="difference", head="A − B [95%]", text=points),
    Column("only_a", head="only A"),
    Column("only_b", head="only B"),
    Column("p", head="p", text=_p),
    Column("p_holm", head="p Holm", text=_p),
    Column("verdict", head="verdict"),
)


def comparisons_frame(suite: Suite) -> pd.DataFrame:
    """One row for each comparison: ``COLUMNS``; accuracies and differences are fractions."""
    return csv_frame(COLUMNS, comparisons(suite))


def comparison_listings(suite: Suite) -> Iterator[Listing]:
    """One printed table for each dataset, attack and radius."""
    found = comparisons(suite)
    for (dataset, attack, eps255), group in itertools.groupby(
        found, key=lambda one: (one.dataset, one.attack, one.eps255)
    ):
        chosen = list(group)
        yield listing_of(
            COLUMNS,
            chosen,
            title=f"{dataset}, {attack} at {radius_label(eps255)} ({NORMS[suite.config.norm]})",
            caption="Robust accuracy of A and of B in percent; A − B in percentage points with its 95% interval over "
            "seeds and pairs of outcomes; examples of all seeds that are robust under one of the two only. p: the "
            "larger of McNemar's exact test on these and of that of the interval, adjusted by Holm over all "
            f"{len(found)} comparisons of the suite; verdict at {SIGNIFICANCE:g}. n_test = {chosen[0].n_test}.",
            notes=_assumptions(chosen),
        )


def differences(suite: Suite, method: str = "advntk") -> dict[str, Listing]:
    """One method against all others: a printed table by dataset, none where nothing is compared with the method."""
    mine = [one.seen_from(method) for one in comparisons(suite) if method in (one.a[0], one.b[0])]
    by_dataset = {name: [one for one in mine if one.dataset == name] for name in suite.config.datasets}
    return {name: _differences(suite, found) for name, found in by_dataset.items() if found}


def _differences(suite: Suite, found: Sequence[Comparison]) -> Listing:
    """Networks, radii and attacks down, the other methods across."""
    labels = {one.b[0]: method_label(*one.b) for one in found}
    others = {name: labels[name] for name in suite.config.methods if name in labels}
    most = max(one.seeds for one in found)
    lines: dict[tuple[str, float, str], dict[str, str]] = {}
    for one in found:
        fewer = "" if one.seeds == most else f" ({one.seeds} of {most} seeds)"
        lines.setdefault((one.spec.label, one.eps255, one.attack), {})[one.b[0]] = one.cell() + fewer
    networks, radii = [spec.label for spec in suite.config.specs()], suite.config.eps255
    return Listing(
        title=f"{method_label(found[0].a[0])} against the other methods",
        caption=f"Robust accuracy of {method_label(*found[0].a)} minus that of the method that the column names, under "
        f"the attack of the line ({NORMS[suite.config.norm]}), in percentage points with the 95% interval over seeds "
        "and pairs of outcomes on the same images. Bold: significant, p adjusted by Holm over all comparisons of the "
        f"suite, at {SIGNIFICANCE:g}. n_test = {found[0].n_test}, seeds = {span_of(one.seeds for one in found)}.",
        head=["network", "ε", "attack", *(f"− {name}" for name in others.values())],
        lines=[
            [network, f"{eps255:g}/255", attack, *(lines[network, eps255, attack].get(name, EMPTY) for name in others)]
            for network, eps255, attack in sorted(
                lines, key=lambda line: (networks.index(line[0]), radii.index(line[1]))
            )
        ],
        notes=_assumptions(found),
        words=3,
    )


def _assumptions(found: Sequence[Comparison]) -> list[str]:
    """What the test assumes, and where it does not hold."""
    if any(one.seeds == 1 for one in found):
        return ["One seed: neither the interval nor the test knows how much training varies."]
    return []
