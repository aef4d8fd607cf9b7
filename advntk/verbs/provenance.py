"""Where a result and all behind it ran, and on which code, data and environment; is it this checkout's code?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from advntk import arguments


class Options(arguments.Options):
    """Of the verb ``provenance``."""

    result: Annotated[Path, arguments.Flag(positional=True)] = Field(
        description="record, sweep, transfer, fit (file or folder), gram.json, split.json, prepared npz, suite.json"
    )
    json_: bool = Field(default=False, alias="json", description="machine-readable")


def run(options: Options) -> None:
    """Print the chain of results."""
    from advntk.telling.origin import as_json, as_text, origin

    told = origin(options.result)
    print(json.dumps(as_json(told), indent=1) if options.json_ else as_text(told))
