"""What a cell's evaluation leaves behind: a typed JSON record, provenance and timing kept apart from the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed
from advntk.foundation.threat import ThreatModel
from advntk.foundation.training_images import TrainingImages

Model = TypeVar("Model", bound=Closed)
SCHEMA = "advntk-record-2"


class AttackRecord(Closed):
    """The attack with all its settings."""

    name: str
    kind: str
    options: dict[str, Any]
    inside_threat_model: bool
    seed: int


class Stage(Closed):
    """One of the attacks that an attack is made of.

    Attributes:
        name: such as ``apgd-ce``.
        tried: examples that it was run on.
        broken: of these, examples that it broke.
        robust_after: share of all examples that are robust under it and all stages before it.
    """

    name: str
    tried: int
    broken: int
    robust_after: float


class Evaluation(Closed):
    """One checkpoint under one attack, on ``n_test`` images.

    Attributes:
        clean_correct: images classified correctly without attack.
        robust_correct: images classified correctly without attack and under it.
        attacked_correct: images classified correctly under attack, whatever the clean image's class: what the paper's
            reference code counts.
        clean_interval: 95% Wilson interval of the clean accuracy, for these images.
        robust_interval: 95% Wilson interval of the robust accuracy.
        max_linf255: largest perturbation found, ℓ∞, in 1/255.
        max_l2_255: largest perturbation found, ℓ2, in 1/255.
        max_l1_255: largest perturbation found, ℓ1, in 1/255.
        stages: of an attack that is made of several, in their order.
        health: measurements behind the flags, by name.
        flags: doubts about the evaluation, in words.
    """

    n_test: int
    clean_correct: int
    robust_correct: int
    attacked_correct: int
    clean_accuracy: float
    robust_accuracy: float
    clean_interval: tuple[float, float]
    robust_interval: tuple[float, float]
    max_linf255: float
    max_l2_255: float
    max_l1_255: float
    stages: list[Stage]
    health: dict[str, float]
    flags: list[str]


class Record(Closed):
    """A cell under one attack, all checkpoints of its fit; equal runs give equal records outside the last two.

    Attributes:
        kind: what was trained: a kernel predictor (infinitely wide) or a finite network.
        images: which training images it was made from.
        label_noise: share of the opt images whose label is wrong.
        timing: ``attack_s``: seconds that the attack took, in whatever job; ``wall_s`` and ``peak_mb`` of the
            evaluation.
    """

    schema_version: str = SCHEMA
    dataset: str
    architecture: Architecture
    method: str
    kind: Literal["kernel", "network"]
    method_options: dict[str, Any]
    trained_at: ThreatModel | None
    threat: ThreatModel
    attack: AttackRecord
    seed: int
    n_opt: int
    n_val: int
    label_noise: float = 0.0
    images: TrainingImages = "opt"
    split_hash: str
    training: dict[str, Any]
    evaluations: dict[str, Evaluation]
    provenance: dict[str, Any]
    timing: dict[str, float]

    @property
    def n_train(self) -> int:
        """How many training images that is."""
        return self.n_opt if self.images == "opt" else self.n_opt + self.n_val


def write_record(path: str | Path, record: Record) -> None:
    """Write a record atomically."""
    files.write_json(path, record.model_dump(mode="json"))


def read_record(path: str | Path) -> Record:
    """Read and check a record; a wrong file is an ``InputError``."""
    return read_model(path, Record, f"record of schema {SCHEMA}")


def read_model(path: str | Path, model: type[Model], what: str) -> Model:
    """Read JSON and check it against a model.

    Args:
        path: of the file.
        model: of its content.
        what: what it should be, for the message.

    Returns:
        The content.

    Raises:
        InputError: missing, not JSON, or not of this model.
    """
    return as_model(files.read_json(path), model, what, where=path)


def as_model(content: Any, model: type[Model], what: str, *, where: object) -> Model:
    """Check content against a model.

    Args:
        content: as JSON has it.
        model: of the content.
        what: what it should be, for the message.
        where: where it comes from, for the message.

    Returns:
        The content.

    Raises:
        InputError: not of this model.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"not a {what} ({key}: {first['msg']})", where=where, remedy="delete it and run again"
        ) from error
