"""Labelled images in one form: uint8 (n, H, W, C) and integer labels, whatever they came from."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, model_validator

from advntk.foundation import files, provenance
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed
from advntk.foundation.training_images import TrainingImages

if TYPE_CHECKING:
    import numpy as np

KEYS = ("x_train", "y_train", "x_test", "y_test")
CHECKSUM = "sha256"
"""Option that only says what the images have to be."""
MAP_LABELS = (
    "map labels to 0 … c−1: classes, y_train = np.unique(y_train, return_inverse=True); "
    "y_test = np.searchsorted(classes, y_test)"
)


class SplitSizes(Closed):
    """How many images each part of a split takes; every dataset has these options.

    Attributes:
        pools: training and test images that there are; without test images the split takes them from the training
            images.
        shape: (H, W, C) of an image. Both are asked for before any job; only where the data are a user's file, whose
            ``path`` is then an option, can they be left to it.
    """

    pools: ClassVar[tuple[int, int] | None] = None
    shape: ClassVar[tuple[int, int, int] | None] = None

    n_opt: int = Field(ge=2, description="training images that build the kernel (opt)")
    n_val: int = Field(ge=1, description="training images held out for Adv-NTK's steps and all choices (val)")
    n_test: int = Field(default=0, ge=0, description="test images; 0: all there are")
    label_noise: float = Field(
        default=0.0, ge=0, lt=1, description="share of the opt images that get a wrong label; val and test keep theirs"
    )
    allow_overlap: bool = Field(
        default=False, description="take a split in which more than 1% of val or test images are in opt or val too"
    )

    @model_validator(mode="after")
    def _are_there(self) -> SplitSizes:
        if self.pools is not None and (problem := self.excess(*self.pools)):
            raise ValueError(problem)
        return self

    def training(self, images: TrainingImages) -> int:
        """How many images a predictor is made from."""
        return self.n_opt + (self.n_val if images == "all" else 0)

    def place(self, dataset: str) -> str:
        """Where the sizes of a dataset stand, with the user's file, if there is one; for messages."""
        path = getattr(self, "path", None)
        return f"dataset_options.{dataset}" + (f" ({path})" if path else "")

    def of_jobs(self) -> dict[str, Any]:
        """As jobs get them: without a checksum, compared before any job already, so that adding one reruns nothing."""
        return self.model_dump(mode="json", exclude={CHECKSUM})

    def excess(self, train: int, test: int) -> str | None:
        """What asks for more images than a dataset of ``train`` and ``test`` ones has, or None."""
        wanted, names = self.n_opt + self.n_val, "n_opt + n_val"
        if test == 0:
            wanted, names = wanted + max(self.n_test, 1), "n_opt + n_val + n_test"
        if wanted > train:
            return f"{names} = {wanted} is more than the {train} images"
        if self.n_test > test > 0:
            return f"n_test = {self.n_test} is more than the {test} test images"
        return None


@dataclass(frozen=True, kw_only=True)
class LabelledImages:
    """Pools of a dataset.

    Attributes:
        x_train: uint8, (n, H, W, C).
        y_train: int64, (n,), classes 0 … c − 1.
        x_test: uint8; empty where the dataset is one pool, from which the test images are then drawn too.
        y_test: int64.
        classes: c.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name, as it is kept."""
        import numpy as np

        return {**{key: getattr(self, key) for key in KEYS}, "classes": np.asarray(self.classes)}

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of images, labels and their order, whatever file they came from."""
        return files.sha256_of_arrays(self.arrays)

    @property
    def digest(self) -> str:
        """Its beginning, which stands in every record that comes from them."""
        return self.sha256[: provenance.DIGITS]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A registry entry.

    Attributes:
        options: model of its options; extends :class:`SplitSizes`.
        load: (options, folder for downloads) → images.
        classes: number of classes, or None where the data tell.
        source: where the data come from and under which licence.
    """

    options: type[SplitSizes]
    load: Callable[[SplitSizes, Path], LabelledImages]
    classes: int | None
    source: str


