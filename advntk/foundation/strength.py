"""What a sweep over an attack's strength and a transfer of its images leave behind: typed JSON, like records."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.foundation.records import AttackRecord, read_model
from advntk.foundation.threat import ThreatModel

SweepName = Literal["radius", "steps", "restarts"]


class SweepPoint(Closed):
    """One strength of the attack.

    Attributes:
        value: radius in 1/255, number of steps, or number of restarts.
        interval: 95% Wilson interval of the robust accuracy, for these images.
    """

    value: float
    robust_correct: int
    robust_accuracy: float
    interval: tuple[float, float]


class Sweep(Closed):
    """Robust accuracy of one predictor over the strength of one attack; outcomes (points, n_test) lie beside it.

    Attributes:
        kind: what is varied: ``radius``, ``steps`` or ``restarts``.
        attack: the attack; its option of this name is the one varied.
        threat: norm, and radius of all points unless the radius is varied.
        points: in rising order; a sweep over the radius ends where no example is robust any more.
    """

    schema_version: Literal["advntk-sweep-1"] = "advntk-sweep-1"
    dataset: str
    architecture: Architecture
    method: str
    checkpoint: str
    trained_at: ThreatModel | None
    seed: int
    split_hash: str
    kind: SweepName
    attack: AttackRecord
    threat: ThreatModel
    n_test: int
    clean_correct: int
    points: list[SweepPoint]
    provenance: dict[str, Any]
    timing: dict[str, float]


class Shown(Closed):
    """A predictor of a transfer: it gives images and is shown those of the others."""

    architecture: Architecture
    method: str
    kind: Literal["kernel", "network"]
    checkpoint: str


class Transfer(Closed):
    """Images that break one predictor, shown to every other of the same split; outcomes lie beside it.

    Attributes:
        predictors: in the order of both axes.
        clean_correct: of each predictor on clean images.
        robust_correct: row: the predictor that the images were made against; column: the predictor that is shown
            them; images classified correctly, clean and attacked, by the latter.
    """

    schema_version: Literal["advntk-transfer-1"] = "advntk-transfer-1"
    dataset: str
    seed: int
    split_hash: str
    attack: AttackRecord
    threat: ThreatModel
    n_test: int
    predictors: list[Shown]
    clean_correct: list[int]
    robust_correct: list[list[int]]
    provenance: dict[str, Any]
    timing: dict[str, float]


def read_sweep(path: str | Path) -> Sweep:
    """Read and check a sweep; a wrong file is an ``InputError``."""
    return read_model(path, Sweep, "sweep")


def read_transfer(path: str | Path) -> Transfer:
    """Read and check a transfer; a wrong file is an ``InputError``."""
    return read_model(path, Transfer, "transfer")
