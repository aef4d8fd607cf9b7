"""Compute the Gram matrix of the training images, or one part of it; resumes a killed run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.errors import ConfigError
from advntk.foundation.roots import behind
from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


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


MATRIX = {
    "gram": "{root}/grams/{dataset}/seed{seed}/{architecture}/gram.npy",
    "facts": "{root}/grams/{dataset}/seed{seed}/{architecture}/gram.json",
}
PART = {
    "part": "{root}/grams/{dataset}/seed{seed}/{architecture}/parts/{part}of{parts}.npy",
    "facts": "{root}/grams/{dataset}/seed{seed}/{architecture}/parts/{part}of{parts}.json",
}
JOB = "{dataset}.seed{seed}.{architecture}"


def given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    """The network without its width, which no kernel depends on, and how to compute."""
    spec, cut = suite.specs[job["architecture"]], {key: job[key] for key in ("part", "parts") if key in job}
    engine = suite.config.compute.kernel_engine
    return {"architecture": spec.kernel_identity, "images": suite.gram_images, "engine": engine, **cut}


def count(suite: Suite, job: Wildcards) -> int:
    """How many jobs compute a Gram matrix."""
    from advntk.planning.resources import gram_parts

    return gram_parts(suite, job["dataset"])


def parts(suite: Suite) -> Iterator[dict[str, Any]]:
    """The jobs that compute a part."""
    for job in suite.grams():
        if (number := count(suite, job)) > 1:
            yield from ({**job, "part": part, "parts": number} for part in range(number))


def code(module: str, suite: Suite, job: Wildcards) -> tuple[str, ...]:
    """What a Gram matrix depends on: the module that computes it and the family."""
    return behind(module, family=suite.specs[job["architecture"]].family)


STEPS = (
    Step(
        name="gram",
        options=Options,
        stack="kernels",
        job=JOB,
        outputs=MATRIX,
        jobs=lambda suite: (job for job in suite.grams() if count(suite, job) == 1),
        inputs=lambda suite, job: made("split", suite, job),
        given=given,
        roots=lambda suite, job: code("advntk.ingredients.grams", suite, job),
        need=_cells.need("gram", "dataset", "architecture"),
        gpu=lambda suite, job: suite.gpus(),
        disk=True,
        told=("facts",),
        listed="grams",
        all_told=lambda suite: suite.grams(),
    ),
    Step(
        name="gram_part",
        options=Options,
        stack="kernels",
        job=f"{JOB}.{{part}}of{{parts}}",
        logs="gram",
        outputs=PART,
        jobs=parts,
        inputs=lambda suite, job: made("split", suite, job),
        given=given,
        roots=lambda suite, job: code("advntk.ingredients.gram_parts", suite, job),
        need=_cells.need("gram_part", "dataset", "architecture"),
        gpu=lambda suite, job: suite.gpus(),
        disk=True,
    ),
)
