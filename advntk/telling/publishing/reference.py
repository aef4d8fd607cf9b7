"""The list of reference results, ``index.json``: which suites are published, and which are kept as tables only."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed
from advntk.foundation.records import as_model

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
    """Read the list in a folder.

    Returns:
        The list.

    Raises:
        InputError: there is none, or it is not of its schema.
    """
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
    published = known.published if suite in known.published else [*known.published, suite]
    kept = [one for one in known.kept if one.suite != suite]
    outdated = {name: why for name, why in known.outdated.items() if name != suite}
    content = Reference(published=published, kept=kept, outdated=outdated).model_dump(mode="json")
    files.write_json(folder / INDEX, {"schema": SCHEMA, **content})
