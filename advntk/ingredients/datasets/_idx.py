"""What MNIST and Fashion-MNIST share: 60,000 + 10,000 grey images of 28×28 in four gzipped IDX files, ten classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from advntk.ingredients.download import Mirrored, fetch
from advntk.ingredients.images import LabelledImages, SplitSizes


class Options(Mirrored):
    """Sizes and the source."""

    pools: ClassVar = (60_000, 10_000)
    shape: ClassVar = (28, 28, 1)

    n_test: int = Field(default=1_000, ge=0, description="test images, the same for every seed; 0: all 10,000")


def load(name: str, checksums: Mapping[str, str], options: SplitSizes, folder: Path) -> LabelledImages:
    """Fetch and verify the four files, then let torchvision decode them.

    Args:
        name: of the dataset in torchvision.
        checksums: SHA-256 of the decompressed files: training images and labels, test images and labels.
        options: sizes and the source.
        folder: for downloads.

    Returns:
        The images.
    """
    import numpy as np
    from torchvision import datasets
    from torchvision.datasets.mnist import read_image_file, read_label_file

    assert isinstance(options, Options)
    source = options.mirror or getattr(datasets, name).mirrors[0]
    paths = fetch(checksums, source=source, folder=folder / name / "raw", gzipped=True)
    train, test = (
        (read_image_file(images).numpy()[..., None], read_label_file(labels).numpy().astype(np.int64))
        for images, labels in (paths[:2], paths[2:])
    )
    return LabelledImages(x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1], classes=10)
