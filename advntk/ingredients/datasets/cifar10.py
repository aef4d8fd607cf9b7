"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32×32, ten classes of animals and vehicles."""

from __future__ import annotations

from pathlib import Path

from advntk.ingredients.datasets import _cifar
from advntk.ingredients.images import Dataset, LabelledImages, SplitSizes

CHECKSUMS = {"cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"}
"""SHA-256 of the original archive, as in Keras (``keras/src/datasets/cifar10.py``)."""

MEMBERS = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
"""MD5 of the archive's pickles, as in torchvision (``torchvision/datasets/cifar.py``)."""


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Fetch, verify and decode the original files."""
    return _cifar.load("CIFAR10", CHECKSUMS, MEMBERS, options, folder, classes=10)


ENTRY = Dataset(
    options=_cifar.Options,
    load=load,
    classes=10,
    source="www.cs.toronto.edu/~kriz/cifar.html; no licence stated, asks to cite Krizhevsky 2009",
)
