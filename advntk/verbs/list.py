"""Show what a configuration can name: datasets, methods, attacks, losses …; with KIND and NAME, its options."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from advntk import arguments


class Options(arguments.Options):
    """Of the verb ``list``."""

    kind: Annotated[str, arguments.Flag(positional=True)] = Field(
        default="", description="datasets, families, methods, attacks, training_losses … (none: all)"
    )
    plugins: list[str] = Field(default=[], description="folders of entries outside the package, as in config.yaml")
    name: Annotated[str, arguments.Flag(positional=True)] = Field(
        default="", description="one of them: its options, as in config.yaml"
    )


def run(options: Options) -> None:
    """Print the entries of all registries or of one, or the options of one entry."""
    from advntk.foundation import registry
    from advntk.planning.entries import KINDS, details, overview

    if options.plugins:
        registry.use(options.plugins)
    kinds = [options.kind] if options.kind else [*KINDS]
    print("\n".join(details(options.kind, options.name) if options.name else overview(kinds)))
