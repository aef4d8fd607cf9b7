"""Is one method more robust than another? Every pair of methods, on the same examples of the same seeds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from advntk.foundation.errors import InputError
from advntk.foundation.statistics import discordant, holm, paired_test
from advntk.telling.columns import NETWORK, shared, shown
from advntk.telling.contents import Measured, Suite
from advntk.telling.frames import cell_of, ends, evaluated, span_of, under
from advntk.telling.kinds.checks import unconverged
from advntk.telling.labels import NORMS, method_label, named, radius_label
from advntk.telling.listing import (
    EMPTY,
    Column,
    Listing,
    groups,
    lines_of,
    listing_of,
    markdown_table,
    percent,
    points,
    table,
)

SIGNIFICANCE = 0.05
"""Adjusted p up to which a difference is significant."""
BASELINE = "at"
CHALLENGERS = ("advntk", "early_stopped_ntk", "ridge_ntk")
DIFFERENCE = ("difference", "difference_lo", "difference_hi")
_DEPLOYED = {"network": ("best_val", "last"), "kernel": ("last", "final")}
"""Checkpoints that a user would deploy, by kind of predictor: a network's best one on val, where val was held out."""


Line = dict[str, Any]
"""A comparison: values by the names of :func:`comparisons`' columns."""


def comparisons(suite: Suite) -> pd.DataFrame:
    """Return all pairs of methods under each attack inside the threat model, in the order of the configuration's lists.

    Two methods are compared on the seeds that both have; without a common seed they are not. Methods whose training has
    not converged take part in none. Not in the CSV file are network, own_a and own_b: the seeds that each method has.
    """
    reasons, cells = unconverged(suite), dict[tuple[str, str, float, str], list[list[Measured]]]()
    for _, group in evaluated(suite).groupby(["dataset", "attack", "eps255", "network", "method"], observed=True):
        items = list({item.record.seed: item for item in group["item"]}.values())
        record = items[0].record
        dataset, network, eps255 = record.dataset, record.architecture.label, record.threat.eps255
        if record.attack.inside_threat_model and (dataset, network, record.method, eps255) not in reasons:
            cells.setdefault((dataset, record.attack.name, eps255, network), []).append(items)
    pairs = (pair for methods in cells.values() for pair in itertools.combinations(methods, 2))
    lines = [line for a, b in pairs if (line := _compare(a, b))]
    for line, p in zip(lines, holm([line["p"] for line in lines]), strict=True):
        more = "A more robust" if line["only_a"] > line["only_b"] else "B more robust"
        line |= {"p_holm": p, "verdict": more if p <= SIGNIFICANCE else "not distinguished"}
    return table(COLUMNS, lines, "network", "own_a", "own_b")


def _compare(a: Sequence[Measured], b: Sequence[Measured]) -> Line:
    """Compare two methods on the seeds that both have; empty where there are none."""
    own = [tuple(item.record.seed for item in side) for side in (a, b)]
    a, b = ([item for item in side if item.record.seed in set(own[0]) & set(own[1])] for side in (a, b))
    if not a:
        return {}
    _require_same_examples(a, b)
    record, choices = a[0].record, (_checkpoint(a), _checkpoint(b))
    left, right = ([item.robust[choice] for item in side] for side, choice in zip((a, b), choices, strict=True))
    only_a, only_b = discordant(left, right)
    difference, p = paired_test(left, right, [item.images for item in a])
    return {
        **cell_of(record),
        **under(record),
        "method_a": record.method,
        "checkpoint_a": choices[0],
        "method_b": b[0].record.method,
        "checkpoint_b": choices[1],
        "n_test": len(left[0]),
        "seeds": len(left),
        "own_a": own[0],
        "own_b": own[1],
        "robust_a": float(np.mean([x.mean() for x in left])),
        "robust_b": float(np.mean([y.mean() for y in right])),
        **dict(zip(DIFFERENCE, difference, strict=True)),
        "only_a": only_a,
        "only_b": only_b,
        "p": p,
    }


def seen_from(lines: Iterable[Line], method: str) -> list[Line]:
    """The comparisons of a method, with it as a."""
    mine = [line for line in lines if method in (line["method_a"], line["method_b"])]
    return [line if line["method_a"] == method else turned(line) for line in mine]


def turned(line: Line) -> Line:
    """The same comparison with a and b exchanged, without its verdict."""
    other = {"_a": "_b", "_b": "_a"}
    found = {name[:-2] + other.get(name[-2:], name[-2:]): value for name, value in line.items() if name != "verdict"}
    mean, low, high = ends(line, DIFFERENCE)
    return found | dict(zip(DIFFERENCE, (-mean, -high, -low), strict=True))


