"""What splits, fits and Gram matrices tell of themselves: what they are of, what made them, and what they took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from advntk.foundation import files
from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.foundation.overlap import Overlap, overlap_note
from advntk.foundation.records import as_model
from advntk.foundation.threat import ThreatModel


class SplitFacts(Closed):
    """Of a split, what tables and figures need.

    Attributes:
        hash: which split it is, as records name it.
        test: indices of the test images into their pool, in the order of outcomes.
        overlap: counts of identical images; none in files of earlier versions, which did not count them.
    """

    dataset: str
    seed: int
    hash: str
    test: list[int]
    overlap: Overlap = Overlap()


class FitFacts(Closed):
    """Of a fit, what tables and figures need.

    Attributes:
        kind: kernel (rule ``fit``) or network (rule ``train``).
        trained_at: threat model that it was trained for; None where the method ignores it.
        timing: ``wall_s`` and ``peak_mb`` of the process; seconds of parts of the training, such as ``attack_s``.
    """

    dataset: str
    seed: int
    split_hash: str
    architecture: Architecture
    method: str
    kind: Literal["kernel", "network"]
    trained_at: ThreatModel | None
    provenance: dict[str, Any]
    timing: dict[str, float]


class GramFacts(Closed):
    """Of a Gram matrix, what tables and figures need; its split's hash says of which dataset and seed it is.

    Attributes:
        architecture: its width says nothing.
        n: training images.
        timing: ``wall_s`` and ``peak_mb`` of the process; ``parts_s`` of those that computed parts of it.
    """

    split_hash: str
    architecture: Architecture
    n: int
    provenance: dict[str, Any]
    timing: dict[str, float]


Facts = TypeVar("Facts", SplitFacts, FitFacts, GramFacts)


def overlap_notes(splits: Sequence[SplitFacts]) -> list[str]:
    """A note for each dataset with identical images in its splits."""
    overlaps: dict[str, list[Overlap]] = {}
    for split in splits:
        overlaps.setdefault(split.dataset, []).append(split.overlap)
    return [note for dataset, found in overlaps.items() if (note := overlap_note(dataset, found))]


def read_split_facts(path: str | Path) -> SplitFacts:
    """Read from ``split.json`` what is needed of it; a wrong file is an ``InputError``."""
    return _picked(path, SplitFacts, "split")


def read_fit(path: str | Path) -> FitFacts:
    """Read from ``fit.json`` what is needed of it; a wrong file is an ``InputError``."""
    return _picked(path, FitFacts, "fit")


def read_gram(path: str | Path) -> GramFacts:
    """Read from ``gram.json`` what is needed of it; a wrong file is an ``InputError``."""
    return _picked(path, GramFacts, "Gram matrix's file")


def _picked(path: str | Path, model: type[Facts], what: str) -> Facts:
    """Those keys of a JSON file that a model has."""
    content = files.read_json(path)
    if isinstance(content, dict):
        content = {key: content[key] for key in model.model_fields if key in content}
    return as_model(content, model, what, where=path)
