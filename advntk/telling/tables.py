"""The tables: their registry, and the table of results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from advntk.foundation import files
from advntk.foundation.errors import ConfigError, nearest
from advntk.telling import comparisons, cost, frames, methods_table, protocol, training
from advntk.telling.frames import (
    CLEAN,
    attack_settings,
    ends,
    footnotes,
    in_order,
    orders_of,
    results,
    robust_cell,
    sizes_caption,
    span_of,
)
from advntk.telling.kinds import kinds
from advntk.telling.labels import NORMS, method_label, named, radius_label
from advntk.telling.listing import (
    EMPTY,
    NOTHING,
    Column,
    Listing,
    Table,
    accuracy,
    captioned_once,
    csv_text,
    groups,
    latex_page,
    lines_of,
    listing_of,
    percent,
)
from advntk.telling.suite_file import Suite


def write_table(name: str, suite: Suite, out_csv: str | Path) -> None:
    """Write a table as csv, and as md and tex beside it.

    Args:
        name: one of ``TABLES``.
        suite: what was measured.
        out_csv: path of the csv file; accuracies are fractions there, six digits.

    Raises:
        ConfigError: there is no such table.
    """
    if name not in TABLES:
        hint = nearest(name, TABLES)
        raise ConfigError(f"unknown table '{name}'{hint}", where="tables", remedy=f"allowed: {', '.join(TABLES)}")
    table, path = TABLES[name], Path(out_csv)
    title, listings = f"{table.title}: suite {suite.config.suite}", list(table.listings(suite))
    attacks = [f"attack `{attack}`: {text}" for attack, text in attack_settings(suite).items()]
    markdown = [
        f"# {title}\n",
        *(["".join(f"* {attack}\n" for attack in attacks)] if attacks else []),
        *([listing.as_markdown(2) for listing in captioned_once(listings)] or [NOTHING]),
        *(f"* **{note}**\n" for note in suite.notes),
    ]
    files.write_text(path, csv_text(table.frame(suite)))
    files.write_text(path.with_suffix(".md"), "\n".join(markdown))
    below = [*(f"{attack}." for attack in attacks), *(f"**{note}**" for note in suite.notes)]
    files.write_text(path.with_suffix(".tex"), latex_page(title, listings, below))


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
        caption=f"{sizes_caption(found)} Columns after clean: accuracy under the attack that the column names, on "
        "images that are classified correctly without it too.",
        head=head,
        lines=lines,
        notes=footnotes(notes),
        words=2,
    )


def accuracies(cells: Iterable[tuple[str, str, str, str, str]]) -> tuple[list[str], list[list[str]]]:
    """Networks and methods down, attacks across.

    Args:
        cells: network, method, clean accuracy, attack, and accuracy under it, as they are printed.

    Returns:
        Titles and lines of a table.
    """
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
            Column(of="network", head="network", words=True),
            Column(of=("method", "checkpoint"), head="method", text=named, words=True),
            Column(of="clean_mean", head="clean", text=percent),
            *(Column(of=name, head=name, text=percent) for name in map(str, after)),
        ],
        found.join(after),
        title=title,
        caption="Robust accuracy in percent after each stage of the attack and all stages before it, mean over seeds; "
        f"n_test = {span_of(found['n_test'])}, seeds = {span_of(found['seeds'])}.",
    )


TABLES = {
    "methods": Table("Methods", methods_table.COLUMNS, methods_table.standing, methods_table.method_listings),
    "robust_accuracy": Table("Clean and robust accuracy", frames.COLUMNS, results, results_listings),
    "comparisons": Table(
        "Which method is more robust",
        comparisons.COLUMNS,
        comparisons.comparisons,
        comparisons.comparison_listings,
    ),
    "overfitting": Table("Robust overfitting", training.COLUMNS, training.overfitting, training.overfitting_listings),
    "cost": Table("Cost", cost.COLUMNS, cost.cost, cost.cost_listings),
    "reference_protocol": Table(
        "The reference code's protocol", protocol.COLUMNS, protocol.protocols, protocol.protocol_listings
    ),
} | {name: table for kind in kinds().values() for name, table in kind.tables.items()}
