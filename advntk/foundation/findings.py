"""What one unit of a theory experiment leaves behind: a typed JSON record, provenance and timing apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from advntk.foundation import files
from advntk.foundation.options import Closed
from advntk.foundation.records import read_model

STORIES = "advntk.telling.stories"
"""The registry of what tells them; each is named as its experiment."""
FIGURE = "theory_"
"""How the figures of experiments are named, before the experiment's name."""


class Finding(Closed):
    """One unit of an experiment; equal runs give equal findings outside the last two fields.

    Attributes:
        experiment: its name in the registry.
        unit: name of the part, unique in the experiment.
        seed: of all that is drawn.
        dataset: whose split of this seed was used; empty where inputs are drawn.
        split_hash: of that split.
        settings: what distinguishes this unit.
        options: of the experiment.
        found: what was measured, by name; units of measurement are in the experiment's own documentation.
    """

    schema_version: Literal["advntk-finding-1"] = "advntk-finding-1"
    experiment: str
    unit: str
    seed: int
    dataset: str
    split_hash: str
    settings: dict[str, Any]
    options: dict[str, Any]
    found: dict[str, Any]
    provenance: dict[str, Any]
    timing: dict[str, float]


def write_finding(path: str | Path, finding: Finding) -> None:
    """Write a finding atomically; a value that is NaN or infinite is refused."""
    files.write_json(path, finding.model_dump(mode="json"))


def read_finding(path: str | Path) -> Finding:
    """Read and check a finding; a wrong file is an ``InputError``."""
    return read_model(path, Finding, "finding")
