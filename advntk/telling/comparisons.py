"""Is one method more robust than another? Every pair of methods, on the same examples of the same seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError
from advntk.foundation.statistics import discordant, holm, paired_test
from advntk.telling.convergence import unconverged
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import Listing, write_listings
from advntk.telling.suite_file import Measured, Suite

COLUMNS = (
    *("dataset", "architecture", "depth", "attack", "eps255"),
    *("method_a", "checkpoint_a", "method_b", "checkpoint_b", "n_test", "seeds"),
    *("robust_a", "robust_b", "difference", "difference_lo", "difference_hi"),
    *("only_a", "only_b", "p", "p_holm", "verdict"),
)
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

    def verdict(self, adjusted: float) -> str:
        """What an adjusted p says, in words."""
        if adjusted > SIGNIFICANCE:
            return "not distinguished"
        return "A more robust" if self.only_a > self.only_b else "B more robust"


def comparisons(suite: Suite) -> list[Comparison]:
    """All pairs of methods under each attack inside the threat model, in the order of the configuration's lists.

    Two methods are compared on the seeds that both have; without a common seed they are not.

    Returns:
        The comparisons; methods whose training has not converged take part in none.
    """
    config, reasons = suite.config, unconverged(suite)
    cells: dict[tuple[str, str, float, str, str], list[Measured]] = {}
    for item in suite.measured:
        record = item.record
        training = (record.dataset, record.architecture.label, record.method, record.threat.eps255)
        if record.attack.inside_threat_model and training not in reasons:
            key = (record.dataset, record.attack.name, record.threat.eps255, record.architecture.label, record.method)
            cells.setdefault(key, []).append(item)
    found = []
    labels = [spec.label for spec in config.specs()]
    for cell in itertools.product(config.datasets, config.attacks, config.eps255, labels):
        groups = [cells.get((*cell, method), []) for method in config.methods]
        present = [sorted(group, key=lambda item: item.record.seed) for group in groups if group]
        found += [one for a, b in itertools.combinations(present, 2) if (one := _on_common_seeds(a, b))]
    return found


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


def comparisons_frame(suite: Suite) -> pd.DataFrame:
    """One row for each comparison.

    Returns:
        Columns ``COLUMNS``; accuracies and differences are fractions; ``p_holm`` is adjusted over all rows.
    """
    return _frame(comparisons(suite))


def _frame(found: Sequence[Comparison]) -> pd.DataFrame:
    values = [
        (
            *(one.dataset, one.spec.kind, one.spec.depth, one.attack, one.eps255, *one.a, *one.b),
            *(one.n_test, one.seeds, *one.robust, *one.difference),
            *(one.only_a, one.only_b, one.p, p, one.verdict(p)),
        )
        for one, p in adjusted(found)
    ]
    return pd.DataFrame(values, columns=list(COLUMNS))


def adjusted(found: Sequence[Comparison]) -> list[tuple[Comparison, float]]:
    """Comparisons with their p adjusted over all of them."""
    return list(zip(found, holm([one.p for one in found]), strict=True))


def write_comparisons(suite: Suite, out_csv: str | Path) -> None:
    """Write the comparisons to ``out_csv``, and the same as ``.md`` and ``.tex`` beside it."""
    found = comparisons(suite)
    title = f"Which method is more robust: suite {suite.config.suite}"
    write_listings(title, _frame(found), list(_listings(suite, adjusted(found))), out_csv, notes=suite.notes)


def _listings(suite: Suite, pairs: Sequence[tuple[Comparison, float]]) -> Iterator[Listing]:
    """One printed table for each dataset, attack and radius."""
    norm = NORMS[suite.config.norm]
    for (dataset, attack, eps255), group in itertools.groupby(
        pairs, key=lambda pair: (pair[0].dataset, pair[0].attack, pair[0].eps255)
    ):
        chosen = list(group)
        first = chosen[0][0]
        numbers = ["seeds"] if len({one.seeds for one, _ in chosen}) > 1 else []
        yield Listing(
            title=f"{dataset}, {attack} at {radius_label(eps255)} ({norm})",
            caption=(
                "Robust accuracy of A and of B in percent; A − B in percentage points with its 95% interval "
                "over seeds and pairs of outcomes; examples of all seeds that are robust under one of the two only; "
                "p: the larger of McNemar's exact test on these and of that of the interval, adjusted by Holm over all "
                f"{len(pairs)} comparisons of the suite; verdict at {SIGNIFICANCE:g}. n_test = {first.n_test}, seeds = "
                f"{seeds_in_words([one for one, _ in chosen])}."
            ),
            head=[
                "network",
                "A",
                "B",
                *numbers,
                "A %",
                "B %",
                "A − B [95%]",
                "only A",
                "only B",
                "p",
                "p Holm",
                "verdict",
            ],
            lines=[_line(one, p, seeds=bool(numbers)) for one, p in chosen],
            notes=assumptions([one for one, _ in chosen]),
            words=3,
        )


def _line(one: Comparison, adjusted: float, *, seeds: bool) -> list[str]:
    """A pair; with the number of its seeds, where pairs differ in it."""
    mean, low, high = (100 * value for value in one.difference)
    return [
        *(one.spec.label, method_label(*one.a), method_label(*one.b), *([str(one.seeds)] if seeds else [])),
        *(f"{100 * accuracy:.1f}" for accuracy in one.robust),
        f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]",
        *(str(one.only_a), str(one.only_b), _p(one.p), _p(adjusted), one.verdict(adjusted)),
    ]


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def seeds_in_words(found: Sequence[Comparison]) -> str:
    """How many seeds pairs are compared on: ``3``, or ``1–3`` where they differ."""
    numbers = [one.seeds for one in found]
    return "–".join(str(number) for number in dict.fromkeys((min(numbers), max(numbers))))


def assumptions(found: Sequence[Comparison]) -> list[str]:
    """What the test assumes, and where it does not hold."""
    if any(one.seeds == 1 for one in found):
        return ["One seed: neither the interval nor the test knows how much training varies."]
    return []
