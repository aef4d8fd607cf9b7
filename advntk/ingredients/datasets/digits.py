"""Optical recognition of handwritten digits: 1,797 grey images of 8×8, shipped with scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from advntk.ingredients.images import Dataset, LabelledImages, SplitSizes


class Options(SplitSizes):
    """Sizes: one pool of 1,797 images."""

    pools: ClassVar = (1_797, 0)
    shape: ClassVar = (8, 8, 1)

    n_opt: int = Field(default=800, ge=2, description="training images that build the kernel (opt)")
    n_val: int = Field(default=200, ge=1, description="training images held out for Adv-NTK's steps and choices (val)")


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Grey levels 0 … 16 become 0 … 255, rounded."""
    import numpy as np
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    none = np.zeros((0, 8, 8, 1), np.uint8)
    return LabelledImages(
        x_train=pixels,
        y_train=bunch.target.astype(np.int64),
        x_test=none,
        y_test=np.zeros(0, np.int64),
        classes=10,
    )


ENTRY = Dataset(
    options=Options,
    load=load,
    classes=10,
    source="UCI optical recognition of handwritten digits (test part), in scikit-learn; CC BY 4.0",
)
