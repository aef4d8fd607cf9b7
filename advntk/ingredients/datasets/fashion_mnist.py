"""Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of 28×28, ten classes of clothing."""

from __future__ import annotations

from pathlib import Path

from advntk.ingredients.datasets import _idx
from advntk.ingredients.images import Dataset, LabelledImages, SplitSizes

CHECKSUMS = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of the four original IDX files, decompressed."""


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Fetch, verify and decode the original files."""
    return _idx.load("FashionMNIST", CHECKSUMS, options, folder)


ENTRY = Dataset(
    options=_idx.Options, load=load, classes=10, source="github.com/zalandoresearch/fashion-mnist; MIT licence"
)
