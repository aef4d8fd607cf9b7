"""The tables: their registry, and the table of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, nearest
from advntk.telling.claims import claims_frame, write_claims
from advntk.telling.comparisons import comparisons_frame, write_comparisons
from advntk.telling.cost import cost_frame, write_cost
from advntk.telling.frames import Row, Suite, attack_settings, results_frame, rows
from advntk.telling.grid import (
    Cell,
    Grid,
    cell_of,
    footnotes,
    in_parts,
    one_line_title,
    sizes_caption,
    span_of,
    stacked_title,
)
from advntk.telling.labels import NORMS, method_label, radius_label
from advntk.telling.listing import EMPTY, Listing, csv_text, latex_page, markdown_page
from advntk.telling.methods_table import methods_frame, write_methods
from advntk.telling.overfitting import overfitting_frame, write_overfitting
from advntk.telling.protocol import protocol_frame, write_protocol
from advntk.telling.transfer import transfer_frame
from advntk.telling.transfer_table import write_transfer

_WIDTH = 112  # characters of a line before a table is split by architectures


def write_table(name: str, suite: Suite, out_csv: str | Path) -> None:
    """Write a table as csv, and as md and tex beside it.

    Args:
        name: one of ``TABLES``.
        suite: what was measured.
        out_csv: path of the csv file.

    Raises:
        ConfigError: there is no such table.
    """
    if name not in TABLES:
        hint = nearest(name, TABLES)
        raise ConfigError(f"unknown table '{name}'{hint}", where="tables", remedy=f"allowed: {', '.join(TABLES)}")
    TABLES[name].write(suite, out_csv)


def write_robust_accuracy(suite: Suite, out_csv: str | Path) -> None:
    """Write the table of results to ``out_csv``, and the same as ``.md`` and ``.tex`` beside it.

    Args:
        suite: what was measured.
        out_csv: path of the CSV file; fractions, six digits.
    """
    path = Path(out_csv)
    found = rows(suite)
    grids = list(_grids(suite, found, one_line_title))
    files.write_text(path, csv_text(results_frame(suite)))
    files.write_text(path.with_suffix(".md"), _markdown(suite, grids, list(_stage_listings(suite, found))))
    files.write_text(path.with_suffix(".tex"), _latex(suite, list(_grids(suite, found, stacked_title))))


def _grids(suite: Suite, found: Sequence[Row], title_of: Callable[[str, str], str]) -> Iterator[Grid]:
    """All printed tables, a wide one split by networks; ``title_of`` a network and quantity takes the width."""
    config = suite.config
    specs = config.specs()
    for dataset in config.datasets:
        for eps255 in config.eps255:
            chosen = [row for row in found if row.dataset == dataset and row.eps255 == eps255]
            present = [spec for spec in specs if any(row.spec.label == spec.label for row in chosen)]
            title = f"{dataset}, {radius_label(eps255)} ({NORMS[config.norm]})"
            parts = list(_parts(present, chosen, title_of))
            for part in parts:
                labels = [spec.label for spec in part]
                heading = title if len(parts) == 1 else f"{title}: {', '.join(labels)}"
                yield _grid(suite, heading, part, [row for row in chosen if row.spec.label in labels])


def _parts(
    specs: Sequence[Architecture], chosen: Sequence[Row], title_of: Callable[[str, str], str]
) -> Iterator[Sequence[Architecture]]:
    """The networks in parts that fit a line."""
    quantities = ("clean", *{row.attack_label for row in chosen})
    methods = [method_label(row.method, row.checkpoint) for row in chosen]
    yield from in_parts(specs, lambda spec: spec.label, quantities, methods, title_of=title_of, width=_WIDTH)


def _grid(suite: Suite, title: str, specs: Sequence[Architecture], chosen: Sequence[Row]) -> Grid:
    """One printed table of some networks."""
    attacks = {row.attack: row.attack_label for row in chosen}
    attacks = {name: attacks[name] for name in suite.config.attacks if name in attacks}
    notes: dict[str, str] = {}
    lines: list[tuple[str, list[Cell | None]]] = []
    for method in suite.config.methods:
        for checkpoint in dict.fromkeys(row.checkpoint for row in chosen if row.method == method):
            cells: list[Cell | None] = []
            for spec in specs:
                cell = (method, checkpoint, spec.label)
                mine = [row for row in chosen if (row.method, row.checkpoint, row.spec.label) == cell]
                by_attack = {row.attack: row for row in mine}
                cells.append(cell_of(mine[0].clean, (), notes) if mine else None)
                for attack in attacks:
                    row = by_attack.get(attack)
                    cells.append(cell_of(row.robust, footnotes(row, suite.config.seeds), notes) if row else None)
            lines.append((method_label(method, checkpoint), cells))
    return Grid(
        title=title,
        caption=(
            f"{sizes_caption(chosen)} "
            "Columns other than clean: accuracy under the attack that the column names, correct without it too."
        ),
        groups=[spec.label for spec in specs],
        quantities=["clean", *attacks.values()],
        lines=lines,
        notes={mark: text for text, mark in notes.items()},
    )


def _markdown(suite: Suite, grids: Sequence[Grid], stages: Sequence[Listing]) -> str:
    """All tables as Markdown whose columns line up in a terminal."""
    head = [f"# Clean and robust accuracy: suite {suite.config.suite}", ""]
    head += [f"* attack `{name}`: {text}" for name, text in attack_settings(suite).items()]
    if not grids:
        head.append("\nThis suite has no records.")
    parts = [*(grid.as_markdown(2) for grid in grids), *(listing.as_markdown(2) for listing in stages)]
    return markdown_page(["\n".join(head) + "\n", *parts], suite.notes)


def _stage_listings(suite: Suite, found: Sequence[Row]) -> Iterator[Listing]:
    """Robust accuracy after each stage of the attacks that are made of several."""
    config = suite.config
    staged = [row for row in found if row.stages]
    for dataset in config.datasets:
        for eps255 in config.eps255:
            for attack in config.attacks:
                mine = [row for row in staged if (row.dataset, row.eps255, row.attack) == (dataset, eps255, attack)]
                if not mine:
                    continue
                names = list(dict.fromkeys(name for row in mine for name in row.stages))
                yield Listing(
                    title=f"{dataset}, {radius_label(eps255)} ({NORMS[config.norm]}): stages of {mine[0].attack_label}",
                    caption=(
                        "Robust accuracy in percent after each stage of the attack and all stages before it, mean over "
                        f"seeds; n_test = {span_of([row.n_test for row in mine])}, "
                        f"seeds = {span_of([row.seeds for row in mine])}."
                    ),
                    head=["network", "method", "clean", *names],
                    lines=[_stage_line(row, names) for row in mine],
                    words=2,
                )


def _stage_line(row: Row, names: Sequence[str]) -> list[str]:
    accuracies = [f"{100 * row.stages[name]:.1f}" if name in row.stages else EMPTY for name in names]
    return [row.spec.label, method_label(row.method, row.checkpoint), f"{100 * row.clean[0]:.1f}", *accuracies]


def _latex(suite: Suite, grids: Sequence[Grid]) -> str:
    r"""All tables as LaTeX floats to be read with ``\input``."""
    settings = "; ".join(f"{name} is {text}" for name, text in attack_settings(suite).items())
    title = f"Clean and robust accuracy: suite {suite.config.suite}"
    return latex_page(title, [grid.as_latex(settings) for grid in grids], suite.notes)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: all its numbers as a frame, and how it is written (csv, md and tex)."""

    frame: Callable[[Suite], pd.DataFrame]
    write: Callable[[Suite, str | Path], None]


TABLES: dict[str, Table] = {
    "methods": Table(frame=methods_frame, write=write_methods),
    "robust_accuracy": Table(frame=results_frame, write=write_robust_accuracy),
    "comparisons": Table(frame=comparisons_frame, write=write_comparisons),
    "overfitting": Table(frame=overfitting_frame, write=write_overfitting),
    "cost": Table(frame=cost_frame, write=write_cost),
    "transfer": Table(frame=transfer_frame, write=write_transfer),
    "reference_protocol": Table(frame=protocol_frame, write=write_protocol),
    "claims": Table(frame=claims_frame, write=write_claims),
}
