"""Measure one unit of a theory experiment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation import registry
from advntk.foundation.roots import behind
from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.ComputeOptions, _options.EntryOptions):
    """Of the verb ``experiment``."""

    experiment: str = Field(description="registry entry, a module of advntk/theory/experiments")
    unit: str = Field(description="which part of it, by name")
    split: Path | None = Field(default=None, description="split.json, for a unit that needs one")
    out: Path = Field(description="finding (json) to write")


def run(options: Options) -> None:
    """Measure the unit."""
    from advntk.foundation.device import jax_device
    from advntk.ingredients.splits import read_split
    from advntk.theory.experiment import EXPERIMENTS, Study, run_unit, unit_of

    entry, chosen = options.entry(EXPERIMENTS, options.experiment)
    unit, split, places = unit_of(entry, chosen, options.unit), None, {}
    if options.split:
        split, places = read_split(options.split), {"split": os.path.relpath(options.split, options.out.parent)}
    study = Study(unit=unit, options=chosen, split=split, compute=options.compute)
    jax_device(options.device)  # a unit that makes no kernel engine asks for none: fail without a GPU, or note its name
    run_unit(options.experiment, entry, study, out=options.out, threads=options.threads, places=places)


def _split(suite: Suite, job: Wildcards) -> dict[str, str]:
    """The split that the unit needs, if it does."""
    from advntk.theory.experiment import unit_of

    unit = unit_of(*suite.experiments[job["experiment"]], job["unit"])
    return made("split", suite, {"dataset": unit.dataset, "seed": unit.seed}) if unit.dataset else {}


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    name, engine = job["experiment"], suite.config.compute.kernel_engine
    return {"experiment": name, "unit": job["unit"], "options": suite.experiments[name][1], "engine": engine}


def _roots(suite: Suite, job: Wildcards) -> tuple[str, ...]:
    """The experiment, and all families, for which of them it uses is not known before it runs."""
    families = registry.names(registry.FAMILIES)
    return behind("advntk.theory.experiment", experiment=job["experiment"], family=families)


STEPS = (
    Step(
        name="experiment",
        options=Options,
        stack="kernels",
        job="{experiment}.{unit}",
        outputs={"finding": "{root}/experiments/{experiment}/{unit}.json"},
        jobs=lambda suite: (
            {"experiment": name, "unit": unit.name, "dataset": unit.dataset} for name, unit in suite.units()
        ),
        inputs=_split,
        given=_given,
        roots=_roots,
        need=_cells.need("experiment", "experiment"),
        gpu=lambda suite, job: suite.gpus(),
        told=("finding",),
        listed="findings",
        tables=("claims",),
    ),
)
