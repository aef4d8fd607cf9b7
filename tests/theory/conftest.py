"""What tests of experiments share: float64, and findings made up for a story."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import pytest

from advntk.foundation.findings import Finding
from advntk.foundation.options import Closed
from advntk.telling.contents import Suite
from advntk.telling.story import Told
from advntk.theory.experiment import Experiment, Unit


@pytest.fixture(autouse=True, scope="module")
def _x64() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def finding_of(name: str, options: Closed, unit: Unit, found: dict[str, Any]) -> Finding:
    """What a unit of an experiment would have written, without its provenance."""
    return Finding(
        experiment=name,
        unit=unit.name,
        seed=unit.seed,
        dataset=unit.dataset,
        split_hash="",
        settings=unit.settings,
        options=options.model_dump(mode="json"),
        found=found,
        provenance={},
        timing={},
    )


def told_of(name: str, entry: Experiment, options: Closed, found: Callable[[Unit], dict[str, Any]]) -> Told:
    """A story's material: one finding for each unit of an experiment, with what ``found`` gives for it."""
    findings = [finding_of(name, options, unit, found(unit)) for unit in entry.units(options)]
    return Told(findings=findings, suite=Suite(config=None))
