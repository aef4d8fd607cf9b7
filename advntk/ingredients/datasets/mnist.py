"""MNIST (LeCun et al. 1998): 60,000 + 10,000 grey images of 28×28, ten handwritten digits."""

from __future__ import annotations

from pathlib import Path

from advntk.ingredients.datasets import _idx
from advntk.ingredients.images import Dataset, LabelledImages, SplitSizes

CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of the four original IDX files, decompressed.

As in the crate ``dataset-ml`` and in GitHub's matraass11/mygrad (``cmake/assets.cmake``), which agree.
"""


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Fetch, verify and decode the original files."""
    return _idx.load("MNIST", CHECKSUMS, options, folder)


ENTRY = Dataset(
    options=_idx.Options,
    load=load,
    classes=10,
    source="the MNIST database (LeCun, Cortes, Burges); CC BY-SA 3.0 according to Keras' documentation",
)
