"""Findings of a suite's experiments → the page of the theory with its figures."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.SuiteOptions):
    """Of the verb ``theory-page``."""

    out: Path = Field(description="page (md) to write; figures/theory_*.png go beside it")


def run(options: Options) -> None:
    """Write the page."""
    from advntk.telling.pages import write_theory_page

    write_theory_page(options.suite, options.out, allow_mixed=options.allow_mixed)
