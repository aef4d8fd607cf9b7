"""Published suites → their description in the Croissant format."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk import arguments


class Options(arguments.Options):
    """Of the verb ``croissant``."""

    reference: Path = Field(description="folder of published suites, with index.json")
    citation: Path = Field(default=Path("CITATION.cff"), description="title, authors, version and licence")
    out: Path = Field(description="JSON-LD to write, such as results/reference/croissant.json")


def run(options: Options) -> None:
    """Write the description."""
    from advntk.telling.publishing.croissant import write_croissant

    write_croissant(options.reference, options.reference.rglob("*"), options.citation, options.out)
