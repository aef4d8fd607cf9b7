"""Put the parts of a Gram matrix together, whatever machines computed them, and check the whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options, gram

if TYPE_CHECKING:
    from advntk.suite import Suite


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


def _parts(suite: Suite, job: Wildcards) -> dict[str, Any]:
    """The split, the parts and what each says of itself."""
    count = gram.count(suite, job)
    parts = [made("gram_part", suite, {**job, "part": part, "parts": count}) for part in range(count)]
    beside = {"files": [part["part"] for part in parts], "facts": [part["facts"] for part in parts]}
    return {**made("split", suite, job), **beside}


STEPS = (
    Step(
        name="gram_gather",
        options=Options,
        stack="kernels",
        job=gram.JOB,
        outputs=gram.MATRIX,
        jobs=lambda suite: (job for job in suite.grams() if gram.count(suite, job) > 1),
        inputs=_parts,
        given=lambda suite, job: {**gram.given(suite, job), "engine": "auto"},
        roots=lambda suite, job: gram.code("advntk.ingredients.gram_parts", suite, job),
        need=_cells.need("gram_gather", "dataset", "architecture"),
        gpu=lambda suite, job: 0,
        disk=True,
    ),
)