def cell(line: Line) -> str:
    """The difference in percentage points with its interval, bold where it is significant."""
    text = points(ends(line, DIFFERENCE))
    return f"**{text}**" if line["p_holm"] <= SIGNIFICANCE else text


def _checkpoint(group: Sequence[Measured]) -> str:
    """The checkpoint to compare: the one that a user would deploy."""
    names = list(group[0].robust)
    return next((name for name in _DEPLOYED[group[0].record.kind] if name in names), names[0])


def _require_same_examples(a: Sequence[Measured], b: Sequence[Measured]) -> None:
    """Check that two methods were tested on the same images."""
    sides = [[(item.record.seed, item.record.split_hash, len(item.images)) for item in group] for group in (a, b)]
    if sides[0] != sides[1]:
        raise InputError(
            f"cannot be compared with {b[0].path}: seeds, splits or numbers of test images differ",
            where=a[0].path,
            remedy="delete the stale records and run the suite again",
        )


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


COLUMNS = (
    *shared("dataset", "architecture", "depth", "attack", "eps255"),
    NETWORK,
    Column("method_a", "the first of the methods that are compared", "text"),
    Column("checkpoint_a", "its checkpoint", "text"),
    Column(of=("method_a", "checkpoint_a"), head="A", text=named, words=True),
    Column("method_b", "the second of the methods that are compared", "text"),
    Column("checkpoint_b", "its checkpoint", "text"),
    Column(of=("method_b", "checkpoint_b"), head="B", text=named, words=True),
    *shared("n_test"),
    shown("seeds", head="seeds"),
    Column("robust_a", "robust accuracy of the first, mean over the seeds that both have", head="A %", text=percent),
    Column("robust_b", "robust accuracy of the second, mean over the seeds that both have", head="B %", text=percent),
    Column("difference", "robust accuracy of the first minus that of the second"),
    Column("difference_lo", "lower end of the 95% interval of difference, paired by image and seed"),
    Column("difference_hi", "upper end of the 95% interval of difference, paired by image and seed"),
    Column(of=DIFFERENCE, head="A − B [95%]", text=points),
    Column("only_a", "images, of all seeds, that are robust under the first only", "integer", head="only A"),
    Column("only_b", "images, of all seeds, that are robust under the second only", "integer", head="only B"),
    Column(
        "p", "p of equal robust accuracy: the larger of McNemar's exact test and of that of the interval",
        head="p", text=_p,
    ),
    shown("p_holm", head="p Holm", text=_p),
    shown("verdict", head="verdict"),
)  # fmt: skip


def comparison_listings(suite: Suite) -> Iterator[Listing]:
    """One printed table for each dataset, attack and radius."""
    found = comparisons(suite)
    for (dataset, attack, eps255), chosen in groups(found, ["dataset", "attack", "eps255"]):
        yield listing_of(
            COLUMNS,
            chosen,
            title=f"{dataset}, {attack} at {radius_label(eps255)} ({NORMS[suite.config.norm]})",
            caption="Robust accuracy of A and of B in percent; A − B in percentage points with its 95% interval over "
            "seeds and pairs of outcomes; examples of all seeds that are robust under one of the two only. p: the "
            "larger of McNemar's exact test on these and of that of the interval, adjusted by Holm over all "
            f"{len(found)} comparisons of the suite; verdict at {SIGNIFICANCE:g}. n_test = {chosen['n_test'].iloc[0]}.",
            notes=_assumptions(chosen["seeds"]),
        )


def differences(suite: Suite, method: str = "advntk") -> dict[str, Listing]:
    """One method against all others: a printed table by dataset, none where nothing is compared with the method."""
    mine = seen_from(lines_of(comparisons(suite)), method)
    by_dataset = {name: [one for one in mine if one["dataset"] == name] for name in suite.config.datasets}
    return {name: _differences(suite, found) for name, found in by_dataset.items() if found}


