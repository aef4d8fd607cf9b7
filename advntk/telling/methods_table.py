"""The table of methods, as a paper has it: methods down, depths and radii across, the most robust in bold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.foundation.records import Record
from advntk.telling.comparisons import SIGNIFICANCE, Comparison, adjusted, comparisons
from advntk.telling.frames import Row, Suite, attack_settings, rows
from advntk.telling.grid import (
    Cell,
    Grid,
    cell_of,
    footnotes,
    in_parts,
    one_line_title,
    sizes_caption,
    stacked_title,
    told_once,
)
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import csv_text, latex_page, markdown_page

COLUMNS = (
    *("dataset", "architecture", "depth", "attack", "eps255", "method", "checkpoint", "n_test", "seeds"),
    *("clean", "clean_half", "robust", "robust_half", "standing", "p_holm"),
)
BEST, TIED, WORSE = "best", "not significantly different", "worse"
_WIDTH = 140  # characters of a line in Markdown before a grid is split
_TEX_WIDTH = 112

Column = tuple[str, str, str, float]
"""Dataset, network, attack and radius."""
Name = tuple[str, str]
"""Method and checkpoint."""
Place = tuple[Architecture, float]
"""Network and radius: a group of columns."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a method stands in a column.

    Attributes:
        word: best, not significantly different (from the best), or worse.
        p: of the comparison with the best, adjusted over all comparisons of the suite; None for the best itself.
    """

    word: str
    p: float | None


def standings(found: Sequence[Comparison]) -> dict[Column, dict[Name, Standing]]:
    """The standing of every compared method in each column.

    Returns:
        By column, standings by name. Their p are those of the table of comparisons, adjusted over all pairs of the
        suite: they hold whichever method turns out to be the best.
    """
    columns: dict[Column, list[tuple[Comparison, float]]] = {}
    for one, p in adjusted(found):
        columns.setdefault((one.dataset, one.spec.label, one.attack, one.eps255), []).append((one, p))
    return {column: _standings(pairs) for column, pairs in columns.items()}


def _standings(pairs: Sequence[tuple[Comparison, float]]) -> dict[Name, Standing]:
    """Standings of one column: of the methods with the most seeds, all the same; others have none.

    Returns:
        By name; none where no two methods have the same seeds.
    """
    seeds = {name: own for one, _ in pairs for name, own in zip((one.a, one.b), one.own_seeds, strict=True)}
    shared = [own for own in seeds.values() if list(seeds.values()).count(own) > 1]
    most = max(shared, key=lambda own: (len(own), shared.count(own)), default=())
    pairs = [(one, p) for one, p in pairs if one.own_seeds == (most, most)]
    if not pairs:
        return {}
    accuracy = {name: robust for one, _ in pairs for name, robust in zip((one.a, one.b), one.robust, strict=True)}
    best = max(accuracy, key=lambda name: accuracy[name])
    standing = {best: Standing(word=BEST, p=None)}
    for one, p in pairs:
        if best in (one.a, one.b):
            other = one.b if one.a == best else one.a
            standing[other] = Standing(word=WORSE if p <= SIGNIFICANCE else TIED, p=p)
    return standing


def methods_frame(suite: Suite) -> pd.DataFrame:
    """One row for each entry of the table.

    Returns:
        Columns ``COLUMNS``; accuracies and half the widths of their intervals are fractions; ``standing`` is empty
        where a checkpoint is not compared, ``p_holm`` is that of the comparison with the best.
    """
    known = standings(comparisons(suite))
    values = []
    for row in _in_order(suite, rows(suite)):
        standing = known.get(_column(row), {}).get((row.method, row.checkpoint))
        values.append(
            (
                *(row.dataset, row.architecture, row.spec.depth, row.attack, row.eps255, row.method, row.checkpoint),
                *(row.n_test, row.seeds, row.clean[0], _half(row.clean), row.robust[0], _half(row.robust)),
                *((standing.word, standing.p) if standing else ("", None)),
            )
        )
    return pd.DataFrame(values, columns=list(COLUMNS)).astype({"p_holm": float})


def _in_order(suite: Suite, found: Sequence[Row]) -> list[Row]:
    """Rows in the order of the grids: dataset, kind of network and attack; then network and radius."""
    config = suite.config
    kinds = list(dict.fromkeys(spec.kind for spec in config.specs()))
    return sorted(
        found,
        key=lambda row: (
            *(config.datasets.index(row.dataset), kinds.index(row.architecture), config.attacks.index(row.attack)),
            *([spec.label for spec in config.specs()].index(row.spec.label), config.eps255.index(row.eps255)),
        ),
    )


def _column(row: Row) -> Column:
    return row.dataset, row.spec.label, row.attack, row.eps255


def _half(interval: tuple[float, float, float]) -> float:
    return (interval[2] - interval[1]) / 2


def write_methods(suite: Suite, out_csv: str | Path) -> None:
    """Write the table to ``out_csv``, and its grids as ``.md`` and ``.tex`` beside it."""
    path, title = Path(out_csv), f"Methods: suite {suite.config.suite}"
    settings = "; ".join(f"{name} is {text}" for name, text in attack_settings(suite).items())
    head = [f"# {title}", "", *(f"* attack `{name}`: {text}" for name, text in attack_settings(suite).items())]
    grids = [grid.as_markdown(2) for grid in told_once(method_grids(suite))]
    floats = [grid.as_latex(settings) for grid in method_grids(suite, stacked_title, _TEX_WIDTH)]
    files.write_text(path, csv_text(methods_frame(suite)))
    files.write_text(
        path.with_suffix(".md"),
        markdown_page(["\n".join(head) + "\n", *(grids or ["Nothing was measured.\n"])], suite.notes),
    )
    files.write_text(path.with_suffix(".tex"), latex_page(title, floats, suite.notes))


def method_grids(
    suite: Suite, title_of: Callable[[str, str], str] = one_line_title, width: int = _WIDTH
) -> Iterator[Grid]:
    """One grid for each dataset, kind of network and attack, a wide one split by networks and radii."""
    config, found, compared = suite.config, rows(suite), comparisons(suite)
    known = standings(compared)
    for dataset in config.datasets:
        for kind in dict.fromkeys(spec.kind for spec in config.specs()):
            for attack in config.attacks:
                cell = (dataset, kind, attack)
                chosen = [row for row in found if (row.dataset, row.architecture, row.attack) == cell]
                if not chosen:
                    continue
                title = f"{dataset}, {kind}, {chosen[0].attack_label}{_radius(suite)} ({NORMS[config.norm]})"
                caption = _caption(suite, chosen, bold=_in_bold(chosen, known, len(compared)))
                parts = list(_parts(suite, chosen, title_of, width))
                for part in parts:
                    names = [_name_of(place, suite) for place in part]
                    heading = title if len(parts) == 1 else f"{title}: {'; '.join(names)}"
                    yield _grid(suite, heading, caption, part, chosen, known)


def _radius(suite: Suite) -> str:
    """The radius where there is one, for titles; several stand above the columns."""
    return f" at {radius_label(suite.config.eps255[0])}" if len(suite.config.eps255) == 1 else ""


def _name_of(place: Place, suite: Suite) -> str:
    """A group of columns: the network, and the radius where there are several."""
    spec, eps255 = place
    return spec.label if _radius(suite) else f"{spec.label}, {radius_label(eps255)}"


def _parts(
    suite: Suite, chosen: Sequence[Row], title_of: Callable[[str, str], str], width: int
) -> Iterator[Sequence[Place]]:
    """Networks and radii in parts that fit a line."""
    present = {(row.spec.label, row.eps255) for row in chosen}
    config, attack = suite.config, _attack(chosen[0])
    yield from in_parts(
        [(spec, eps255) for spec in config.specs() for eps255 in config.eps255 if (spec.label, eps255) in present],
        lambda place: _name_of(place, suite),
        ("clean", attack),
        [method_label(row.method, row.checkpoint) for row in chosen],
        title_of=title_of,
        width=width,
        bold=(attack,),
    )


def _grid(
    suite: Suite,
    title: str,
    caption: str,
    places: Sequence[Place],
    chosen: Sequence[Row],
    known: Mapping[Column, Mapping[Name, Standing]],
) -> Grid:
    """One printed table of some networks and radii."""
    notes: dict[str, str] = {}
    lines: list[tuple[str, list[Cell | None]]] = []
    by_name: dict[Name, dict[tuple[str, float], Row]] = {}
    for row in chosen:
        by_name.setdefault((row.method, row.checkpoint), {})[row.spec.label, row.eps255] = row
    for name in sorted(by_name, key=lambda name: suite.config.methods.index(name[0])):
        cells: list[Cell | None] = []
        for spec, eps255 in places:
            found = by_name[name].get((spec.label, eps255))
            if found is None:
                cells += [None, None]
                continue
            standing = known.get(_column(found), {}).get(name)
            bold = standing is not None and standing.word != WORSE
            cells.append(cell_of(found.clean, (), notes))
            cells.append(cell_of(found.robust, footnotes(found, suite.config.seeds), notes, bold=bold))
        lines.append((method_label(*name), cells))
    return Grid(
        title=title,
        caption=caption,
        groups=[_name_of(place, suite) for place in places],
        quantities=["clean", _attack(chosen[0])],
        lines=lines,
        notes={mark: text for text, mark in notes.items()},
    )


def _attack(row: Row) -> str:
    """The attack as a column's title; the grid's title has its label in full."""
    return row.attack if row.attack == row.attack_label else f"{row.attack} (outside)"


def _caption(suite: Suite, chosen: Sequence[Row], *, bold: str) -> str:
    """What the numbers are, what is bold, and what a reader must know of the training."""
    what = "Columns other than clean: robust accuracy, correct without the attack that the column names and under it."
    return " ".join([sizes_caption(chosen), what, bold, *_remarks(suite, chosen)])


def _in_bold(chosen: Sequence[Row], known: Mapping[Column, Mapping[Name, Standing]], tests: int) -> str:
    """What is set in bold, in words."""
    if not any(known.get(_column(row)) for row in chosen):
        inside = chosen[0].attack_label == chosen[0].attack
        several = len({row.method for row in chosen}) > 1
        why = "no two methods have the same seeds" if several else "there is one method"
        return f"Nothing is set in bold: {why if inside else 'this attack may leave the threat model'}."
    fewer = (
        " A method with fewer seeds than others of its column is never in bold; the table comparisons compares it on "
        "the seeds that both have."
    )
    return (
        "Bold: the highest robust accuracy of a column, and every method not significantly different from it on the "
        f"same images of the same seeds at {SIGNIFICANCE:g}, p adjusted by Holm over all {tests} comparisons of the "
        "suite (see the table comparisons for them, and for what p is). Networks are compared at the checkpoint best "
        "on val, Adv-NTK at its last step; the other checkpoint is shown beside it and never in bold."
        f"{fewer if len({row.seeds for row in chosen}) > 1 else ''}"
    )


def _remarks(suite: Suite, chosen: Sequence[Row]) -> list[str]:
    """What is unequal between methods, or is beyond the usual protocol."""
    remarks, dataset = [], chosen[0].dataset
    groups: dict[str, dict[str, None]] = {}
    for item in suite.measured:
        if item.record.dataset == dataset:
            groups.setdefault(trained_on(item.record), {})[method_label(item.record.method)] = None
    if len(groups) > 1:
        words = "; ".join(f"{', '.join(methods)} on {images}" for images, methods in groups.items())
        remarks.append(f"Methods were trained on different data (deviation D7): {words}.")
    if suite.config.protocol == "reference":
        remarks.append(
            "What the reference code's protocol gives instead (deviations D2, D15): table reference_protocol."
        )
    return remarks


def trained_on(record: Record) -> str:
    """The images that a method was trained on, in words; a table of methods that differ in it says so."""
    return f"{record.n_train} images" + (" (opt and val)" if record.images == "all" else "")
