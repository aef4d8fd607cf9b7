"""Keep what the jobs of a suite took, in one small file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk import arguments


class Options(arguments.Options):
    """Of the verb ``costs``."""

    suite: Path = Field(description="results/SUITE/suite.json")
    out: Path = Field(description="json to write, such as results/reference/costs/SUITE.json")


def run(options: Options) -> None:
    """Keep the costs."""
    from advntk.planning.costs import read_costs, write_costs

    write_costs(read_costs(options.suite), options.out)
