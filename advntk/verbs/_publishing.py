"""What the verbs ``publish``, ``missing``, ``accept`` and ``verify`` have in common: a published suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk import arguments
from advntk.step import Wildcards, steps

if TYPE_CHECKING:
    from advntk.suite import Suite
    from advntk.telling.publishing.pieces import Piece

REFERENCE = Path("results/reference")
PARTS = """\
a long suite in parts, on one machine after the other:
  advntk missing --configfile suites/fashion.yaml                 what is not published yet
  snakemake --cores all --configfile suites/fashion.yaml -- $(advntk missing --configfile suites/fashion.yaml --targets)
  advntk publish --add --suite results/fashion/suite.json --out results/reference/fashion
The last may run at any time, also after the second was stopped: it takes what is finished. Commit the folder. If the
code changed between two parts, run one published cell again, then:
  advntk accept --suite results/fashion/suite.json
"""
BOUND: Any = Field(
    default=0.5,
    description="percentage points by which accuracies may differ: of test images each, along training on average; "
    "numbers of an experiment by as many percent (default: 0.5)",
)


class PublishedOptions(arguments.Options):
    """A published suite."""

    published: Path | None = Field(
        default=None, description=f"folder of the published suite (default: {REFERENCE}/SUITE)"
    )


def fit_of(job: Wildcards) -> Piece:
    """The fit that a job trains, or is about."""
    from advntk.foundation.paths import ANY_RADIUS
    from advntk.telling.publishing.pieces import Piece

    at = job["trained_at"]
    radius = None if at == ANY_RADIUS else float(at.removeprefix("eps"))
    cell = {"dataset": job["dataset"], "network": job["architecture"], "method": job["method"]}
    return Piece(**cell, seed=job.get("seed"), eps255=radius)  # a convergence check stands for all seeds


def of_cells(suite: Suite) -> Iterator[tuple[Piece, str]]:
    """All results that are published with a fit: the fit, and the file that snakemake has to make."""
    from advntk.telling.kinds import kinds
    from advntk.telling.publishing.pieces import of_fit

    measured = {"records", *(name for name, kind in kinds().items() if kind.piece is of_fit and name != "fits")}
    for step in steps().values():
        if step.listed in measured:
            for job in step.jobs(suite):
                yield fit_of(job), step.path(suite, job)