def checked(images: LabelledImages, where: object) -> LabelledImages:
    """The images, once their form is right.

    Returns:
        The images unchanged.

    Raises:
        InputError: wrong dtype, shape, length or labels, or a class without training images; the message names the
            array.
    """
    for part in ("train", "test"):
        x, y = getattr(images, f"x_{part}"), getattr(images, f"y_{part}")
        _check_pixels(f"x_{part}", x, where)
        integers = y.dtype.kind in "iu"
        if not integers or y.shape != (len(x),):
            raise InputError(
                f"y_{part} has dtype {y.dtype} and shape {y.shape} for {len(x)} images",
                where=where,
                remedy="give one integer label for each image" + ("" if integers else f"; {MAP_LABELS}"),
            )
        if len(y) and (y.min() < 0 or y.max() >= images.classes):
            raise InputError(
                f"y_{part} has labels {y.min()} … {y.max()} for {images.classes} classes",
                where=where,
                remedy="number the classes from 0",
            )
    if len(images.x_test) and images.x_test.shape[1:] != images.x_train.shape[1:]:
        raise InputError(
            f"x_train has images {images.x_train.shape[1:]}, x_test {images.x_test.shape[1:]}",
            where=where,
            remedy="give both the same size",
        )
    _check_classes(images, where)
    return images


def _check_pixels(name: str, x: np.ndarray, where: object) -> None:
    """Refuse what is not uint8 n×H×W×C."""
    import numpy as np

    if x.dtype.kind == "f" and (count := int((~np.isfinite(x)).sum())):
        raise InputError(f"{name} holds {count} NaN or infinite values", where=where, remedy="clean the data")
    if x.dtype != np.uint8:
        values, remedy = "", "give uint8 pixels, 0 to 255 (n, H, W, C)"
        if x.dtype.kind in "biuf" and x.size:
            least, most = float(x.min()), float(x.max())
            values = f", values {least:g} … {most:g}"
            if least >= 0 and most <= 255:
                scaled = "255.0 * x" if most <= 1 else "x"
                remedy += f": np.rint({scaled}).astype(np.uint8)"
        raise InputError(f"{name} has dtype {x.dtype}{values}", where=where, remedy=remedy)
    if x.ndim != 4 or (len(x) and 0 in x.shape):
        raise InputError(
            f"{name} has shape {x.shape}", where=where, remedy="give n×H×W×C; grey images have C = 1: x[..., None]"
        )


def _check_classes(images: LabelledImages, where: object) -> None:
    """Refuse fewer than two classes, and classes without training images."""
    import numpy as np

    found = np.unique(images.y_train)
    if len(found) < 2:
        what = f"all labels of y_train are {found[0]}" if len(found) else "x_train has no images"
        raise InputError(what, where=where, remedy="give images of two classes or more")
    if (lacking := images.classes - len(found)) > 0:
        first = next(index for index, label in enumerate([*found.tolist(), -1]) if label != index)
        what = f"{lacking} of the classes 0 … {images.classes - 1} have no image in x_train, such as class {first}"
        raise InputError(what, where=where, remedy=MAP_LABELS)


def load(dataset: Dataset, options: SplitSizes, downloads: Path) -> LabelledImages:
    """Load a dataset and check it: download, verify, decode, or read the user's file.

    Returns:
        The images. (A fault of the data is an ``InputError`` that names the user's file, if there is one.)
    """
    return checked(dataset.load(options, downloads), where=getattr(options, "path", dataset.source))


def prepare(
    dataset: Dataset, options: SplitSizes, *, downloads: Path, out: Path, made: dict[str, Any] | None = None
) -> None:
    """Load a dataset once and keep it as one npz for all later jobs.

    Args:
        dataset: registry entry.
        options: its options.
        downloads: folder for original files.
        out: the npz.
        made: provenance, which is kept beside the arrays as JSON.
    """
    import numpy as np

    images = load(dataset, options, downloads)
    files.write_npz(out, {**images.arrays, "provenance": np.array(json.dumps(made or {}))})


def read_prepared(path: Path) -> LabelledImages:
    """Read what :func:`prepare` wrote.

    Returns:
        The images.

    Raises:
        InputError: an array is missing.
    """
    arrays = files.read_npz(path)
    if missing := [key for key in (*KEYS, "classes") if key not in arrays]:
        raise InputError(f"lacks {', '.join(missing)}", where=path, remedy="delete it and run 'prepare' again")
    return checked(LabelledImages(**{k: arrays[k] for k in KEYS}, classes=int(arrays["classes"])), where=path)
