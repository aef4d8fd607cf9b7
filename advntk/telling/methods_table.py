"""The table of methods, as a paper has it: methods down, depths and radii across, the most robust in bold."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from advntk.foundation.records import Record
from advntk.telling.comparisons import SIGNIFICANCE, Comparison, comparisons
from advntk.telling.frames import Row, footnotes, robust_cell, rows, sizes_caption
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import EMPTY, Column, Listing, accuracy, csv_frame
from advntk.telling.suite_file import Suite

BEST, TIED, WORSE = "best", "not significantly different", "worse"
_ACROSS = 4  # networks and radii side by side


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row of the table of results and where it stands among those of its dataset, network, attack and radius.

    Attributes:
        standing: best, not significantly different (from the best), or worse; empty where it is not compared.
        p_holm: of the comparison with the best, adjusted over all comparisons of the suite; None for the best itself.
    """

    row: Row
    standing: str
    p_holm: float | None

    @property
    def bold(self) -> bool:
        """Whether it is set in bold."""
        return self.standing in (BEST, TIED)


def _half(interval: tuple[float, float, float]) -> float:
    return (interval[2] - interval[1]) / 2


COLUMNS = (
    *(Column(name, f"row.{name}") for name in ("dataset", "architecture")),
    Column("depth", "row.spec.depth"),
    *(Column(name, f"row.{name}") for name in ("attack", "eps255", "method", "checkpoint", "n_test", "seeds")),
    Column("clean", lambda one: one.row.clean[0]),
    Column("clean_half", lambda one: _half(one.row.clean)),
    Column("robust", lambda one: one.row.robust[0]),
    Column("robust_half", lambda one: _half(one.row.robust)),
    Column("standing"),
    Column("p_holm"),
)


def standings(found: Sequence[Comparison]) -> dict[tuple[str, str], tuple[str, float | None]]:
    """Standings from the comparisons of one dataset, network, attack and radius.

    Only methods with the most seeds, all the same, have one. The p are those of the table of comparisons, adjusted
    over all pairs of the suite: they hold whichever method turns out to be the best.

    Returns:
        Standing and p by method and checkpoint; none where no two methods have the same seeds.
    """
    seeds = {name: own for one in found for name, own in zip((one.a, one.b), one.own_seeds, strict=True)}
    shared = [own for own in seeds.values() if list(seeds.values()).count(own) > 1]
    most = max(shared, key=lambda own: (len(own), shared.count(own)), default=())
    pairs = [one for one in found if one.own_seeds == (most, most)]
    robust = {name: mean for one in pairs for name, mean in zip((one.a, one.b), one.robust, strict=True)}
    best = max(robust, key=lambda name: robust[name], default=("", ""))
    with_best = [one.seen_from(best[0]) for one in pairs if best in (one.a, one.b)]
    others = {one.b: (WORSE if one.significant else TIED, one.p_holm) for one in with_best}
    return {best: (BEST, None), **others} if pairs else {}


def entries(suite: Suite, compared: Sequence[Comparison]) -> list[Entry]:
    """All entries, in the order of the printed tables: dataset, kind of network and attack; then network and radius."""
    config, found = suite.config, dict[tuple[str, str, str, float], list[Comparison]]()
    for one in compared:
        found.setdefault((one.dataset, one.spec.label, one.attack, one.eps255), []).append(one)
    known = {place: standings(mine) for place, mine in found.items()}
    specs = config.specs()
    kinds, networks = list(dict.fromkeys(spec.kind for spec in specs)), [spec.label for spec in specs]

    def position(row: Row) -> tuple[int, ...]:
        where = (config.datasets.index(row.dataset), kinds.index(row.architecture), config.attacks.index(row.attack))
        return (*where, networks.index(row.spec.label), config.eps255.index(row.eps255))

    result = []
    for row in sorted(rows(suite), key=position):
        own = known.get((row.dataset, row.spec.label, row.attack, row.eps255), {})
        standing, p_holm = own.get((row.method, row.checkpoint), ("", None))
        result.append(Entry(row=row, standing=standing, p_holm=p_holm))
    return result


def methods_frame(suite: Suite) -> pd.DataFrame:
    """One row for each entry: ``COLUMNS``; accuracies and half the widths of their intervals are fractions."""
    return csv_frame(COLUMNS, entries(suite, comparisons(suite))).astype({"p_holm": float})


