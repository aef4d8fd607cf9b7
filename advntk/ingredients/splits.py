"""One split manifest a (dataset, seed): which images are opt, val and test, hashed; every method uses it."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advntk.foundation import files, provenance
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.options import validated
from advntk.foundation.overlap import Overlap
from advntk.foundation.training_images import TrainingImages
from advntk.ingredients.images import LabelledImages, SplitSizes

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "advntk-split-1"
PARTS = ("opt", "val", "test")
KEYS = ("pixels", "labels", "indices")
OVERLAP = 0.01
"""Share of test or val images that may also be in what a predictor is made from, or chosen on; published datasets stay
far below it. One image may, whatever its share."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Images of one part: uint8, or floats in [0, 1], (n, H, W, C), labels (n,), indices into their pool (n,)."""

    pixels: np.ndarray
    labels: np.ndarray
    indices: np.ndarray

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.pixels.shape[1:]
        return int(height), int(width), int(channels)

    @functools.cached_property
    def images(self) -> np.ndarray:
        """The images as float32 in [0, 1]."""
        import numpy as np

        if self.pixels.dtype.kind == "f":
            return self.pixels.astype(np.float32, copy=False)
        return self.pixels.astype(np.float32) / np.float32(255)

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Part:
        """Its first images, at most ``count``; parts are in random order."""
        return Part(pixels=self.pixels[:count], labels=self.labels[:count], indices=self.indices[:count])

    def followed_by(self, other: Part) -> Part:
        """This part's images, then the other's."""
        import numpy as np

        pairs = ((getattr(self, key), getattr(other, key)) for key in KEYS)
        return Part(**{key: np.concatenate(pair) for key, pair in zip(KEYS, pairs, strict=True)})


@dataclass(frozen=True, kw_only=True)
class Split:
    """The parts of a dataset under one seed.

    Attributes:
        hash: SHA-256 over indices, pixels and labels; stands in every record.
        sha256: of the arrays of the prepared dataset that it was drawn from; empty where it is not known.
        path: of the manifest that it was read from.
        label_noise: share of the opt images whose label is wrong.
        overlap: counts of identical images, labels taken before noise; not part of the hash.
    """

    dataset: str
    seed: int
    classes: int
    hash: str
    opt: Part
    val: Part
    test: Part
    sha256: str = ""
    path: Path | None = None
    label_noise: float = 0.0
    overlap: Overlap = field(default_factory=Overlap)

    @property
    def data(self) -> str:
        """The beginning of ``sha256``, as records name it."""
        return self.sha256[: provenance.DIGITS]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.opt.input_shape

    def training(self, images: TrainingImages) -> Part:
        """The images that a predictor is made from: ``opt``, or ``all``, which begins with opt."""
        return self.opt if images == "opt" else self.opt.followed_by(self.val)


def with_label_noise(part: Part, share: float, classes: int, generator: np.random.Generator) -> Part:
    """A part in which a share of the labels, drawn at random, became another class.

    Args:
        part: images with labels.
        share: of the images, in [0, 1].
        classes: c.
        generator: of the draw.

    Returns:
        The same images.

    Raises:
        ConfigError: there is no other class.
    """
    if classes < 2:
        raise ConfigError("wrong labels need another class", where="label_noise", remedy="set it to 0")
    labels = part.labels.copy()
    chosen = generator.choice(len(labels), size=round(share * len(labels)), replace=False)
    labels[chosen] = (labels[chosen] + generator.integers(1, classes, size=len(chosen))) % classes
    return Part(pixels=part.pixels, labels=labels, indices=part.indices)


