"""Records → one figure, svg and png."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.SuiteOptions):
    """Of the verb ``plot``."""

    figure: str = Field(description="such as curves, depth, radius or strength")
    out: Path = Field(description="svg to write; a png is written beside it")


def run(options: Options) -> None:
    """Draw the figure."""
    from advntk.telling.figures import write_figure
    from advntk.telling.suite_file import read_suite

    write_figure(options.figure, read_suite(options.suite, allow_mixed=options.allow_mixed), options.out)
