"""Train the recipe of a fit for twice the updates, to see whether it has converged."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.ComputeOptions):
    """Of the verb ``check``."""

    fit: Path = Field(description="folder of the fit, of a network method")
    out: Path = Field(description="json to write")


def run(options: Options) -> None:
    """Check the recipe."""
    from advntk.learning import recipes

    recipes.check(options.fit, options.out, compute=options.compute, threads=options.threads)
