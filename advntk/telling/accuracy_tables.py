"""The tables of accuracies: of methods, as a paper has it, the most robust in bold; and of all results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from advntk.telling.columns import NETWORK, PREDICTOR, shared
from advntk.telling.comparisons import SIGNIFICANCE, Line, comparisons, seen_from
from advntk.telling.contents import Suite
from advntk.telling.frames import (
    CLEAN,
    ends,
    footnotes,
    in_order,
    orders_of,
    results,
    robust_cell,
    sizes_caption,
    span_of,
)
from advntk.telling.labels import NORMS, OUTSIDE, method_label, named, radius_label
from advntk.telling.listing import EMPTY, Column, Listing, accuracy, groups, lines_of, listing_of, percent

BEST, TIED, WORSE = "best", "not significantly different", "worse"
_ACROSS = 4  # networks and radii side by side
_SHOWN = "All columns except clean show robust accuracy: correct both clean and under the attack that the column names."


COLUMNS = (
    *shared("dataset", "architecture", "depth", "attack", "eps255", "method", "checkpoint", "n_test", "seeds", "clean"),
    Column("clean_half", "half the width of the 95% interval of clean"),
    *shared("robust"),
    Column("robust_half", "half the width of the 95% interval of robust"),
    Column("standing", f"{BEST}, {TIED} (from the best), {WORSE}, or empty where it is not compared", "text"),
    *shared("p_holm"),
)


def standings(found: Sequence[Line]) -> dict[tuple[str, str], tuple[str, float | None]]:
    """Return standing and p by method and checkpoint, from the comparisons of one dataset, network, attack and radius.

    Only methods with the most seeds, all the same, have one. The p are those of the table of comparisons, adjusted
    over all pairs of the suite: they hold whichever method turns out to be the best.
    """
    seeds = {name: one[f"own_{side}"] for one in found for name, side in _sides(one)}
    shared = [own for own in seeds.values() if list(seeds.values()).count(own) > 1]
    most = max(shared, key=lambda own: (len(own), shared.count(own)), default=())
    pairs = [one for one in found if one["own_a"] == one["own_b"] == most]
    robust = {name: one[f"robust_{side}"] for one in pairs for name, side in _sides(one)}
    best = max(robust, key=lambda name: robust[name], default=("", ""))
    others = {
        (one["method_b"], one["checkpoint_b"]): (WORSE if one["p_holm"] <= SIGNIFICANCE else TIED, one["p_holm"])
        for one in seen_from(pairs, best[0])
    }
    return {best: (BEST, None), **others} if pairs else {}


def _sides(one: Line) -> Iterator[tuple[tuple[str, str], str]]:
    """Methods and checkpoints of a comparison, and which side each is."""
    for side in "ab":
        yield (one[f"method_{side}"], one[f"checkpoint_{side}"]), side


def standing(suite: Suite, compared: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the table of results with where each row stands among those of its dataset, network, attack and radius.

    Rows are in the order of the printed tables: dataset, kind of network and attack; then network and radius.
    ``compared`` are the suite's comparisons, if they are at hand.
    """
    place = ["dataset", "network", "attack", "eps255"]
    pairs = comparisons(suite) if compared is None else compared
    known = {key: standings(lines_of(mine)) for key, mine in groups(pairs, place)}
    found = results(suite)
    own = [
        known.get(tuple(row[name] for name in place), {}).get((row["method"], row["checkpoint"]), ("", None))
        for row in lines_of(found)
    ]
    found = found.assign(
        clean=found["clean_mean"],
        clean_half=(found["clean_hi"] - found["clean_lo"]) / 2,
        robust=found["robust_mean"],
        robust_half=(found["robust_hi"] - found["robust_lo"]) / 2,
        standing=[name for name, _ in own],
        p_holm=np.array([p for _, p in own], dtype=float),
    )
    kinds = dict.fromkeys(spec.kind for spec in suite.config.specs())
    ordered = in_order(found, orders_of(suite) | {"architecture": kinds})
    return found.loc[
        ordered.sort_values(["dataset", "architecture", "attack", "network", "eps255"], kind="stable").index
    ]


def method_listings(suite: Suite) -> Iterator[Listing]:
    """Printed tables of each dataset, kind of network and attack, a few networks and radii in each."""
    config, compared = suite.config, comparisons(suite)
    found = standing(suite, compared)
    for (dataset, kind, attack), chosen in groups(found, ["dataset", "architecture", "attack_label"]):
        radius = f" at {radius_label(config.eps255[0])}" if len(config.eps255) == 1 else ""
        title = f"{dataset}, {kind}, {attack}{radius} ({NORMS[config.norm]})"
        caption = f"{sizes_caption(chosen)} {_SHOWN} {_in_bold(chosen, len(compared))}"
        places = list(dict.fromkeys(zip(chosen["network"], chosen["eps255"], strict=True)))
        parts = [places[start : start + _ACROSS] for start in range(0, len(places), _ACROSS)]
        for part in parts:
            titles = {
                (network, eps255): network if radius else f"{network}, {radius_label(eps255)}"
                for network, eps255 in part
            }
            heading = title if len(parts) == 1 else f"{title}: {'; '.join(titles.values())}"
            yield _listing(suite, chosen, titles, title=heading, caption=caption)


