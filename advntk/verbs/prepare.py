"""Load a dataset (download, verify, decode) into one npz."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


class Options(_options.EntryOptions):
    """Of the verb ``prepare``."""

    dataset: str = Field(description="registry entry, such as digits")
    downloads: Path = Field(default=Path("data/downloads"), description="folder for original files")
    out: Path = Field(description="npz to write")


def run(options: Options) -> None:
    """Prepare the dataset."""
    from advntk.foundation import provenance
    from advntk.ingredients import images
    from advntk.suite_options import DATASETS

    entry, chosen = options.entry(DATASETS, options.dataset)
    sources = provenance.sources("advntk.ingredients.images", f"{DATASETS}.{options.dataset}")
    made = provenance.environment("cpu", 1, sources=sources)
    images.prepare(entry, chosen, downloads=options.downloads, out=options.out, made=made)
