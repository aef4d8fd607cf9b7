"""Check a configuration and write the suite file: config, records and curves."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk import arguments


class Options(arguments.Options):
    """Of the verb ``expand``."""

    config: arguments.JsonObject = Field(description="the whole configuration as JSON")
    out: Path = Field(description="suite.json to write")


def run(options: Options) -> None:
    """Write the suite file."""
    from advntk import suite
    from advntk.foundation import files

    files.write_json(options.out, suite.resolve(options.config).as_json())
