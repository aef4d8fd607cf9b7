"""The contracts of datasets and methods: loaded and split, trained and read back."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.grams import build_gram
from advntk.ingredients.images import SplitSizes, load
from advntk.ingredients.splits import Split, make_split, write_split
from advntk.learning.fits import CURVE_COLUMNS, write_fit
from advntk.learning.loading import load_fit
from advntk.learning.method import Setting, Task
from advntk.testing.options import check_described, entry_of
from advntk.testing.predictors import digits_split

CPU = Compute(device="cpu")
RADII = ThreatModel(eps255=16), ThreatModel(eps255=40)


def check_declared(name: str) -> None:
    """What is asked of a dataset's entry before its images are there."""
    entry = registry.get(registry.DATASETS, name)
    assert issubclass(entry.options, SplitSizes), "the options do not extend SplitSizes"
    check_described(entry.options, entry.source)
    # known before any job, or read from a user's own file
    declared = entry.options.pools, entry.options.shape, entry.classes
    known = all(fact is not None for fact in declared) or "path" in entry.options.model_fields
    assert known, "options need 'pools' and 'shape', and the entry 'classes'"


def check_dataset(name: str, options: Mapping[str, Any] | None = None) -> None:
    """All that every dataset has to keep; it is loaded, and split with two seeds.

    Args:
        name: of the entry.
        options: of the entry; what is left out has its default.
    """
    check_declared(name)
    entry, chosen = entry_of(registry.DATASETS, name, options)
    with tempfile.TemporaryDirectory() as folder:
        images, again = load(entry, chosen, Path(folder)), load(entry, chosen, Path(folder))
    assert images.sha256 == again.sha256, "loaded twice, it is not the same"
    sizes, shape = (len(images.x_train), len(images.x_test)), images.x_train.shape[1:]
    for what, told, found in (
        ("pools", chosen.pools, sizes),
        ("shape", chosen.shape, shape),
        ("classes", entry.classes, images.classes),
    ):
        assert told is None or told == found, f"{what} is {found}, not {told}"
    first, second = (make_split(images, chosen, dataset=name, seed=seed) for seed in (0, 1))
    assert first.hash != second.hash, "two seeds give one split"


def check_method(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    spec: Architecture | None = None,
    learns: bool = True,
) -> None:
    """All that every method has to keep: it is trained twice on 120 images of digits, written and read back.

    Args:
        name: of the entry.
        options: of the entry, such as cheap ones; what is left out has its default.
        spec: the network; by default an MLP-2 of width 16.
        learns: whether at least a third of the training images are right afterwards, by the default checkpoint.
    """
    entry, chosen = entry_of(registry.METHODS, name, options)
    check_described(entry.options, entry.description)
    split, spec = digits_split(), spec or Architecture(family="mlp", depth=2, width=16)
    before = {key: array.copy() for key, array in _arrays(split).items()}
    problem = entry.check(chosen, Setting(spec=spec, images=entry.images, sizes=SplitSizes(n_opt=120, n_val=60)))
    assert problem is None, problem
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, name) for name in ("first", "again", "other")]
        one, again = (_fitted(entry, chosen, spec, folder, RADII[0]) for folder in folders[:2])
        fit, task = one
        _check_equal(fit.arrays, again[0].arrays, "fitted twice, it is not the same")
        if not entry.depends_on_radius:
            other, _ = _fitted(entry, chosen, spec, folders[2], RADII[1])
            _check_equal(fit.arrays, other.arrays, "it depends on the radius")
        assert list(fit.checkpoints) == list(entry.checkpoints), f"checkpoints are {list(fit.checkpoints)}"
        assert all(set(row) <= set(CURVE_COLUMNS) for row in fit.curves), f"curves need {', '.join(CURVE_COLUMNS)}"
        _check_equal(before, _arrays(split), "the split was changed")
        write_split(folders[0] / "split.json", split)
        settings: dict[str, Any] = {"split_path": folders[0] / "split.json", "provenance": {}, "timing": {}}
        write_fit(folders[0], fit, name=name, method=entry, task=task, **settings)
        for checkpoint in fit.checkpoints:
            logits = load_fit(folders[0], checkpoint=checkpoint, compute=CPU).logits(task.training.images)
            assert logits.shape == (len(task.training), split.classes), f"{checkpoint}: logits are {logits.shape}"
            assert np.isfinite(logits).all(), f"{checkpoint}: logits are not finite"
            if learns and checkpoint == entry.checkpoints[0]:
                share = (logits.argmax(1) == task.training.labels).mean()
                assert share >= 1 / 3, f"{checkpoint}: {share:.0%} of the training images are right"


def _arrays(split: Split) -> dict[str, np.ndarray]:
    """Images and labels of a split."""
    parts = {"opt": split.opt, "val": split.val, "test": split.test}
    return {f"{name}.{key}": getattr(part, key) for name, part in parts.items() for key in ("pixels", "labels")}


def _fitted(entry: Any, options: Any, spec: Architecture, folder: Path, threat: ThreatModel) -> tuple[Any, Any]:
    """A fit on the small split, and its task."""
    folder.mkdir()
    gram = folder / "gram.npy" if entry.kind == "kernel" else None
    if gram:
        build_gram(digits_split(), spec, images=entry.images, out=gram, compute=CPU, threads=1)
    common: dict[str, Any] = {"spec": spec, "options": options, "threat": threat, "compute": CPU, "seed": 0}
    task = Task(split=digits_split(), images=entry.images, gram=gram, workdir=folder, **common)
    return entry.fit(task), task


def _check_equal(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], problem: str) -> None:
    same = first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
    assert same, problem