def method_listings(suite: Suite) -> Iterator[Listing]:
    """Printed tables of each dataset, kind of network and attack, a few networks and radii in each."""
    config, compared = suite.config, comparisons(suite)
    for _, group in itertools.groupby(
        entries(suite, compared), key=lambda one: (one.row.dataset, one.row.architecture, one.row.attack)
    ):
        chosen = list(group)
        first = chosen[0].row
        radius = f" at {radius_label(config.eps255[0])}" if len(config.eps255) == 1 else ""
        title = f"{first.dataset}, {first.architecture}, {first.attack_label}{radius} ({NORMS[config.norm]})"
        caption = _caption(suite, chosen, len(compared))
        places = list(dict.fromkeys((one.row.spec.label, one.row.eps255) for one in chosen))
        parts = [places[start : start + _ACROSS] for start in range(0, len(places), _ACROSS)]
        for part in parts:
            groups = {
                (network, eps255): network if radius else f"{network}, {radius_label(eps255)}"
                for network, eps255 in part
            }
            heading = title if len(parts) == 1 else f"{title}: {'; '.join(groups.values())}"
            yield _listing(suite, chosen, groups, title=heading, caption=caption)


def _listing(
    suite: Suite, chosen: Sequence[Entry], groups: Mapping[tuple[str, float], str], *, title: str, caption: str
) -> Listing:
    """Methods down; clean and robust accuracy of some networks and radii, whose titles are ``groups``, across."""
    notes: dict[str, str] = {}
    lines: dict[tuple[str, str], dict[tuple[str, float], list[str]]] = {}
    for one in chosen:
        row = one.row
        line, place = lines.setdefault((row.method, row.checkpoint), {}), (row.spec.label, row.eps255)
        if place in groups:
            line[place] = [accuracy(row.clean), robust_cell(row, suite.config.seeds, notes, bold=one.bold)]
    first = chosen[0].row
    attack = first.attack if first.attack == first.attack_label else f"{first.attack} (outside)"
    return Listing(
        title=title,
        caption=caption,
        head=["method", *((group, quantity) for group in groups.values() for quantity in ("clean", attack))],
        lines=[
            [method_label(*name), *(cell for place in groups for cell in lines[name].get(place, [EMPTY, EMPTY]))]
            for name in sorted(lines, key=lambda name: suite.config.methods.index(name[0]))
        ],
        notes=footnotes(notes),
    )


def _caption(suite: Suite, chosen: Sequence[Entry], tests: int) -> str:
    """What the numbers are, what is bold, and what a reader must know of the training."""
    what = "Columns other than clean: robust accuracy, correct without the attack that the column names and under it."
    shown = [one.row for one in chosen]
    return " ".join([sizes_caption(shown), what, _in_bold(chosen, tests), *_remarks(suite, shown[0].dataset)])


def _in_bold(chosen: Sequence[Entry], tests: int) -> str:
    """What is set in bold, in words."""
    if not any(one.standing for one in chosen):
        first = chosen[0].row
        several = len({one.row.method for one in chosen}) > 1
        why = "no two methods have the same seeds" if several else "there is one method"
        outside = first.attack_label != first.attack
        return f"Nothing is set in bold: {'this attack may leave the threat model' if outside else why}."
    several = len({one.row.seeds for one in chosen}) > 1
    fewer = " A method with fewer seeds than others of its column is never bold." if several else ""
    return (
        "Bold: the highest robust accuracy of a column, and every method not significantly different from it on the "
        f"same images of the same seeds at {SIGNIFICANCE:g}, p adjusted by Holm over all {tests} comparisons of the "
        "suite (table comparisons). Networks are compared at the checkpoint best on val, Adv-NTK at its last step; the "
        f"other checkpoint is never bold.{fewer}"
    )


def _remarks(suite: Suite, dataset: str) -> list[str]:
    """What is unequal between methods, or is beyond the usual protocol."""
    remarks = []
    groups: dict[str, dict[str, None]] = {}
    for item in suite.measured:
        if item.record.dataset == dataset:
            groups.setdefault(_trained_on(item.record), {})[method_label(item.record.method)] = None
    if len(groups) > 1:
        words = "; ".join(f"{', '.join(methods)} on {images}" for images, methods in groups.items())
        remarks.append(f"Methods were trained on different data (deviation D7): {words}.")
    if suite.config.protocol == "reference":
        remarks.append(
            "What the reference code's protocol gives instead (deviations D2, D15): table reference_protocol."
        )
    return remarks


def _trained_on(record: Record) -> str:
    """The images that a method was trained on, in words."""
    return f"{record.n_train} images" + (" (opt and val)" if record.images == "all" else "")
