"""Identical images in a split: test accuracy on images that were trained on says nothing about new ones."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from advntk.foundation.options import Closed


class Overlap(Closed):
    """Counts of images of one split whose pixels are byte for byte those of another image."""

    val: int = Field(default=0, ge=0, description="val images that are in opt too")
    test: int = Field(default=0, ge=0, description="test images that are in opt or val too")
    conflicts: int = Field(default=0, ge=0, description="images of all parts that occur with another label too")


def overlap_note(dataset: str, overlaps: Iterable[Overlap]) -> str | None:
    """One sentence about the identical images of a dataset, or None where there are none.

    Args:
        dataset: its name.
        overlaps: one for each split; the largest counts are given.

    Returns:
        The sentence.
    """
    found = list(overlaps)
    counts = {
        "of test also in opt or val": max((one.test for one in found), default=0),
        "of val also in opt": max((one.val for one in found), default=0),
        "with two labels": max((one.conflicts for one in found), default=0),
    }
    parts = [f"{count} {what}" for what, count in counts.items() if count]
    split = "a split" if len(found) == 1 else "one of its splits"
    return f"{dataset} has identical images in {split}: {', '.join(parts)}." if parts else None
