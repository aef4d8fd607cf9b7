"""``bench runs``: where the time of real fits went, as a table between two markers of a page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advntk.bench.page import markdown, write_between
from advntk.foundation.errors import InputError

if TYPE_CHECKING:
    from advntk.foundation.records import Record

ABOUT = """\
Write into a page what fits took, from their files: the seconds of the Gram matrix and of each part of the training,
and the largest resident memory. A folder holds gram.json and fit.json as a suite or the verbs gram and fit left them,
and may hold the record of an evaluation, record.json. Steps are those that the fit's last process timed; fewer than 50
are also told for 50, extrapolated. The table goes between the lines '<!-- runs:begin -->' and '<!-- runs:end -->'.

  advntk bench runs results/reference/runs/* --into docs/performance.md
"""

WORDS = {"rows": "rows written", "into": "page"}

STEPS = 50
PHASES = ("solve", "attack", "gradient")
HEAD = ("fit", "n", "Gram, s", "steps", *(f"{phase}, s" for phase in PHASES), "Gram + steps, s", "peak RSS, MiB")
HEAD += ("clean / robust",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this verb."""
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="with gram.json and fit.json")
    parser.add_argument("--into", type=Path, required=True, help="page with the two markers")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Write the table.

    Returns:
        Rows and page.
    """
    rows = [row for folder in args.folders for row in rows_of(folder)]
    write_between(args.into, "runs", markdown(HEAD, rows))
    return {"rows": len(rows), "into": str(args.into)}


def rows_of(folder: Path) -> list[tuple[str, ...]]:
    """One row for the fit in a folder, and one for ``STEPS`` steps if it had fewer.

    Returns:
        Cells as text.

    Raises:
        InputError: a file is missing or not of an Adv-NTK fit.
    """
    from advntk.foundation import files
    from advntk.foundation.records import read_record

    gram, fit = files.read_json(folder / "gram.json"), files.read_json(folder / "fit.json")
    record = read_record(folder / "record.json") if (folder / "record.json").exists() else None
    try:
        gram_s = gram["timing"]["wall_s"] + gram["timing"].get("parts_s", 0.0)
        steps = int(fit["timing"].get("timed_steps", fit["options"]["steps"]))
        phases = [fit["timing"][f"{phase}_s"] for phase in PHASES]
        peak = max(gram["timing"]["peak_mb"], fit["timing"]["peak_mb"])
        spec = fit["architecture"]
        name, n = f"{fit['dataset']} {spec['family']}-{spec['depth']}", gram["n"]
    except (KeyError, TypeError) as error:
        raise InputError(f"no {error} in it", where=folder, remedy="give files of the verbs gram and fit") from error
    shown = (name, f"{n:,}", f"{gram_s:.0f}")
    row = (*shown, str(steps), *map(_seconds, [*phases, gram_s + sum(phases)]), f"{peak:,.0f}", _accuracy(record))
    if steps >= STEPS:
        return [row]
    whole = [STEPS / steps * seconds for seconds in phases]
    told = (*map(_seconds, [*whole, gram_s + sum(whole)]), "", "")
    return [row, (*shown, f"{STEPS}, extrapolated", *told)]


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _accuracy(record: Record | None) -> str:
    """Clean and robust accuracy of a record's first checkpoint in percent, with the attack's name."""
    if record is None:
        return ""
    found = next(iter(record.evaluations.values()))
    clean, robust = 100 * found.clean_accuracy, 100 * found.robust_accuracy
    attack = f"{record.attack.name}, ε = {record.threat.eps255:g}/255, {found.n_test:,} images"
    return f"{clean:.1f}% / {robust:.1f}% ({attack})"
