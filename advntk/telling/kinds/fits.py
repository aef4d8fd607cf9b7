"""Fits: what they are of, what made them and what they took."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.foundation.threat import ThreatModel
from advntk.telling.kinds import Kind, Order, read_facts
from advntk.telling.publishing import pieces


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


ENTRY = Kind(
    what="fit",
    model=FitFacts,
    read=partial(read_facts, FitFacts, "fit"),
    place=Order.fit,
    piece=pieces.of_fit,
    made=lambda one, _: {"name": pieces.of_fit(one), "of": {"gram": [pieces.gram_name(one)]}},
)
