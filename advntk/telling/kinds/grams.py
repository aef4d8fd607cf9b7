"""Gram matrices: what they are of, what made them and what they took."""

from __future__ import annotations

from functools import partial
from typing import Any

from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.telling.kinds import Kind, Order, read_facts
from advntk.telling.kinds.splits import SplitFacts
from advntk.telling.publishing.pieces import gram_name


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


def _place(order: Order, gram: GramFacts) -> tuple[int, ...]:
    """Dataset, network, seed."""
    splits = {split.hash: (split.dataset, split.seed) for split in order.suite.of(SplitFacts)}
    dataset, seed = splits.get(gram.split_hash, ("", 0))
    return order.at(dataset=dataset, network=gram.architecture.label, seed=seed)


ENTRY = Kind(
    what="Gram matrix's file",
    model=GramFacts,
    read=partial(read_facts, GramFacts, "Gram matrix's file"),
    place=_place,
    identity=lambda one: (*gram_name(one), one.provenance.get("content")),
    made=lambda one, _: {"name": gram_name(one)},
)
