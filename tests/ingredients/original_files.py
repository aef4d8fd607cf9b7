"""Generated files in each dataset's original format, and the checksums that make the package take them for originals.

In a test::

    originals = write("cifar10", tmp_path / "mirror", train=100, test=50)
    originals.accept(monkeypatch)          # in this process, or
    originals.write_into(checkout.folder)  # in a copy of the source tree, for subprocesses

The dataset's option ``mirror`` is then ``str(originals.folder)``. Its sizes have to fit the files.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import pickle
import re
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from advntk.ingredients.images import LabelledImages

PACKAGE = "advntk.ingredients.datasets"


@dataclass(frozen=True, kw_only=True)
class Originals:
    """Generated original files of one dataset.

    Attributes:
        dataset: its name.
        folder: where the files are; a mirror.
        images: what they hold.
        constants: the dataset module's checksums, for these files: values by key, by the name of the constant.
    """

    dataset: str
    folder: Path
    images: LabelledImages
    constants: dict[str, dict[str, str]]

    def accept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the dataset's module take these files for the originals until the test ends."""
        module = importlib.import_module(f"{PACKAGE}.{self.dataset}")
        for constant, checksums in self.constants.items():
            assert set(getattr(module, constant)) == set(checksums)
            monkeypatch.setattr(module, constant, checksums)

    def write_into(self, checkout: Path) -> None:
        """Make a copy of the source tree take these files for the originals."""
        put_checksums(checkout, self.dataset, self.constants)


def put_checksums(checkout: Path, dataset: str, constants: Mapping[str, Mapping[str, str]]) -> None:
    """Put checksums into the source of a dataset's module in a copy of the source tree."""
    path = checkout.joinpath(*PACKAGE.split("."), f"{dataset}.py")
    source = path.read_text(encoding="utf-8")
    for checksums in constants.values():
        for name, digest in checksums.items():
            entry = re.compile(rf'("{re.escape(name)}": ")[0-9a-f]{{{len(digest)}}}(")')
            source, count = entry.subn(rf"\g<1>{digest}\g<2>", source)
            assert count == 1, f"{path}: {count} checksums of {name}"
    path.write_text(source, encoding="utf-8")


