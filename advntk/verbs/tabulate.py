"""Records → one table, csv, md and tex."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.step import Step, collected, tables
from advntk.verbs import _cells, _options


class Options(_options.SuiteOptions):
    """Of the verb ``tabulate``."""

    table: str = Field(default="robust_accuracy", description="such as methods, robust_accuracy, comparisons or cost")
    out: Path = Field(description="csv to write; .md and .tex go beside it")


def run(options: Options) -> None:
    """Write the table."""
    from advntk.telling.report import write_table
    from advntk.telling.suite_file import read_suite

    write_table(options.table, read_suite(options.suite, allow_mixed=options.allow_mixed), options.out)


STEPS = (
    Step(
        name="tabulate",
        options=Options,
        stack="telling",
        job="{table}",
        outputs={ext: f"{{root}}/tables/{{table}}.{ext}" for ext in ("csv", "md", "tex")},
        jobs=lambda suite: ({"table": name} for name in tables(suite)),
        inputs=collected,
        given=lambda suite, job: {"table": job["table"], "allow_mixed": suite.config.allow_mixed},
        roots=_cells.reporting_code("advntk.telling.report"),
        need=lambda resources, job: resources.told(),
    ),
)
