"""Records → one table, csv, md and tex."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.SuiteOptions):
    """Of the verb ``tabulate``."""

    table: str = Field(default="robust_accuracy", description="such as methods, robust_accuracy, comparisons or cost")
    out: Path = Field(description="csv to write; .md and .tex go beside it")


def run(options: Options) -> None:
    """Write the table."""
    from advntk.telling.suite_file import read_suite
    from advntk.telling.tables import write_table

    write_table(options.table, read_suite(options.suite, allow_mixed=options.allow_mixed), options.out)