def write(dataset: str, folder: Path, *, train: int = 60, test: int = 40, seed: int = 0) -> Originals:
    """Write original files of generated images into a folder.

    Args:
        dataset: mnist, fashion_mnist, cifar10, cifar100 or svhn.
        folder: the mirror; made if it is not there.
        train: number of training images.
        test: number of test images.
        seed: of the images, with the dataset's name.

    Returns:
        The files, their content, and the checksums that the dataset's module needs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    maker, shape, classes = FORMS[dataset]
    images = generated(shape, classes, train, test, [seed, *dataset.encode()])
    return Originals(dataset=dataset, folder=folder, images=images, constants=maker(dataset, folder, images))


def generated(shape: tuple[int, int, int], classes: int, train: int, test: int, seed: list[int]) -> LabelledImages:
    """Images that can be learnt: a random pattern for each class, and noise. Classes are as equal as can be."""
    generator = np.random.default_rng(seed)
    patterns = generator.uniform(64, 192, (classes, *shape))
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        labels = generator.permutation(np.arange(count) % classes)
        pixels = patterns[labels] + generator.normal(0, 32, (count, *shape))
        arrays |= {f"x_{part}": np.clip(pixels, 0, 255).astype(np.uint8), f"y_{part}": labels.astype(np.int64)}
    return LabelledImages(**arrays, classes=classes)


def write_idx(dataset: str, folder: Path, images: LabelledImages) -> dict[str, dict[str, str]]:
    """Four gzipped IDX files: type, sizes as big-endian integers, bytes; the checksums are of what is in the gzip."""
    checksums = {}
    for prefix, part in (("train", "train"), ("t10k", "test")):
        pixels, labels = getattr(images, f"x_{part}")[..., 0], getattr(images, f"y_{part}").astype(np.uint8)
        for name, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            content = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
            (folder / f"{prefix}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
            checksums[f"{prefix}-{name}-ubyte"] = sha256(content)
    return {"CHECKSUMS": checksums}


def write_cifar(dataset: str, folder: Path, images: LabelledImages) -> dict[str, dict[str, str]]:
    """One archive of pickles: CIFAR-10 has five training batches, CIFAR-100 one, with two kinds of labels."""
    labels = "labels" if dataset == "cifar10" else "fine_labels"

    def batch(name: str, pixels: np.ndarray, numbers: np.ndarray) -> bytes:
        rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
        content = {
            b"data": rows,
            labels.encode(): numbers.tolist(),
            b"batch_label": name.encode(),
            b"filenames": [b"%d.png" % index for index in range(len(rows))],
        }
        return pickled(content if dataset == "cifar10" else content | {b"coarse_labels": (numbers // 5).tolist()})

    names = [b"class %d" % number for number in range(images.classes)]
    if dataset == "cifar10":
        parts = np.array_split(np.arange(len(images.y_train)), 5)
        members = {
            f"data_batch_{number}": batch(f"training batch {number} of 5", images.x_train[part], images.y_train[part])
            for number, part in enumerate(parts, start=1)
        }
        members |= {
            "test_batch": batch("testing batch 1 of 1", images.x_test, images.y_test),
            "batches.meta": pickled({b"label_names": names, b"num_vis": 3072}),
        }
    else:
        members = {
            "train": batch("training batch 1 of 1", images.x_train, images.y_train),
            "test": batch("testing batch 1 of 1", images.x_test, images.y_test),
            "meta": pickled({b"fine_label_names": names, b"coarse_label_names": names[:20]}),
        }
    return write_archive(dataset, folder, members)


def write_archive(dataset: str, folder: Path, members: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """The archive of CIFAR-10 or CIFAR-100 with these members; its checksums."""
    name, inside = ARCHIVES[dataset]
    with tarfile.open(folder / name, "w:gz") as archive:
        for member, content in members.items():
            entry = tarfile.TarInfo(f"{inside}/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return {
        "CHECKSUMS": {name: sha256((folder / name).read_bytes())},
        "MEMBERS": {member: hashlib.md5(content).hexdigest() for member, content in members.items()},
    }


def write_svhn(dataset: str, folder: Path, images: LabelledImages) -> dict[str, dict[str, str]]:
    """Two MATLAB files: images 32×32×3×n, labels n×1, where the digit 0 has the label 10."""
    from scipy.io import savemat

    checksums = {}
    for part in ("train", "test"):
        labels = getattr(images, f"y_{part}")
        path = folder / f"{part}_32x32.mat"
        arrays = {
            "X": getattr(images, f"x_{part}").transpose(1, 2, 3, 0),
            "y": np.where(labels == 0, 10, labels).astype(np.uint8)[:, None],
        }
        savemat(path, arrays, do_compression=True)
        checksums[path.name] = sha256(path.read_bytes())
    return {"CHECKSUMS": checksums}


class _Python2(pickle._Pickler):
    """Protocol 2 with the byte strings of Python 2 and the dtypes of its numpy, as in the original archives."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)
    dispatch_table: ClassVar = {
        type(np.dtype(np.uint8)): lambda dtype: (np.dtype, (b"u1", 0, 1), dtype.__reduce__()[2]),
    }

    def save_string(self, text: str | bytes) -> None:
        content = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(content).to_bytes(4, "little") + content)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


def pickled(content: Any) -> bytes:
    """As Python 2 pickled it."""
    out = io.BytesIO()
    _Python2(out, protocol=2).dump(content)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


ARCHIVES = {
    "cifar10": ("cifar-10-python.tar.gz", "cifar-10-batches-py"),
    "cifar100": ("cifar-100-python.tar.gz", "cifar-100-python"),
}
FORMS: dict[str, tuple[Callable[..., dict[str, dict[str, str]]], tuple[int, int, int], int]] = {
    "mnist": (write_idx, (28, 28, 1), 10),
    "fashion_mnist": (write_idx, (28, 28, 1), 10),
    "cifar10": (write_cifar, (32, 32, 3), 10),
    "cifar100": (write_cifar, (32, 32, 3), 100),
    "svhn": (write_svhn, (32, 32, 3), 10),
}
"""How each dataset is written, the shape of its images, and its number of classes."""
