"""Results of which only tables are kept: a page shows their table of results from its CSV."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from advntk.foundation.errors import InputError
from advntk.telling.frames import COLUMNS
from advntk.telling.labels import OUTSIDE, method_label, radius_label
from advntk.telling.listing import EMPTY, aligned
from advntk.telling.reference import Kept

_TABLE = "robust_accuracy"
_OUTSIDE = ("reference_fixed_gradient",)
"""Attacks that may leave the ball. Tables do not tell the norm, and in ℓ2 and ℓ1 the largest entry does not tell it."""


def kept_results(one: Kept, reference: Path, link: str, outdated: str = "") -> str:
    """The section of one suite in Markdown: what made it, its table of results, and links to all that is kept.

    Args:
        one: what is kept.
        reference: folder of reference results.
        link: the same, as the page sees it.
        outdated: why the suite has to be run again, if it has.

    Returns:
        Markdown.
    """
    tables = ", ".join(f"[{table}]({link}/{one.suite}/{table}.csv)" for table in one.tables)
    parts = [
        f"### {one.suite}\n",
        *([f"**To be run again:** {outdated}\n"] if outdated else []),
        f"Made by `{one.command}`. Kept: {tables}.\n",
    ]
    if _TABLE in one.tables:
        parts += _results(_read(reference / one.suite / f"{_TABLE}.csv"))
    return "\n".join(parts)


def _results(frame: pd.DataFrame) -> Iterator[str]:
    """A table for each dataset and radius: networks and methods down, attacks across."""
    left = frame["attack"].isin(_OUTSIDE) | (frame["max_linf255"] > 1.01 * frame["eps255"])
    outside = set(frame.loc[left, "attack"])
    for (dataset, eps255), rows in frame.groupby(["dataset", "eps255"], sort=False):
        attacks = list(dict.fromkeys(rows["attack"]))
        cells: dict[tuple[str, str], dict[str, str]] = {}
        for row in rows.to_dict("records"):
            name = f"{row['architecture']}, depth {row['depth']}", method_label(row["method"], row["checkpoint"])
            own = cells.setdefault(name, {"": _percent(row, "clean")})
            own[row["attack"]] = _percent(row, "robust")
        sizes = "; ".join(
            f"{name} = {', '.join(str(value) for value in dict.fromkeys(rows[name]))}"
            for name in ("n_test", "n_train", "seeds")
        )
        titles = [f"{attack} ({OUTSIDE})" if attack in outside else attack for attack in attacks]
        interval = "± half the width of the 95% interval"
        yield f"{dataset}, {radius_label(float(str(eps255)))}: percent, {interval}; {sizes}.\n"
        lines = [[*name, *(own.get(column, EMPTY) for column in ("", *attacks))] for name, own in cells.items()]
        yield "\n".join(aligned(["network", "method", "clean", *titles], lines, words=2)) + "\n"


def _percent(row: Mapping[Hashable, Any], kind: str) -> str:
    return f"{100 * row[f'{kind}_mean']:.1f} ± {50 * (row[f'{kind}_hi'] - row[f'{kind}_lo']):.1f}"


def _read(path: Path) -> pd.DataFrame:
    """A table of results as it was kept.

    Returns:
        Its rows.

    Raises:
        InputError: missing, or not such a table.
    """
    remedy = "restore it from version control"
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"not a readable CSV file ({error})", where=path, remedy=remedy) from error
    if "n_opt" in frame.columns and "n_train" not in frame.columns:
        frame["n_train"] = frame["n_opt"]  # before there was a difference
    if "unconverged" not in frame.columns:
        frame["unconverged"] = ""  # older than the checks of convergence
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise InputError(f"lacks column(s) {', '.join(missing)}", where=path, remedy=remedy)
    return frame
