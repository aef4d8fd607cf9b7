"""Train a network method on a split; resumes where a killed run stopped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options, fit

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.MethodOptions):
    """Of the verb ``train``."""

    out: Path = Field(description="fit.json to write; fit.npz and curves.csv beside it")
    choice: Path | None = Field(default=None, description="what 'search' chose, where the options list candidates")


def run(options: Options) -> None:
    """Train the network method."""
    fit.train("train", options, options.out, choice=options.choice)


def _inputs(suite: Suite, job: Wildcards) -> dict[str, str]:
    """The split, and what a search chose where there is something to choose."""
    searched = suite.recipe(job["dataset"], job["architecture"], job["method"], "search")
    return {**made("split", suite, job), **(made("search", suite, job) if searched else {})}


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    spec, images = suite.specs[job["architecture"]], suite.images_of(job["method"])
    return {**_cells.trained(suite, job), "architecture": spec, "images": images}


STEPS = (
    Step(
        name="train",
        options=Options,
        stack="networks",
        job=_cells.FIT,
        outputs=fit.FIT,
        jobs=lambda suite: (job for job in suite.fits() if suite.methods[job["method"]].kind == "network"),
        inputs=_inputs,
        given=_given,
        roots=_cells.training_code("advntk.learning.fits"),
        need=_cells.need("train", "dataset", "architecture", "method"),
        gpu=_cells.gpus,
    ),
)
