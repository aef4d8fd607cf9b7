"""Show the perturbed images of each predictor to all others of the same split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.errors import ConfigError
from advntk.foundation.options import named_entries
from advntk.foundation.paths import radius_name
from advntk.foundation.roots import behind
from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.ComputeOptions):
    """Of the verb ``transfer``."""

    records: list[Path] = Field(description="of evaluations that kept their images")
    fits: list[Path] = Field(description="folder of each record's fit, in this order")
    out: Path = Field(description="json to write; outcomes (npz) go beside it")


def run(options: Options) -> None:
    """Show the images.

    Raises:
        ConfigError: the records are not as many as the fits.
    """
    from advntk.measuring.transfer import transfer

    records, fits = options.records, options.fits
    if len(records) != len(fits):
        raise ConfigError(
            f"{len(records)} records and {len(fits)} fits", where="--fits", remedy="give one fit a record"
        )
    transfer(records, fits, out=options.out, compute=options.compute, threads=options.threads)


def _jobs(suite: Suite) -> Iterator[dict[str, Any]]:
    """One for each split, radius and attack."""
    for dataset in suite.datasets:
        for eps255 in suite.config.eps255:
            where = {"dataset": dataset, "eps255": radius_name(eps255)}
            yield from ({**where, "attack": a, "seed": s} for a in suite.config.transfer for s in suite.seeds)


def _shown(suite: Suite, job: Wildcards) -> list[dict[str, Any]]:
    """Jobs that evaluate the predictors which are shown each other's images."""
    cells = suite.shown(job["dataset"], int(job["seed"]), float(job["eps255"]))
    return [{**cell.job, "attack": job["attack"]} for cell in cells]


def _inputs(suite: Suite, job: Wildcards) -> dict[str, list[str]]:
    """Fits and records of all predictors, in one order."""
    shown = _shown(suite, job)
    fits = [made("fit", suite, one) for one in shown]
    records = [made("evaluate", suite, one) for one in shown]
    return {
        "fits": [one["fit"] for one in fits],
        "arrays": [one["arrays"] for one in fits],
        "records": [one["record"] for one in records],
        "images": [one["outcomes"] for one in records],
    }


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    fits = [Path(place).parent for place in _inputs(suite, job)["fits"]]
    return {"fits": fits, "engine": suite.config.compute.kernel_engine}


def _roots(suite: Suite, job: Wildcards) -> tuple[str, ...]:
    """All methods and families of the suite, and what the options of the methods name."""
    families = sorted({spec.family for spec in suite.specs.values()})
    named = sorted(set().union(*map(named_entries, suite.options.values())))
    return behind("advntk.measuring.transfer", *named, method=suite.method_kinds.values(), family=families)


_PLACE = "{root}/transfers/{dataset}/seed{seed}/eps{eps255}/{attack}"
STEPS = (
    Step(
        name="transfer",
        options=Options,
        stack="attacks",
        job="{dataset}.seed{seed}.eps{eps255}.{attack}",
        outputs={"transfer": f"{_PLACE}.json", "outcomes": f"{_PLACE}.npz"},
        jobs=_jobs,
        inputs=_inputs,
        given=_given,
        roots=_roots,
        need=_cells.need("transfer", "dataset"),
        gpu=lambda suite, job: suite.gpus(*suite.methods),
        told=("transfer",),
        listed="transfers",
        tables=("transfer",),
        figures=("transfer",),
    ),
)
