"""Check a configuration and write the suite file: config, records and curves."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk import arguments
from advntk.step import Step, suite_file


class Options(arguments.Options):
    """Of the verb ``expand``."""

    config: arguments.JsonObject = Field(description="the whole configuration as JSON")
    out: Path = Field(description="suite.json to write")


def run(options: Options) -> None:
    """Write the suite file."""
    from advntk import suite
    from advntk.foundation import files

    files.write_json(options.out, suite_file(suite.resolve(options.config)))


STEPS = (
    Step(
        name="expand",
        options=Options,
        stack="telling",
        job="suite",
        outputs={"suite": "{root}/suite.json"},
        jobs=lambda suite: ({},),
        given=lambda suite, job: {"config": suite_file(suite)["config"]},
        roots=lambda suite, job: ("advntk.suite",),
        need=lambda resources, job: resources.told(),
    ),
)
