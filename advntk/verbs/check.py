"""Train the recipe of a fit for twice the updates, to see whether it has converged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.ComputeOptions):
    """Of the verb ``check``."""

    fit: Path = Field(description="folder of the fit, of a network method")
    out: Path = Field(description="json to write")


def run(options: Options) -> None:
    """Check the recipe."""
    from advntk.learning import recipes

    recipes.check(options.fit, options.out, compute=options.compute, threads=options.threads)


def _fit(suite: Suite, job: Wildcards) -> dict[str, str]:
    """The fit of seed 0 with its split."""
    return {**made("train", suite, {**job, "seed": 0}), **made("split", suite, {**job, "seed": 0})}


STEPS = (
    Step(
        name="check",
        options=Options,
        stack="networks",
        job="{dataset}.{architecture}.{method}.{trained_at}",
        outputs={"check": "{root}/checks/{dataset}/{architecture}/{method}/{trained_at}/check.json"},
        jobs=lambda suite: suite.recipes("convergence_check"),
        inputs=_fit,
        given=lambda suite, job: {"fit": Path(_fit(suite, job)["fit"]).parent},
        roots=_cells.training_code("advntk.learning.recipes"),
        need=_cells.need("check", "dataset", "architecture", "method"),
        gpu=_cells.gpus,
        told=("check",),
        listed="checks",
    ),
)
