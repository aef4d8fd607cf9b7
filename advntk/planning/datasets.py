"""What is known of a dataset before it is prepared; a user's own file is read and checked for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from advntk.foundation import files
from advntk.foundation.errors import ConfigError, InputError
from advntk.ingredients.images import CHECKSUM, Dataset, SplitSizes, load

Stamp = tuple[int, ...]
Shape = tuple[int, int, int]
OF_NO_CONTENT = {"mirror", CHECKSUM}
"""Options on which the images do not depend: where to fetch them, and what they have to be."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Shape (H, W, C), classes and test images of a dataset."""

    shape: Shape
    classes: int
    n_test: int

    @property
    def places(self) -> int:
        """Pixels of an image, channels not counted."""
        return self.shape[0] * self.shape[1]

    @property
    def numbers(self) -> int:
        """Numbers in an image."""
        return self.places * self.shape[2]


def facts_of(dataset: str, entry: Dataset, sizes: SplitSizes) -> Facts:
    """Say what its entry declares of a dataset, or what the user's file holds.

    Args:
        dataset: its name.
        entry: its registry entry.
        sizes: its options.

    Returns:
        What is known.

    Raises:
        InputError: a user's own file is not there or not of the documented form.
        ConfigError: the dataset does not say what has to be known before it is prepared, or has too few images.
    """
    shape, classes, pools = type(sizes).shape, entry.classes, type(sizes).pools
    if shape is None or classes is None or pools is None:
        path = getattr(sizes, "path", None)
        if path is None:
            raise ConfigError(
                f"'{dataset}' does not say how many images it has, of what shape, and of how many classes",
                where="datasets",
                remedy="give its options 'pools' and 'shape', and its ENTRY 'classes' (docs/extend.md)",
            )
        shape, classes, pools = _of_file(entry, sizes, _stamp(path))
        if (problem := sizes.excess(*pools)) is not None:
            raise ConfigError(problem, where=sizes.place(dataset), remedy="lower n_opt, n_val or n_test")
    # without test images of its own, a dataset's test images are what opt and val leave
    left = pools[1] or pools[0] - sizes.n_opt - sizes.n_val
    return Facts(shape=shape, classes=classes, n_test=sizes.n_test or left)


def prepared_name(kind: str, sizes: SplitSizes) -> str:
    """Name of a dataset's prepared file, shared by all datasets of one kind that differ only in their splits.

    With options of its own that are not the defaults it ends with a digest of these, and for a user's file of the
    file's content. Suites with different files then share nothing, and another file in the same place is prepared anew,
    whatever its time.

    Args:
        kind: name of its registry entry.
        sizes: its options.

    Returns:
        The name, without suffix. (A user's file that is not there raises ``InputError``.)
    """
    path = getattr(sizes, "path", None)
    given = sizes.model_dump(mode="json", exclude={*SplitSizes.model_fields, *OF_NO_CONTENT})
    if path is not None:
        content = {**given, "file": _digest(path, _stamp(path))}
    else:
        content = {key: value for key, value in given.items() if value != type(sizes).model_fields[key].default}
    return f"{kind}-{files.sha256_of_json(content)[:12]}" if content else kind


@cache
def _of_file(entry: Dataset, sizes: SplitSizes, stamp: Stamp) -> tuple[Shape, int, tuple[int, int]]:
    """Shape, classes, and counts of training and test images of a user's file, checked as for ``prepare``."""
    try:
        images = load(entry, sizes, Path())
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"what it holds must be known before any job, and reading it needs {error.name}",
            where=getattr(sizes, "path", "datasets"),
            remedy="run Snakemake in the environment of the project (README), not in one of Snakemake alone",
        ) from error
    height, width, channels = images.x_train.shape[1:]
    return (height, width, channels), images.classes, (len(images.x_train), len(images.x_test))


@cache
def _digest(path: str, stamp: Stamp) -> str:
    return files.sha256_of_file(path)


def _stamp(path: str) -> Stamp:
    """Size, time and inode of a user's file: while they stay, it is read once a process."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise InputError(error.strerror or str(error), where=path, remedy="check the path of the dataset") from error
    return found.st_size, found.st_mtime_ns, found.st_ino