def stratified(labels: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of ``count`` examples in random order, each class in its share of ``labels`` (largest remainders)."""
    import numpy as np

    classes, members = np.unique(labels, return_counts=True)
    exact = members * (count / len(labels))
    quota = np.floor(exact).astype(int)
    quota[np.argsort(-(exact - quota), kind="stable")[: count - quota.sum()]] += 1
    chosen = [generator.permutation(np.flatnonzero(labels == c))[:k] for c, k in zip(classes, quota, strict=True)]
    return generator.permutation(np.concatenate(chosen))


def overlap_of(parts: Mapping[str, Part]) -> Overlap:
    """Count the identical images in opt, val and test."""
    digests = {
        name: [hashlib.blake2b(image.tobytes()).digest() for image in part.pixels] for name, part in parts.items()
    }
    opt, labels = set(digests["opt"]), dict[bytes, set[int]]()
    training = opt.union(digests["val"])
    for name, part in parts.items():
        for digest, label in zip(digests[name], part.labels.tolist(), strict=True):
            labels.setdefault(digest, set()).add(label)
    return Overlap(
        val=sum(digest in opt for digest in digests["val"]),
        test=sum(digest in training for digest in digests["test"]),
        conflicts=sum(len(labels[digest]) > 1 for every in digests.values() for digest in every),
    )


def _check_parts(
    parts: Mapping[str, Part], overlap: Overlap, images: LabelledImages, sizes: SplitSizes, where: str
) -> None:
    """Refuse a split that cannot be learnt from, or whose val or test images are those that it is learnt from."""
    import numpy as np

    if len(found := np.unique(parts["opt"].labels)) < images.classes:
        first = np.setdiff1d(np.arange(images.classes), found)[0]
        what = f"{images.classes - len(found)} of {images.classes} classes have no image among the {sizes.n_opt} of opt"
        raise ConfigError(
            f"{what}, such as class {first}", where=where, remedy="raise n_opt, or leave these classes out"
        )
    for name, count, known in (("val", overlap.val, "opt"), ("test", overlap.test, "opt or val")):
        if count > max(1, OVERLAP * len(parts[name])) and not sizes.allow_overlap:
            what = f"{count} of the {len(parts[name])} {name} images are also in {known}"
            raise ConfigError(what, where=where, remedy="remove duplicates from the data, or set allow_overlap: true")


def _choose(images: LabelledImages, sizes: SplitSizes, seed: int, where: str) -> dict[str, np.ndarray]:
    """Indices of each part into its pool; test images from a test pool are the same for every seed."""
    import numpy as np

    pooled = len(images.x_test) == 0
    if (problem := sizes.excess(len(images.x_train), len(images.x_test))) is not None:
        raise ConfigError(problem, where=where, remedy="lower n_opt, n_val or n_test")
    generator = np.random.default_rng([seed, 1])
    training = stratified(images.y_train, sizes.n_opt + sizes.n_val, generator)
    inner = stratified(images.y_train[training], sizes.n_val, generator)
    val, opt = training[inner], np.delete(training, inner)
    pool, labels = np.arange(len(images.y_test)), images.y_test
    if pooled:
        pool = np.setdiff1d(np.arange(len(images.y_train)), training)
        labels = images.y_train[pool]
    fixed = np.random.default_rng([seed if pooled else 0, 2])
    test = pool[stratified(labels, sizes.n_test or len(pool), fixed)]
    return {"opt": opt, "val": val, "test": test}


def make_split(images: LabelledImages, sizes: SplitSizes, *, dataset: str, seed: int) -> Split:
    """Draw stratified, disjoint parts; the same seed gives the same split.

    Args:
        images: the dataset's pools.
        sizes: images in each part, and how many of opt get a wrong label.
        dataset: its name.
        seed: of the split.

    Returns:
        The split. (A request for more images than there are, a class without images in opt, and many identical images
        in two parts raise ``ConfigError``.)
    """
    import numpy as np

    pooled = len(images.x_test) == 0
    where = sizes.place(dataset)
    parts = {}
    for part, indices in _choose(images, sizes, seed, where).items():
        from_test = part == "test" and not pooled
        x, y = (images.x_test, images.y_test) if from_test else (images.x_train, images.y_train)
        parts[part] = Part(pixels=x[indices], labels=y[indices], indices=indices)
    overlap = overlap_of(parts)
    _check_parts(parts, overlap, images, sizes, where)
    if sizes.label_noise > 0:
        generator = np.random.default_rng([seed, 3])
        parts["opt"] = with_label_noise(parts["opt"], sizes.label_noise, images.classes, generator)
    return Split(
        dataset=dataset,
        seed=seed,
        classes=images.classes,
        hash=_hash(parts),
        sha256=images.sha256,
        path=None,
        label_noise=sizes.label_noise,
        overlap=overlap,
        **parts,
    )


def _arrays(parts: dict[str, Part]) -> dict[str, np.ndarray]:
    return {f"{part}_{key}": getattr(parts[part], key) for part in PARTS for key in KEYS}


def _hash(parts: dict[str, Part]) -> str:
    return files.sha256_of_arrays(_arrays(parts))


def write_split(path: Path, split: Split, *, made: dict[str, Any] | None = None) -> None:
    """Write the arrays (``split.npz``) and then the manifest (``split.json``), which names their hash.

    Args:
        path: of the manifest.
        split: what is written.
        made: provenance; equal runs write equal manifests outside it.
    """
    parts = {part: getattr(split, part) for part in PARTS}
    files.write_npz(path.with_suffix(".npz"), _arrays(parts))
    manifest: dict[str, Any] = {
        "schema": SCHEMA,
        "dataset": split.dataset,
        "seed": split.seed,
        "classes": split.classes,
        "hash": split.hash,
        "data": split.data,
        "sha256": split.sha256,
        "label_noise": split.label_noise,
        "overlap": split.overlap.model_dump(),
        "input_shape": list(split.input_shape),
        **{f"n_{part}": len(parts[part]) for part in PARTS},
        **{part: parts[part].indices.tolist() for part in PARTS},
        "provenance": made or {},
    }
    files.write_json(path, manifest)


def read_split(path: Path) -> Split:
    """Read a split and verify its hash.

    Returns:
        The split.

    Raises:
        InputError: missing, truncated, or changed since it was made.
    """
    manifest = files.read_json(path)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise InputError(f"not a split of schema {SCHEMA}", where=path, remedy="delete it and run 'split' again")
    arrays = files.read_npz(path.with_suffix(".npz"))
    try:
        parts = {part: Part(**{key: arrays[f"{part}_{key}"] for key in KEYS}) for part in PARTS}
        found = _hash(parts)
        if found != manifest["hash"]:
            raise InputError("arrays differ from the manifest's hash", where=path, remedy="delete both and run 'split'")
        return Split(
            dataset=manifest["dataset"],
            seed=manifest["seed"],
            classes=manifest["classes"],
            hash=found,
            sha256=manifest.get("sha256") or manifest.get("data", ""),  # of earlier versions its beginning
            path=path,
            label_noise=manifest.get("label_noise", 0.0),
            overlap=validated(Overlap, manifest.get("overlap", {}), f"{path}: overlap"),
            **parts,
        )
    except KeyError as error:
        raise InputError(f"lacks {error}", where=path, remedy="delete it and run 'split' again") from error
