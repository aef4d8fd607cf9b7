"""One page of all that was measured: add records and submissions, measure submissions again, build the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from advntk import arguments

EPILOG = """\
  advntk leaderboard add RECORD.json --dataset digits     a record of advntk.benchmark, as it was sent
  advntk leaderboard verify FOLDER ...                    run the code of submissions; status 1 where a record differs
  advntk leaderboard add FOLDER ...                       the same, and add those that do not
  advntk leaderboard build --out leaderboard.html         from published suites, the zoo and what was added
"""


class Options(arguments.Options):
    """Of the verb ``leaderboard``."""

    action: Annotated[Literal["add", "verify", "build"], arguments.Flag(positional=True)] = Field(
        description="what to do"
    )
    what: Annotated[list[Path], arguments.Flag(positional=True)] = Field(
        default=[], description="records (json), or folders with record.json and submission.py, whose code is run"
    )
    board: Path = Field(default=Path("leaderboard"), description="folder of what was added")
    dataset: str = Field(default="", description="add: that a record alone is of")
    reference: Path = Field(default=Path("results/reference"), description="build: folder of published suites")
    zoo: Path | None = Field(default=None, description="build: folder of the zoo (default: that of the package)")
    out: Path = Field(default=Path("leaderboard.html"), description="build: page to write")


def run(options: Options) -> int:
    """Add, verify or build.

    Returns:
        1 where a submission differs from its record, else 0.

    Raises:
        ConfigError: nothing is named to add or verify, or something to build.
    """
    from advntk.foundation.errors import ConfigError

    if options.action == "build":
        if options.what:
            raise ConfigError("builds from the whole board", where="leaderboard build", remedy="add submissions first")
        from advntk import leaderboard
        from advntk.zoo import ZOO

        settings = {"board": options.board, "reference": options.reference, "zoo_folder": options.zoo or ZOO}
        rows = leaderboard.build(options.out, **settings)
        print(f"{options.out}: {rows} rows")
        return 0
    if not options.what:
        raise ConfigError("nothing is named", where=options.action, remedy="name records or folders of submissions")
    from advntk.leaderboard import submissions

    if options.action == "verify":
        found = {path: submissions.verify(path) for path in options.what}
        for path, lines in found.items():
            print("\n".join([f"{path}: {'differs' if lines else 'as recorded'}", *(f"  {line}" for line in lines)]))
        return int(any(found.values()))
    for path in options.what:
        print(submissions.add(options.board, submissions.read_submission(path, dataset=options.dataset)))
    return 0
