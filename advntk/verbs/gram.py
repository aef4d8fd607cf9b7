"""Compute the Gram matrix of the training images, or one part of it; resumes a killed run."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.foundation.errors import ConfigError
from advntk.verbs import _options


class Options(_options.ComputeOptions, _options.AllImages):
    """Of the verb ``gram``."""

    part: int | None = Field(
        default=None, ge=0, description="which part, from 0; parts may be computed anywhere, in any order"
    )
    parts: int | None = Field(
        default=None, ge=1, description="into how many parts the matrix is cut; gather puts them together"
    )
    out: Path = Field(description="npy to write; provenance is written beside it, as .json")


def run(options: Options) -> None:
    """Compute the matrix or the part.

    Raises:
        ConfigError: --part without --parts, or the other way round.
    """
    from advntk.ingredients.gram_parts import build_part
    from advntk.ingredients.grams import build_gram
    from advntk.ingredients.splits import read_split

    settings = options.model_dump(include={"images", "out", "threads"}) | {"compute": options.compute}
    match options.part, options.parts:
        case None, None:
            build_gram(read_split(options.split), options.architecture, **settings)
        case int(part), int(parts):
            build_part(read_split(options.split), options.architecture, part=part, parts=parts, **settings)
        case _:
            raise ConfigError(
                "--part and --parts go together", where="--part", remedy="give both, or none for the whole"
            )
