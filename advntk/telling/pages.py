"""Tables that commands write into pages, between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advntk.foundation import files
from advntk.foundation.errors import InputError


def write_between(path: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between ``<!-- name:begin -->`` and ``<!-- name:end -->``; the rest of the page stays.

    Raises:
        InputError: there is no such page, or it has no such markers.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("file not found", where=path, remedy="check the path") from error
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise InputError("no place for the table", where=path, remedy=f"put the lines {begin} and {end} into it")
    files.write_text(path, "\n".join([f"{before}{begin}", "", *lines, "", f"{end}{after}"]))
