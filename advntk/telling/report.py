"""All tables and figures, by name."""

from __future__ import annotations

from pathlib import Path

from advntk.foundation import files
from advntk.foundation.errors import ConfigError, nearest
from advntk.telling import accuracy_tables, comparisons, cost, frames, protocol, training
from advntk.telling.accuracy_figures import depth, radius
from advntk.telling.contents import Suite
from advntk.telling.frames import attack_settings
from advntk.telling.kinds import kinds
from advntk.telling.kinds.findings import figures
from advntk.telling.layout import Picture, save, style
from advntk.telling.listing import NOTHING, Table, captioned_once, csv_text, latex_page
from advntk.telling.training import curves, overfitting, overfitting_figure


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


TABLES = {
    "methods": Table("Methods", accuracy_tables.COLUMNS, accuracy_tables.standing, accuracy_tables.method_listings),
    "robust_accuracy": Table(
        "Clean and robust accuracy", frames.COLUMNS, frames.results, accuracy_tables.results_listings
    ),
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


def _several_depths(suite: Suite) -> bool:
    specs = suite.config.specs()
    return any(a.kind == b.kind and a.depth != b.depth for a in specs for b in specs)


PICTURES: dict[str, Picture] = {
    "curves": Picture(title="accuracy along training", wanted=lambda suite: bool(suite.curves), draw=curves),
    "depth": Picture(title="accuracy over depth", wanted=_several_depths, draw=depth),
    "overfitting": Picture(
        title="robust overfitting",
        wanted=lambda suite: not overfitting(suite).empty,
        draw=overfitting_figure,
    ),
    "radius": Picture(title="accuracy over the radius", wanted=lambda suite: len(suite.config.eps255) > 1, draw=radius),
} | {name: picture for kind in kinds().values() for name, picture in kind.figures.items()}
FIGURES = {name: picture.draw for name, picture in PICTURES.items()}


def write_figure(name: str, suite: Suite, out_svg: str | Path) -> None:
    """Draw a figure and write it as svg, and as png beside it.

    Args:
        name: one of ``FIGURES``, or ``theory_NAME`` of an experiment that the suite ran.
        suite: what was measured.
        out_svg: path of the svg file.

    Raises:
        ConfigError: there is no such figure.
    """
    known = FIGURES | figures(suite)
    if name not in known:
        raise ConfigError(
            f"unknown figure '{name}'{nearest(name, known)}", where="figures", remedy=f"allowed: {', '.join(known)}"
        )
    with style():
        save(known[name](suite), out_svg)
