"""Train a network method on a split; resumes where a killed run stopped."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options, fit


class Options(_options.MethodOptions):
    """Of the verb ``train``."""

    out: Path = Field(description="fit.json to write; fit.npz and curves.csv beside it")
    choice: Path | None = Field(default=None, description="what 'search' chose, where the options list candidates")


def run(options: Options) -> None:
    """Train the network method."""
    fit.train("train", options, options.out, choice=options.choice)
