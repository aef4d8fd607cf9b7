"""Write a finished suite, or with --add what is finished of it, as a few small files (csv and json)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options, _publishing

EPILOG = _publishing.PARTS


class Options(_options.SuiteOptions):
    """Of the verb ``publish``."""

    out: Path = Field(description="folder, named as the suite; index.json beside it lists it")
    command: str = Field(default="", description="that computed it (default: snakemake with the suite's file)")
    add: bool = Field(
        default=False,
        description="add what is finished to what the folder has; without it the suite must be whole and replaces the "
        "folder",
    )
    replace: bool = Field(
        default=False,
        description="with --add: also replace published cells that differ from those here (default: they stay)",
    )


def run(options: Options) -> None:
    """Publish the suite.

    Raises:
        ConfigError: --replace without --add.
    """
    from advntk.foundation.errors import ConfigError
    from advntk.planning.config import require_of_files, require_same_settings
    from advntk.telling.consistency import check, settled
    from advntk.telling.publishing.parts import add, missing, nothing_of
    from advntk.telling.publishing.pieces import in_words
    from advntk.telling.publishing.publish import publish
    from advntk.telling.suite_file import read_suite

    if options.replace and not options.add:
        what = "goes with --add"
        raise ConfigError(what, where="--replace", remedy="give both; without --add the folder is replaced as a whole")
    suite = read_suite(options.suite, allow_mixed=options.allow_mixed, finished=options.add)
    lines = []
    if options.add:
        known, before = options.out / "suite.json", nothing_of(suite)
        if known.is_file():
            before = read_suite(known, allow_mixed=options.allow_mixed)
            require_same_settings(before, suite.config, where=known)
        whole, change = add(before, suite, replace_published=options.replace)
        check(whole, str(options.out), whole=False)
        suite = settled(whole, allow_mixed=options.allow_mixed, published=True)
        for word, pieces in (("added", change.added), ("replaced", change.replaced)):
            lines += [f"{word}: {line}" for line in in_words(pieces)] or [f"{word}: nothing"]
        lines += [f"published before, kept (--replace takes the one here): {line}" for line in in_words(change.kept)]
    if not (options.command or suite.command):
        require_of_files(suite.config, where=options.suite)
    publish(suite, options.out, command=options.command)
    lacking = missing(suite)
    print("\n".join([*lines, *(f"missing: {line}" for line in lacking.lines()), f"missing in all: {lacking.count}"]))
