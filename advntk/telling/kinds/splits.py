"""Splits: which images they hold, as far as tables and figures need it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from advntk.foundation.options import Closed
from advntk.foundation.overlap import Overlap, overlap_note
from advntk.telling.kinds import Kind, read_facts


class SplitFacts(Closed):
    """Of a split, what tables and figures need.

    Attributes:
        hash: which split it is, as records name it.
        sha256: of the arrays of the dataset; none in files of earlier versions.
        test: indices of the test images into their pool, in the order of outcomes.
        overlap: counts of identical images; none in files of earlier versions, which did not count them.
    """

    dataset: str
    seed: int
    hash: str
    test: list[int]
    sha256: str = ""
    overlap: Overlap = Overlap()


def overlap_notes(splits: Sequence[SplitFacts]) -> list[str]:
    """A note for each dataset with identical images in its splits."""
    overlaps: dict[str, list[Overlap]] = {}
    for split in splits:
        overlaps.setdefault(split.dataset, []).append(split.overlap)
    return [note for dataset, found in overlaps.items() if (note := overlap_note(dataset, found))]


ENTRY = Kind(
    what="split",
    model=SplitFacts,
    read=partial(read_facts, SplitFacts, "split"),
    part=lambda one: str(one.dataset),
    place=lambda order, one: order.at(dataset=one.dataset, seed=one.seed),
    identity=lambda one: (one.dataset, one.seed),
)
