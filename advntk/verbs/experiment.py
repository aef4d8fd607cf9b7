"""Measure one unit of a theory experiment."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


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
