"""A user's own arrays in an npz: x_train, y_train, x_test, y_test; images uint8 n×H×W×C, labels integers from 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.ingredients.images import KEYS, Dataset, LabelledImages, SplitSizes


class Options(SplitSizes):
    """Sizes and the file."""

    path: str = Field(min_length=1, description="the npz file")


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Read the arrays; form and values are checked by the caller.

    Returns:
        The images.

    Raises:
        InputError: an array is missing.
    """
    assert isinstance(options, Options)
    arrays = files.read_npz(options.path)
    if missing := [key for key in KEYS if key not in arrays]:
        raise InputError(
            f"lacks {', '.join(missing)}",
            where=options.path,
            remedy=f"save the arrays {', '.join(KEYS)} with numpy.savez",
        )
    labels = [arrays[key] for key in ("y_train", "y_test")]
    if not all(label.dtype.kind in "iu" for label in labels):
        raise InputError("labels are not integers", where=options.path, remedy="give integer labels from 0")
    classes = int(max(label.max(initial=0) for label in labels)) + 1
    numbers = {key: arrays[key].astype(np.int64) for key in ("y_train", "y_test")}
    return LabelledImages(x_train=arrays["x_train"], x_test=arrays["x_test"], **numbers, classes=classes)


ENTRY = Dataset(options=Options, load=load, classes=None, source="the user's own")