def _differences(suite: Suite, found: Sequence[Line]) -> Listing:
    """Networks, radii and attacks down, the other methods across."""
    labels = {one["method_b"]: method_label(one["method_b"], one["checkpoint_b"]) for one in found}
    others = {name: labels[name] for name in suite.config.methods if name in labels}
    most = max(one["seeds"] for one in found)
    lines: dict[tuple[str, float, str], dict[str, str]] = {}
    for one in found:
        fewer = "" if one["seeds"] == most else f" ({one['seeds']} of {most} seeds)"
        lines.setdefault((one["network"], one["eps255"], one["attack"]), {})[one["method_b"]] = cell(one) + fewer
    networks, radii = [spec.label for spec in suite.config.specs()], suite.config.eps255
    first, seeds = found[0], [one["seeds"] for one in found]
    return Listing(
        title=f"{method_label(first['method_a'])} against the other methods",
        caption=f"Robust accuracy of {method_label(first['method_a'], first['checkpoint_a'])} minus that of the method "
        f"in the column, under the attack of the row ({NORMS[suite.config.norm]}), in percentage points with 95% "
        f"intervals, paired by seed and test image. Bold: significant at {SIGNIFICANCE:g} after Holm's correction over "
        f"all comparisons of the suite. n_test = {first['n_test']}, seeds = {span_of(seeds)}.",
        head=["network", "ε", "attack", *(f"− {name}" for name in others.values())],
        lines=[
            [network, f"{eps255:g}/255", attack, *(lines[network, eps255, attack].get(name, EMPTY) for name in others)]
            for network, eps255, attack in sorted(
                lines, key=lambda line: (networks.index(line[0]), radii.index(line[1]))
            )
        ],
        notes=_assumptions(seeds),
        words=3,
    )


def _assumptions(seeds: Iterable[int]) -> list[str]:
    """What the test assumes, and where it does not hold."""
    return ["One seed: neither the interval nor the test knows how much training varies."] * (1 in list(seeds))


def headlines(suites: Sequence[Suite]) -> str:
    """Return in Markdown which of the kernel methods is more robust than AT: a sentence on each method, and a table.

    Of several attacks that one counts which leaves the compared methods the least robust accuracy on average.
    """
    lines, left_out, found = [], list[str](), list[Line]()
    for suite in suites:
        name = suite.config.suite
        if any(method == BASELINE for _, _, method, _ in unconverged(suite)):
            left_out.append(name)
        for mine in against_baseline(suite):
            found += mine
            first, differences = mine[0], {one["method_a"]: cell(one) for one in mine}
            place = [name, first["dataset"], first["network"], radius_label(first["eps255"]), first["attack"]]
            cells = [differences.get(method, EMPTY) for method in CHALLENGERS]
            lines.append([*place, percent(first["robust_b"]), *cells])
    by_method = {method: [one for one in found if one["method_a"] == method] for method in CHALLENGERS}
    sentences = [_sentence(method, mine) for method, mine in by_method.items() if mine]
    if left_out:
        sentences.append(
            f"AT that has not converged is excluded from all comparisons (suites {', '.join(dict.fromkeys(left_out))})."
        )
    if not lines:
        return " ".join(["No published suite compares kernel methods with AT yet.", *sentences]) + "\n"
    caption = (
        "Differences of robust accuracy in percentage points with 95% intervals, paired by test image and seed. Each "
        "row uses the attack of its suite under which the methods of the row are least robust on average, and AT at "
        f"its checkpoint best on validation images. Bold: significant at {SIGNIFICANCE:g} after Holm's correction over "
        "all comparisons of the suite."
    )
    head = ["suite", "dataset", "network", "ε", "attack", "AT %", *(f"{method_label(m)} − AT" for m in CHALLENGERS)]
    return "\n".join([" ".join(sentences), "", caption, "", markdown_table(head, lines, words=5)])


def against_baseline(suite: Suite) -> list[list[Line]]:
    """Challengers minus AT, by dataset, network and radius, under the attack that is strongest against all of them."""
    found: dict[tuple[str, str, float], dict[str, list[Line]]] = {}
    for one in map(turned, seen_from(lines_of(comparisons(suite)), BASELINE)):
        if one["method_a"] in CHALLENGERS:
            by_attack = found.setdefault((one["dataset"], one["network"], one["eps255"]), {})
            by_attack.setdefault(one["attack"], []).append(one)
    return [min(by_attack.values(), key=_left) for by_attack in found.values()]


def _left(pairs: Sequence[Line]) -> float:
    """Mean robust accuracy of AT and its challengers."""
    accuracies: list[float] = [pairs[0]["robust_b"], *(one["robust_b"] + one["difference"] for one in pairs)]
    return sum(accuracies) / len(accuracies)


def _sentence(method: str, found: Sequence[Line]) -> str:
    signs = [(one["p_holm"] <= SIGNIFICANCE) * (1 if one["difference"] > 0 else -1) for one in found]
    return (
        f"{method_label(method)[0].upper()}{method_label(method)[1:]} is significantly more robust than AT in "
        f"{signs.count(1)} of {len(found)} comparison{'s' * (len(found) > 1)} and significantly less robust in "
        f"{signs.count(-1)}; the difference is not significant in {signs.count(0)}."
    )
