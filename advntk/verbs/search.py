"""Choose the recipe of a network method on val; resumes where a killed run stopped."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.MethodOptions):
    """Of the verb ``search``."""

    out: Path = Field(description="json to write")


def run(options: Options) -> None:
    """Search the recipe."""
    from advntk.learning import recipes

    entry, method, chosen = options.method_entry("search")
    task = options.task(chosen, method.images, workdir=options.out.parent)
    recipes.search(
        task, options.out, method=options.method, entry=entry, split_path=options.split, threads=options.threads
    )
