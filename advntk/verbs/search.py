"""Choose the recipe of a network method on val; resumes where a killed run stopped."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.step import Step, made
from advntk.verbs import _cells, _options


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


STEPS = (
    Step(
        name="search",
        options=Options,
        stack="networks",
        job="{dataset}.{architecture}.{method}.{trained_at}",
        outputs={"choice": "{root}/choices/{dataset}/{architecture}/{method}/{trained_at}/choice.json"},
        jobs=lambda suite: suite.recipes("search"),
        inputs=lambda suite, job: made("split", suite, {**job, "seed": 0}),
        given=lambda suite, job: {**_cells.trained(suite, job), "architecture": suite.specs[job["architecture"]]},
        roots=_cells.training_code("advntk.learning.recipes"),
        need=_cells.need("search", "dataset", "architecture", "method"),
        gpu=_cells.gpus,
    ),
)
