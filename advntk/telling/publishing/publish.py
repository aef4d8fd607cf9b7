"""Publishing: a suite as a few small files, from which every table and figure follows, and the list of such suites."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding
from advntk.foundation.options import Closed
from advntk.foundation.records import as_model
from advntk.telling.contents import Suite
from advntk.telling.listing import csv_text
from advntk.telling.publishing.packed import write_packed
from advntk.telling.report import TABLES

SCHEMA = "advntk-reference-1"
INDEX = "index.json"


class Kept(Closed):
    """Tables of a suite whose records are gone.

    Attributes:
        suite: its name, and that of its folder.
        command: that computed it.
        tables: names of CSV files in the folder.
    """

    suite: str
    command: str
    tables: list[str]


class Reference(Closed):
    """What ``index.json`` lists; a folder beside it each.

    Attributes:
        published: suites, in the order in which a page shows them.
        kept: older ones of which tables are left.
        outdated: why a published suite has to be run again, by its name; its page says so.
    """

    published: list[str]
    kept: list[Kept]
    outdated: dict[str, str] = Field(default_factory=dict)


def read_reference(folder: Path) -> Reference:
    """Read the list in a folder; one that is missing or of another schema is an ``InputError``."""
    path = folder / INDEX
    if not path.is_file():
        raise InputError("file not found", where=path, remedy="publish a suite into this folder first")
    content = files.read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"not a list of schema {SCHEMA}", where=path, remedy="restore it from version control")
    own = {key: value for key, value in content.items() if key != "schema"}
    return as_model(own, Reference, f"list of schema {SCHEMA}", where=path)


def add_published(folder: Path, suite: str) -> None:
    """Add a published suite to the list in a folder, which is made if there is none."""
    known = read_reference(folder) if (folder / INDEX).is_file() else Reference(published=[], kept=[])
    content = Reference(
        published=list(dict.fromkeys([*known.published, suite])),
        kept=[one for one in known.kept if one.suite != suite],
        outdated={name: why for name, why in known.outdated.items() if name != suite},
    )
    files.write_json(folder / INDEX, {"schema": SCHEMA, **content.model_dump(mode="json")})


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
    overlay = overlay_of(name)
    default = "snakemake --cores all" + (f" --configfile {overlay}" if overlay else "")
    written = write_packed(out, replace(suite, command=command or suite.command or default))
    for table, entry in TABLES.items():
        frame = entry.frame(suite)
        if not frame.empty:
            files.write_text(out / f"{table}.csv", csv_text(frame))
            written.append(out / f"{table}.csv")
    add_published(out.parent, name)
    return written


def overlay_of(name: str) -> Path | None:
    """The file that a suite is taken to be of: quick is the default configuration, every other has one of its name."""
    return None if name == "quick" else Path("suites", f"{name}.yaml")