def _listing(
    suite: Suite, chosen: pd.DataFrame, titles: Mapping[tuple[str, float], str], *, title: str, caption: str
) -> Listing:
    """Methods down; clean and robust accuracy of some networks and radii, whose titles are ``titles``, across."""
    notes: dict[str, str] = {}
    lines: dict[tuple[str, str], dict[tuple[str, float], list[str]]] = {}
    for row in lines_of(chosen):
        line, place = lines.setdefault((row["method"], row["checkpoint"]), {}), (row["network"], row["eps255"])
        if place in titles:
            bold = row["standing"] in (BEST, TIED)
            line[place] = [accuracy(ends(row, CLEAN)), robust_cell(row, suite.config.seeds, notes, bold=bold)]
    attack = chosen["attack_label"].iloc[0].replace(OUTSIDE, "outside")
    return Listing(
        title=title,
        caption=caption,
        head=["method", *((group, quantity) for group in titles.values() for quantity in ("clean", attack))],
        lines=[
            [named(name), *(cell for place in titles for cell in lines[name].get(place, [EMPTY, EMPTY]))]
            for name in sorted(lines, key=lambda name: suite.config.methods.index(name[0]))
        ],
        notes=[*footnotes(notes), *_remarks(suite, chosen)],
    )


def _in_bold(chosen: pd.DataFrame, tests: int) -> str:
    """What is set in bold, in words."""
    if not chosen["standing"].any():
        why = "no two methods have the same seeds" if chosen["method"].nunique() > 1 else "there is one method"
        outside = OUTSIDE in chosen["attack_label"].iloc[0]
        return f"Nothing is set in bold: {'this attack may leave the threat model' if outside else why}."
    return (
        "Bold: the highest robust accuracy of a column, and every method that does not differ significantly from it "
        f"(paired by image and seed, level {SIGNIFICANCE:g}, Holm's correction over all {tests} comparisons of the "
        "suite)."
    )


def _remarks(suite: Suite, chosen: pd.DataFrame) -> list[str]:
    """What can be bold, what is unequal between methods, and what is beyond the usual protocol."""
    remarks = []
    if chosen["standing"].any():
        remarks.append(
            "Networks are compared at their checkpoint best on val, Adv-NTK at its last step; the other checkpoint is "
            "never bold."
        )
        if chosen["seeds"].nunique() > 1:
            remarks.append("A method with fewer seeds than others of its column is never bold.")
    groups: dict[str, dict[str, None]] = {}
    for item in suite.measured:
        if item.record.dataset == chosen["dataset"].iloc[0]:
            images = f"{item.record.n_train} images" + (" (opt and val)" if item.record.images == "all" else "")
            groups.setdefault(images, {})[method_label(item.record.method)] = None
    if len(groups) > 1:
        words = "; ".join(f"{', '.join(methods)} on {images}" for images, methods in groups.items())
        remarks.append(f"Methods were trained on different data (deviation D7): {words}.")
    if suite.config.protocol == "reference":
        remarks.append(
            "The table reference_protocol shows the results under the reference code's protocol (deviations D2, D15)."
        )
    return remarks


def results_listings(suite: Suite) -> Iterator[Listing]:
    """Accuracies of each dataset, radius and kind of network; then those after each stage of composed attacks."""
    config, norm, found = suite.config, NORMS[suite.config.norm], results(suite)
    kinds = dict.fromkeys(spec.kind for spec in config.specs())
    ordered = in_order(found, orders_of(suite) | {"architecture": kinds})
    for (dataset, eps255, kind), mine in groups(ordered, ["dataset", "eps255", "architecture"]):
        yield _results(mine, config.seeds, f"{dataset}, {kind}, {radius_label(eps255)} ({norm})")
    staged = ordered[ordered["stages"].astype(bool)]
    for (dataset, eps255, _), mine in groups(staged, ["dataset", "eps255", "attack"]):
        attack = mine["attack_label"].iloc[0]
        yield _stages(mine, f"{dataset}, {radius_label(eps255)} ({norm}): stages of {attack}")


def _results(found: pd.DataFrame, seeds: int, title: str) -> Listing:
    """Accuracies of one dataset and radius."""
    notes: dict[str, str] = {}
    cells = [
        (
            row["network"],
            method_label(row["method"], row["checkpoint"]),
            accuracy(ends(row, CLEAN)),
            row["attack_label"],
            robust_cell(row, seeds, notes),
        )
        for row in lines_of(found)
    ]
    head, lines = accuracies(cells)
    return Listing(
        title=title,
        caption=f"{sizes_caption(found)} {_SHOWN}",
        head=head,
        lines=lines,
        notes=footnotes(notes),
        words=2,
    )


def accuracies(cells: Iterable[tuple[str, str, str, str, str]]) -> tuple[list[str], list[list[str]]]:
    """Titles and lines of a table from (network, method, clean accuracy, attack, accuracy under it): attacks across."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for network, method, clean, attack, robust in cells:
        found.setdefault((network, method), {"clean": clean})[attack] = robust
    across = list(dict.fromkeys(name for line in found.values() for name in line))
    lines = [[*names, *(line.get(name, EMPTY) for name in across)] for names, line in found.items()]
    return ["network", "method", *across], lines


def _stages(found: pd.DataFrame, title: str) -> Listing:
    """Robust accuracy after each stage of one attack."""
    after = pd.DataFrame(list(found["stages"]), index=found.index)
    return listing_of(
        [
            NETWORK,
            PREDICTOR,
            Column(of="clean_mean", head="clean", text=percent),
            *(Column(of=name, head=name, text=percent) for name in map(str, after)),
        ],
        found.join(after),
        title=title,
        caption="Robust accuracy in percent after each stage of the attack and all earlier stages, mean over seeds; "
        f"n_test = {span_of(found['n_test'])}, seeds = {span_of(found['seeds'])}.",
    )
