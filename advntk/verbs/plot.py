"""Records → one figure, svg and png."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.step import Step, collected, figures
from advntk.verbs import _cells, _options


class Options(_options.SuiteOptions):
    """Of the verb ``plot``."""

    figure: str = Field(description="such as curves, depth, radius or strength")
    out: Path = Field(description="svg to write; a png is written beside it")


def run(options: Options) -> None:
    """Draw the figure."""
    from advntk.telling.report import write_figure
    from advntk.telling.suite_file import read_suite

    write_figure(options.figure, read_suite(options.suite, allow_mixed=options.allow_mixed), options.out)


STEPS = (
    Step(
        name="plot",
        options=Options,
        stack="telling",
        job="{figure}",
        outputs={ext: f"{{root}}/figures/{{figure}}.{ext}" for ext in ("svg", "png")},
        jobs=lambda suite: ({"figure": name} for name in figures(suite)),
        inputs=collected,
        given=lambda suite, job: {"figure": job["figure"], "allow_mixed": suite.config.allow_mixed},
        roots=_cells.reporting_code("advntk.telling.report"),
        need=lambda resources, job: resources.told(),
    ),
)
