"""Records → one JSON file a predictor in RobustBench's field names, and their schema."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.SuiteOptions):
    """Of the verb ``export``."""

    out: Path = Field(description="folder to write to")


def run(options: Options) -> None:
    """Export the records."""
    from advntk.telling import robustbench
    from advntk.telling.suite_file import read_suite

    robustbench.export(read_suite(options.suite, allow_mixed=options.allow_mixed), options.out)
