"""Records → one JSON file a predictor in RobustBench's field names, and their schema."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.step import Step, collected
from advntk.verbs import _cells, _options


class Options(_options.SuiteOptions):
    """Of the verb ``export``."""

    out: Path = Field(description="folder to write to")


def run(options: Options) -> None:
    """Export the records."""
    from advntk.telling import robustbench
    from advntk.telling.suite_file import read_suite

    robustbench.export(read_suite(options.suite, allow_mixed=options.allow_mixed), options.out)


STEPS = (
    Step(
        name="export",
        options=Options,
        stack="telling",
        job="export",
        outputs={"folder": "{root}/robustbench"},
        jobs=lambda suite: (),  # only where it is asked for
        inputs=collected,
        given=lambda suite, job: {"allow_mixed": suite.config.allow_mixed},
        roots=_cells.reporting_code("advntk.telling.robustbench"),
        need=lambda resources, job: resources.told(),
    ),
)
