"""Load a dataset (download, verify, decode) into one npz."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.roots import behind
from advntk.step import Step, Wildcards
from advntk.verbs import _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.EntryOptions):
    """Of the verb ``prepare``."""

    dataset: str = Field(description="registry entry, such as digits")
    downloads: Path = Field(default=Path("data/downloads"), description="folder for original files")
    out: Path = Field(description="npz to write")


def run(options: Options) -> None:
    """Prepare the dataset."""
    from advntk.foundation import provenance, registry
    from advntk.ingredients import images

    entry, chosen = options.entry(registry.DATASETS, options.dataset)
    sources = provenance.sources(*behind("advntk.ingredients.images", dataset=options.dataset))
    made = provenance.environment("cpu", 1, sources=sources)
    images.prepare(entry, chosen, downloads=options.downloads, out=options.out, made=made)


def prepared(suite: Suite) -> dict[str, str]:
    """Datasets by the name of their prepared file, of those that share one the first."""
    found: dict[str, str] = {}
    for dataset in suite.datasets:
        found.setdefault(prepared_of(suite, dataset), dataset)
    return found


def prepared_of(suite: Suite, dataset: str) -> str:
    """Name of the prepared file of a dataset."""
    from advntk.planning.datasets import prepared_name

    return prepared_name(suite.dataset_kinds[dataset], suite.datasets[dataset][1])


def _kind(suite: Suite, job: Wildcards) -> str:
    """The registry entry of a prepared file."""
    return suite.dataset_kinds[prepared(suite)[job["prepared"]]]


def _file(suite: Suite, job: Wildcards) -> dict[str, list[str]]:
    """The file that a user's own dataset comes from, if it is one; no option, as its path stands in these."""
    path = getattr(suite.datasets[prepared(suite)[job["prepared"]]][1], "path", None)
    return {"file": [path] if path else []}


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    """Options that say where a dataset comes from, without the sizes of its splits."""
    from advntk.ingredients.images import SplitSizes

    no_sizes = SplitSizes(n_opt=2, n_val=1).model_dump(mode="json")
    options = suite.datasets[prepared(suite)[job["prepared"]]][1].of_jobs() | no_sizes
    return {"dataset": _kind(suite, job), "options": options, "downloads": Path(suite.config.data, "downloads")}


STEPS = (
    Step(
        name="prepare",
        options=Options,
        stack="attacks",
        job="{prepared}",
        outputs={"prepared": "{data}/prepared/{prepared}.npz"},
        jobs=lambda suite: ({"prepared": name, "dataset": dataset} for name, dataset in prepared(suite).items()),
        inputs=_file,
        given=_given,
        roots=lambda suite, job: behind("advntk.ingredients.images", dataset=_kind(suite, job)),
        need=lambda resources, job: resources.of("prepare", prepared(resources.suite)[job["prepared"]]),
    ),
)
