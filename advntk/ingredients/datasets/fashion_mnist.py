"""Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of 28×28, ten classes of clothing."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from advntk.ingredients.download import fetch_gzipped
from advntk.ingredients.images import Dataset, LabelledImages, SplitSizes

CHECKSUMS = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of the four original IDX files, decompressed."""


class Options(SplitSizes):
    """Sizes and the source."""

    pools: ClassVar = (60_000, 10_000)

    n_opt: int = Field(default=10_000, ge=2, description="training images that build the kernel (opt)")
    n_val: int = Field(
        default=2_000, ge=1, description="training images held out for Adv-NTK's steps and choices (val)"
    )
    n_test: int = Field(default=1_000, ge=0, description="test images, the same for every seed; 0: all 10,000")
    mirror: str = Field(default="", description="folder or URL of the four original .gz files; empty: the network")


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Fetch and verify the original files, then let torchvision decode them."""
    from torchvision.datasets import FashionMNIST

    assert isinstance(options, Options)
    source = options.mirror or FashionMNIST.mirrors[0]
    fetch_gzipped(CHECKSUMS, source=source, folder=folder / "FashionMNIST" / "raw")
    train, test = (FashionMNIST(str(folder), train=part, download=False) for part in (True, False))
    return LabelledImages(
        x_train=train.data.numpy()[..., None],
        y_train=train.targets.numpy().astype(np.int64),
        x_test=test.data.numpy()[..., None],
        y_test=test.targets.numpy().astype(np.int64),
        classes=10,
    )


ENTRY = Dataset(options=Options, load=load, classes=10, source="github.com/zalandoresearch/fashion-mnist; MIT licence")
