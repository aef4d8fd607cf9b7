"""Publishing: a suite as a few small files, from which every table and figure can be made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding
from advntk.telling.listing import csv_text
from advntk.telling.publishing.packed import Packed, write_packed
from advntk.telling.publishing.reference import add_published
from advntk.telling.suite_file import Measured, Suite
from advntk.telling.tables import TABLES


def publish(suite: Suite, out: Path, *, command: str = "") -> list[Path]:
    """Write a suite into a folder (csv and json only) and add it to the list of reference results beside the folder.

    Args:
        suite: what was measured.
        out: the folder; its name is the suite's.
        command: what made the suite; by default that of its suite file in ``suites``, or what was published before.

    Returns:
        The files in the folder.

    Raises:
        InputError: the folder has another name, a file would be too large, or nothing was measured.
    """
    name = suite.config.suite
    if out.name != name:
        raise InputError(f"suite '{name}' in a folder of another name", where=out, remedy=f"use {out.parent / name}")
    if not (suite.measured or suite.of(Finding)):
        raise InputError("nothing was measured", where=name, remedy="run the suite first")
    packed = Packed(
        command=command or suite.command or _command(name),
        config=suite.config,
        accepted=suite.accepted,
        records=[(item.path, item.record, _outcomes(item)) for item in suite.measured],
        curves=suite.curves,
        results=suite.results,
    )
    written = write_packed(out, packed)
    for table, entry in TABLES.items():
        frame = entry.frame(suite)
        if not frame.empty:
            files.write_text(out / f"{table}.csv", csv_text(frame))
            written.append(out / f"{table}.csv")
    add_published(out.parent, name)
    return written


def _outcomes(item: Measured) -> dict[str, np.ndarray]:
    """Outcomes under the names that an evaluation gives them."""
    kinds = {"clean": item.clean, "robust": item.robust}
    return {f"{checkpoint}.{kind}": outcome for kind, own in kinds.items() for checkpoint, outcome in own.items()}


def overlay_of(name: str) -> Path | None:
    """The file that a suite is taken to be of: quick is the default configuration, every other has one of its name."""
    return None if name == "quick" else Path("suites", f"{name}.yaml")


def _command(name: str) -> str:
    overlay = overlay_of(name)
    return "snakemake --cores all" + (f" --configfile {overlay}" if overlay else "")
