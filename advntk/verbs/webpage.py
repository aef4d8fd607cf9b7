"""A suite → one page for a browser: findings, tables that sort and filter, figures, warnings, provenance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.step import Paths, Step, Wildcards, collected, steps
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.SuiteOptions):
    """Of the verb ``webpage``."""

    figures: list[Path] = Field(
        default=[], description="figures of the suite as svg, from rule plot (default: they are drawn)"
    )
    out: Path = Field(description="html to write; it needs no other file and no network")


def run(options: Options) -> None:
    """Write the page."""
    from advntk.telling.suite_page import write_suite_page

    write_suite_page(options.suite, options.out, figures=options.figures, allow_mixed=options.allow_mixed)


def _inputs(suite: Suite, job: Wildcards) -> Paths:
    """What tables read, and the figures."""
    plot = steps()["plot"]
    return {**collected(suite, job), "figures": [plot.path(suite, each) for each in plot.jobs(suite)]}


STEPS = (
    Step(
        name="webpage",
        options=Options,
        stack="telling",
        job="page",
        outputs={"html": "{root}/index.html"},
        jobs=lambda suite: ({},),
        inputs=_inputs,
        given=lambda suite, job: {"allow_mixed": suite.config.allow_mixed},
        roots=_cells.reporting_code("advntk.telling.suite_page"),
        need=lambda resources, job: resources.told(),
    ),
)
