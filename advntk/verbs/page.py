"""Published suites → one page of results with its figures."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk import arguments
from advntk.verbs import _options


class Options(arguments.Options):
    """Of the verb ``page``."""

    reference: Path = Field(description="folder of published suites, with index.json")
    out: Path = Field(description="page (md) to write; figures/results_*.png go beside it")
    allow_mixed: bool = Field(default=False, description=_options.MIXED)


def run(options: Options) -> None:
    """Write the page."""
    from advntk.telling.pages import write_page

    write_page(options.reference, options.out, allow_mixed=options.allow_mixed)
