"""SVHN (Netzer et al. 2011): 73,257 + 26,032 colour images of 32×32, house numbers; without the extra part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from advntk.ingredients.download import Mirrored, fetch
from advntk.ingredients.images import Dataset, LabelledImages, SplitSizes

if TYPE_CHECKING:
    import numpy as np

CHECKSUMS = {
    "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
}
"""SHA-256 of the original files, as in TensorFlow Datasets (``url_checksums/svhn_cropped.txt``)."""


class Options(Mirrored):
    """Sizes and the source."""

    pools: ClassVar = (73_257, 26_032)
    shape: ClassVar = (32, 32, 3)


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Fetch and verify the original files, then let torchvision decode them: it numbers the digit 0, there 10, as 0."""
    from torchvision import datasets

    assert isinstance(options, Options)
    originals = {part: datasets.SVHN.split_list[part] for part in ("train", "test")}
    source = options.mirror or originals["train"][0].rpartition("/")[0]
    fetch(CHECKSUMS, source=source, folder=folder / "SVHN")
    # verified by SHA-256 just now: torchvision need not compare its MD5 too
    checks = {"split_list": {part: [url, name, None] for part, (url, name, _) in originals.items()}}
    decoder = type("SVHN", (datasets.SVHN,), checks)
    train, test = (decoder(str(folder / "SVHN"), split=part, download=False) for part in originals)
    return LabelledImages(
        x_train=_last_channels(train.data),
        y_train=train.labels,
        x_test=_last_channels(test.data),
        y_test=test.labels,
        classes=10,
    )


def _last_channels(images: np.ndarray) -> np.ndarray:
    """n×C×H×W as n×H×W×C."""
    import numpy as np

    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


ENTRY = Dataset(
    options=Options, load=load, classes=10, source="ufldl.stanford.edu/housenumbers; for non-commercial use only"
)
