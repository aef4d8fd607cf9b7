"""Compare published cells with the same cells run again here; where they agree, accept the mix of their code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from advntk.arguments import Flag
from advntk.verbs import _publishing

EPILOG = _publishing.PARTS


class Options(_publishing.PublishedOptions):
    """Of the verb ``accept``."""

    suite: Path = Field(description="results/SUITE/suite.json, with the cells run again")
    bound: Annotated[float, Flag(metavar="POINTS")] = _publishing.BOUND


def run(options: Options) -> None:
    """Accept what agrees.

    Raises:
        InputError: nothing is published. (So do cells that differ too much.)
    """
    from advntk.foundation.errors import InputError
    from advntk.planning.config import require_same_settings
    from advntk.telling.consistency import made_of
    from advntk.telling.mixing import mixes
    from advntk.telling.publishing.parts import add
    from advntk.telling.publishing.publish import publish
    from advntk.telling.publishing.replay import accepted, replays
    from advntk.telling.suite_file import read_suite

    again = read_suite(options.suite, finished=True)
    folder = options.published or _publishing.REFERENCE / again.config.suite
    known = folder / "suite.json"
    if not known.is_file():
        raise InputError("file not found", where=known, remedy="publish a part of the suite first")
    published = read_suite(known, allow_mixed=True)
    require_same_settings(published, again.config, where=known)
    found = replays(published, again)
    print("\n".join(replay.words for replay in found))
    whole = accepted(published, found, options.bound)
    if whole is published:
        print("no other code than what is published or accepted")
    else:
        publish(whole, folder)
        modules = sorted({module for one in whole.accepted[len(published.accepted) :] for module in one.sources})
        print(f"accepted as equivalent: {', '.join(modules)}")
    both, _ = add(whole, again, replace_published=False)
    for mix in mixes(made_of(both), both.accepted):
        print(f"not accepted: {mix.what}")
