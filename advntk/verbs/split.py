"""Draw opt, val and test images of a seed; write manifest and arrays."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.EntryOptions):
    """Of the verb ``split``."""

    dataset: str = Field(description="registry entry, for its sizes")
    prepared: Path = Field(description="npz written by prepare")
    seed: int = Field(default=0, ge=0, description="of the split and of everything trained on it")
    out: Path = Field(description="split.json to write; split.npz is written beside it")


def run(options: Options) -> None:
    """Draw the split."""
    from advntk.foundation import provenance
    from advntk.foundation.overlap import overlap_note
    from advntk.ingredients.images import read_prepared
    from advntk.ingredients.splits import make_split, write_split
    from advntk.suite_options import DATASETS

    _, sizes = options.entry(DATASETS, options.dataset)
    sources = provenance.sources("advntk.ingredients.splits", f"{DATASETS}.{options.dataset}")
    made = make_split(read_prepared(options.prepared), sizes, dataset=options.dataset, seed=options.seed)
    places = {"prepared": os.path.relpath(options.prepared, options.out.parent)}
    told = provenance.environment("cpu", 1, sources=sources, data=made.data, places=places)
    write_split(options.out, made, made=told)
    if note := overlap_note(options.dataset, [made.overlap]):
        print(f"advntk split: warning: {note}", file=sys.stderr)
