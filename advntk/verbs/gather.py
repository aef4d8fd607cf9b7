"""Put the parts of a Gram matrix together, whatever machines computed them, and check the whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.ComputeOptions, _options.AllImages):
    """Of the verb ``gather``."""

    files: list[Path] = Field(description="all parts that gram wrote, their .json beside them")
    out: Path = Field(description="npy to write, n×n; takes twice the disk of the parts")


def run(options: Options) -> None:
    """Gather the parts."""
    from advntk.ingredients.gram_parts import gather
    from advntk.ingredients.splits import read_split

    settings = options.model_dump(include={"images", "out", "threads"}) | {"compute": options.compute}
    gather(options.files, read_split(options.split), options.architecture, **settings)
