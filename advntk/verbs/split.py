"""Draw opt, val and test images of a seed; write manifest and arrays."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.roots import behind
from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options, prepare

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.EntryOptions):
    """Of the verb ``split``."""

    dataset: str = Field(description="name of the dataset in tables")
    kind: str | None = Field(default=None, description="registry entry, for its sizes, where it is not the name")
    prepared: Path = Field(description="npz written by prepare")
    seed: int = Field(default=0, ge=0, description="of the split and of everything trained on it")
    out: Path = Field(description="split.json to write; split.npz is written beside it")


def run(options: Options) -> None:
    """Draw the split."""
    from advntk.foundation import provenance, registry
    from advntk.foundation.overlap import overlap_note
    from advntk.ingredients.images import read_prepared
    from advntk.ingredients.splits import make_split, write_split

    kind = options.kind or options.dataset
    _, sizes = options.entry(registry.DATASETS, kind)
    sources = provenance.sources(*behind("advntk.ingredients.splits", dataset=kind))
    made = make_split(read_prepared(options.prepared), sizes, dataset=options.dataset, seed=options.seed)
    places = {"prepared": os.path.relpath(options.prepared, options.out.parent)}
    told = provenance.environment("cpu", 1, sources=sources, data=made.data, places=places)
    write_split(options.out, made, made=told)
    if note := overlap_note(options.dataset, [made.overlap]):
        print(f"advntk split: warning: {note}", file=sys.stderr)


def _prepared(suite: Suite, job: Wildcards) -> dict[str, str]:
    """The prepared file that the split is drawn from."""
    return made("prepare", suite, {"prepared": prepare.prepared_of(suite, job["dataset"])})


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    """Name, kind and options of the dataset, and the seed."""
    kind, (_, sizes) = suite.dataset_kinds[job["dataset"]], suite.datasets[job["dataset"]]
    return {**job, "kind": kind if kind != job["dataset"] else None, "options": sizes.of_jobs()}


STEPS = (
    Step(
        name="split",
        options=Options,
        stack="kernels",
        job="{dataset}.seed{seed}",
        outputs={
            "split": "{root}/splits/{dataset}/seed{seed}/split.json",
            "pixels": "{root}/splits/{dataset}/seed{seed}/split.npz",
        },
        jobs=lambda suite: ({"dataset": name, "seed": seed} for name in suite.datasets for seed in suite.seeds),
        inputs=_prepared,
        given=_given,
        roots=lambda suite, job: behind("advntk.ingredients.splits", dataset=suite.dataset_kinds[job["dataset"]]),
        need=_cells.need("split", "dataset"),
        told=("split",),
        listed="splits",
    ),
)
