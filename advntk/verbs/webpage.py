"""A suite → one page for a browser: findings, tables that sort and filter, figures, warnings, provenance."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.step import Step, collected
from advntk.verbs import _cells, _options


class Options(_options.SuiteOptions):
    """Of the verb ``webpage``."""

    out: Path = Field(description="html to write; it needs no other file and no network")


def run(options: Options) -> None:
    """Write the page."""
    from advntk.telling.suite_page import write_suite_page

    write_suite_page(options.suite, options.out, allow_mixed=options.allow_mixed)


STEPS = (
    Step(
        name="webpage",
        options=Options,
        stack="telling",
        job="page",
        outputs={"html": "{root}/index.html"},
        jobs=lambda suite: ({},),
        inputs=collected,
        given=lambda suite, job: {"allow_mixed": suite.config.allow_mixed},
        roots=_cells.reporting_code("advntk.telling.suite_page"),
        need=lambda resources, job: resources.told(),
    ),
)
