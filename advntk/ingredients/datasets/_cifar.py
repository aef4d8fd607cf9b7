"""What CIFAR-10 and CIFAR-100 share: 50,000 + 10,000 colour images of 32×32 as pickles in one archive.

A pickle can run any code when it is read, so none is read that is not the original: the archive's SHA-256 is checked,
its members are extracted anew each time, and each one's MD5 is checked here and by torchvision before it is unpickled.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from advntk.foundation.errors import InputError
from advntk.ingredients.download import REMEDY, Mirrored, fetch
from advntk.ingredients.images import LabelledImages, SplitSizes


class Options(Mirrored):
    """Sizes and the source."""

    pools: ClassVar = (50_000, 10_000)
    shape: ClassVar = (32, 32, 3)


def load(
    name: str,
    checksums: Mapping[str, str],
    members: Mapping[str, str],
    options: SplitSizes,
    folder: Path,
    *,
    classes: int,
) -> LabelledImages:
    """Fetch and verify the archive and its members, then let torchvision decode them.

    Args:
        name: of the dataset in torchvision.
        checksums: SHA-256 of the archive.
        members: MD5 of the archive's pickles.
        options: sizes and the source.
        folder: for downloads.
        classes: number of classes.

    Returns:
        The images.
    """
    import numpy as np
    from torchvision import datasets

    assert isinstance(options, Options)
    original = getattr(datasets, name)
    source = options.mirror or original.url.rpartition("/")[0]
    (archive,) = fetch(checksums, source=source, folder=folder)
    checks = {
        "train_list": [[member, members[member]] for member, _ in original.train_list],
        "test_list": [[member, members[member]] for member, _ in original.test_list],
        "meta": {**original.meta, "md5": members[original.meta["filename"]]},
    }
    decoder = type(name, (original,), checks)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as fresh:
        _extract(archive, Path(fresh))
        _verify(Path(fresh) / original.base_folder, members, archive)
        train, test = (decoder(fresh, train=part, download=False) for part in (True, False))
    return LabelledImages(
        x_train=np.ascontiguousarray(train.data),
        y_train=np.asarray(train.targets, dtype=np.int64),
        x_test=np.ascontiguousarray(test.data),
        y_test=np.asarray(test.targets, dtype=np.int64),
        classes=classes,
    )


def _extract(archive: Path, folder: Path) -> None:
    """Extract an archive; members that would land outside the folder are refused.

    Raises:
        InputError: not an archive, or no space.
    """
    try:
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"cannot extract ({error})", where=archive, remedy="check free disk space") from error


def _verify(folder: Path, members: Mapping[str, str], archive: Path) -> None:
    """Compare each member with its MD5.

    Raises:
        InputError: one is missing or another; the message names it.
    """
    for name, digest in members.items():
        path = folder / name
        if not path.is_file():
            raise InputError(f"lacks {folder.name}/{name}", where=archive, remedy=REMEDY)
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != digest:
            raise InputError(
                f"{folder.name}/{name} has a wrong checksum: MD5 {found[:12]}… instead of {digest[:12]}…",
                where=archive,
                remedy=REMEDY,
            )
