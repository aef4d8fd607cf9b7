"""CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32×32, a hundred classes (the fine labels)."""

from __future__ import annotations

from pathlib import Path

from advntk.ingredients.datasets import _cifar
from advntk.ingredients.images import Dataset, LabelledImages, SplitSizes

CHECKSUMS = {"cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"}
"""SHA-256 of the original archive, as in Keras (``keras/src/datasets/cifar100.py``)."""

MEMBERS = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
"""MD5 of the archive's pickles, as in torchvision (``torchvision/datasets/cifar.py``)."""


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Fetch, verify and decode the original files."""
    return _cifar.load("CIFAR100", CHECKSUMS, MEMBERS, options, folder, classes=100)


ENTRY = Dataset(
    options=_cifar.Options,
    load=load,
    classes=100,
    source="www.cs.toronto.edu/~kriz/cifar.html; no licence stated, asks to cite Krizhevsky 2009",
)
