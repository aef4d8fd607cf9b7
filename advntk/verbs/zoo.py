"""Predictors that ship with the package: list them, attack them anew, or build the zoo from finished suites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from advntk import arguments

EPILOG = """\
  advntk zoo list                    names, accuracies, sizes
  advntk zoo replay [NAME ...]       attack them anew; status 1 where a record differs
  advntk zoo build SUITE.json ...    of finished suites, such as results/zoo_digits/suite.json
"""


class Options(arguments.Options):
    """Of the verb ``zoo``."""

    action: Annotated[Literal["list", "replay", "build"], arguments.Flag(positional=True)] = Field(
        description="what to do"
    )
    what: Annotated[list[str], arguments.Flag(positional=True)] = Field(
        default=[], description="replay: names of predictors (none: all); build: suite.json of finished suites"
    )
    attack: list[str] = Field(default=[], description="replay: these attacks (none: all with a record)")
    slack: int = Field(default=0, ge=0, description="replay: images by which a count may differ, on another machine")
    zoo: Path | None = Field(default=None, description="folder of the zoo (default: that of the package)")


def run(options: Options) -> int:
    """List, replay or build.

    Returns:
        1 where a replay differs from a record, else 0.

    Raises:
        ConfigError: no suites to build from, or names for a list of all.
    """
    import pandas as pd

    from advntk import zoo
    from advntk.foundation.errors import ConfigError

    folder = options.zoo or zoo.ZOO
    if options.action == "list":
        if options.what:
            raise ConfigError("shows all predictors", where="zoo list", remedy="name none")
        print(pd.DataFrame(zoo.rows(folder)).to_markdown(index=False, tablefmt="simple"))
        return 0
    if options.action == "replay":
        chosen = [zoo.entry_of(name, folder) for name in options.what] or zoo.entries(folder)
        settings: dict[str, Any] = {"attacks": options.attack, "slack": options.slack, "folder": folder}
        differs = False
        for entry in chosen:
            lines = zoo.replay(entry, **settings)
            told = [f"{entry.name}: {'differs' if lines else 'as published'}", *(f"  {line}" for line in lines)]
            print("\n".join(told), flush=True)
            differs |= bool(lines)
        return int(differs)
    if not options.what:
        raise ConfigError("nothing to build from", where="zoo build", remedy="give suite.json of finished suites")
    built = zoo.build([Path(name) for name in options.what], folder)
    print(f"{folder}: {len(built)} predictors")
    return 0
