"""Say what a suite takes before it runs: jobs, time, memory and disk by rule and method, and what will not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from advntk.arguments import Flag
from advntk.foundation.threads import available
from advntk.verbs import _options

EPILOG = """\
Times are those of the nearest job of the same kind that was measured, in proportion to the work. Measured are the
suites in results/reference/costs and those whose results are here; 'work over measured' says how far a time was
carried. Nothing is started. 'advntk costs' keeps what a suite took in one file.
"""


class Options(_options.ConfigurationOptions):
    """Of the verb ``plan``."""

    cores: int = Field(default_factory=available, ge=1, description="cores (default: all)")
    memory_mb: int | None = Field(default=None, ge=1, description="memory of one job (default: all of this machine)")
    disk_gb: int | None = Field(default=None, ge=0, description="disk for the results (default: what is free here)")
    hours: int | None = Field(default=None, ge=1, description="what one job may take (default: no limit)")
    into: Path | None = Field(
        default=None,
        description="page (md) for the plan, between <!-- plan:begin/end -->; from results/reference/costs alone",
    )
    markdown: Annotated[bool, Flag(group="form")] = Field(default=False, description="as Markdown")
    json_: Annotated[bool, Flag(group="form")] = Field(default=False, alias="json", description="as one JSON object")


def run(options: Options) -> None:
    """Print the plan, or write it into a page."""
    from advntk.foundation.errors import AdvntkError
    from advntk.planning import plan
    from advntk.planning.config import read_suite
    from advntk.planning.costs import Measurements, committed, read_costs
    from advntk.telling.listing import markdown_table, write_between

    suite = read_suite(options.configfile, options.config)
    measured = committed(Path())
    for path in [] if options.into else sorted(Path(suite.config.results).glob("*/suite.json")):
        try:
            measured.append(read_costs(path))
        except AdvntkError as error:  # of another version, or nothing of it has run
            print(f"note: {error.line()}", file=sys.stderr)
    memory_mb, disk_gb = plan.limits_here(Path(suite.root))
    limits = plan.Limits(
        cores=options.cores,
        memory_mb=memory_mb if options.memory_mb is None else options.memory_mb,
        disk_gb=disk_gb if options.disk_gb is None else options.disk_gb,
        hours=options.hours,
    )
    made = plan.plan(suite, Measurements(measured), limits)
    rows = [line.row for line in made.lines]
    page = [*markdown_table(plan.HEAD, rows).splitlines(), "", *(f"* {sentence}" for sentence in made.verdicts())]
    if options.into:
        write_between(options.into, "plan", page)
    elif options.json_:
        print(json.dumps(made.as_json(), allow_nan=False))
    else:
        print("\n".join(page if options.markdown else [*plan.aligned([plan.HEAD, *rows]), "", *made.verdicts()]))
