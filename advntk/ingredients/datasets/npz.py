"""A user's own arrays in an npz: x_train, y_train, x_test, y_test.

Images are uint8 n×H×W×C with white at 255, grey ones with C = 1. Labels are integers 0 … c − 1. Other arrays are
ignored.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import Field

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.options import UserPath
from advntk.ingredients.images import KEYS, Dataset, LabelledImages, SplitSizes, checked

DARK = 16
"""Largest pixel of images that were surely not scaled to 0 … 255: of 1 bit (0, 1), of 4 bits, or of 0 … 16."""


class Options(SplitSizes):
    """Sizes and the file."""

    path: UserPath = Field(min_length=1, description="the npz file")
    sha256: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="SHA-256 of the arrays, as split.json names it; a file of other arrays is refused",
    )
    dark: bool = Field(default=False, description=f"take images without a pixel above {DARK}, with white at 255")


def load(options: SplitSizes, folder: Path) -> LabelledImages:
    """Read and check the arrays.

    Returns:
        The images, labels int64.

    Raises:
        InputError: an array is missing, of a wrong form, or holds implausible pixels; or the arrays have another
            SHA-256 than the options say.
    """
    import numpy as np

    assert isinstance(options, Options)
    arrays = files.read_npz(options.path, only=KEYS)
    if missing := [key for key in KEYS if key not in arrays]:
        raise InputError(
            f"lacks {', '.join(missing)}",
            where=options.path,
            remedy=f"save the arrays {', '.join(KEYS)} with numpy.savez",
        )
    labels = [arrays[key] for key in ("y_train", "y_test")]
    largest = max((int(label.max()) for label in labels if label.dtype.kind in "iu" and label.size), default=0)
    images = checked(LabelledImages(**arrays, classes=largest + 1), where=options.path)
    for name in ("x_train", "x_test"):
        most = int(arrays[name].max(initial=0))
        if len(arrays[name]) and most <= DARK and not options.dark:
            remedy = f"multiply by 255 / {most or 1}, or set dark: true if the images are that dark"
            what = f"{name} has no pixel above {most}, but white is 255"
            raise InputError(what, where=options.path, remedy=remedy)
    found = replace(images, y_train=images.y_train.astype(np.int64), y_test=images.y_test.astype(np.int64))
    if options.sha256 not in ("", found.sha256):
        remedy = "give the file that the suite is for, or correct 'sha256' in its dataset_options"
        what = f"its arrays have SHA-256 {found.sha256}, not {options.sha256}"
        raise InputError(what, where=options.path, remedy=remedy)
    return found


ENTRY = Dataset(options=Options, load=load, classes=None, source="the user's own")
