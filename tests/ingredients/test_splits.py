"""Splits: disjoint, stratified, repeatable, hashed; and datasets refused for what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from advntk.foundation import files, registry
from advntk.foundation.errors import AdvntkError, ConfigError, InputError
from advntk.ingredients.datasets import digits, npz
from advntk.ingredients.images import KEYS, LabelledImages, SplitSizes, prepare, read_prepared
from advntk.ingredients.splits import make_split, read_split, with_label_noise, write_split
from advntk.suite import DATASETS


def fake(n_train=100, n_test=40, classes=4, shape=(5, 3, 2), seed=0) -> LabelledImages:
    rng = np.random.default_rng(seed)
    return LabelledImages(
        x_train=rng.integers(0, 256, (n_train, *shape), dtype=np.uint8),
        y_train=rng.integers(0, classes, n_train),
        x_test=rng.integers(0, 256, (n_test, *shape), dtype=np.uint8),
        y_test=rng.integers(0, classes, n_test),
        classes=classes,
    )


def test_parts_are_disjoint_and_stratified():
    sizes = digits.Options()
    images = digits.load(sizes, None)
    split = make_split(images, sizes, dataset="digits", seed=1)
    assert (len(split.opt), len(split.val), len(split.test)) == (800, 200, 797)
    everything = np.concatenate([split.opt.indices, split.val.indices, split.test.indices])
    assert len(set(everything.tolist())) == 1797
    for part in (split.opt, split.val):
        counts = np.bincount(part.labels, minlength=10)
        assert np.abs(counts / len(part) - np.bincount(images.y_train) / 1797).max() < 0.01
    np.testing.assert_array_equal(split.opt.pixels, images.x_train[split.opt.indices])
    assert split.opt.images.dtype == np.float32
    assert split.opt.images.max() == 1


def test_seeds_and_hashes():
    images, sizes = fake(), SplitSizes(n_opt=50, n_val=20, n_test=10)
    one, again, two = (make_split(images, sizes, dataset="x", seed=seed) for seed in (0, 0, 1))
    assert one.hash == again.hash != two.hash
    assert set(one.opt.indices) != set(two.opt.indices)
    # a dataset with test images of its own keeps the same ones for every seed
    np.testing.assert_array_equal(one.test.indices, two.test.indices)


def test_every_split_of_a_dataset_knows_the_data_that_it_was_drawn_from(tmp_path):
    images, sizes = fake(), SplitSizes(n_opt=50, n_val=20, n_test=10)
    one, two = (make_split(images, sizes, dataset="x", seed=seed) for seed in (0, 1))
    assert one.data == two.data != ""
    changed = images.x_train.copy()
    changed[0, 0, 0, 0] ^= 1  # one pixel, of one image
    assert make_split(replace(images, x_train=changed), sizes, dataset="x", seed=0).data != one.data
    write_split(tmp_path / "split.json", one, made={"host": "h"})
    assert read_split(tmp_path / "split.json").data == one.data
    manifest = json.loads((tmp_path / "split.json").read_text())
    assert manifest.pop("provenance") == {"host": "h"}
    del manifest["data"]  # as in a split of an earlier version
    (tmp_path / "split.json").write_text(json.dumps(manifest))
    assert read_split(tmp_path / "split.json").data == ""


def test_a_split_survives_writing_and_changed_arrays_are_noticed(tmp_path):
    split = make_split(fake(), SplitSizes(n_opt=50, n_val=20), dataset="x", seed=0)
    path = tmp_path / "split.json"
    write_split(path, split)
    back = read_split(path)
    assert back.hash == split.hash
    assert len(back.test) == 40
    np.testing.assert_array_equal(back.val.pixels, split.val.pixels)
    arrays = files.read_npz(tmp_path / "split.npz")
    arrays["opt_pixels"][0, 0, 0, 0] ^= 1
    files.write_npz(tmp_path / "split.npz", arrays)
    with pytest.raises(InputError, match="differ from the manifest's hash"):
        read_split(path)


def test_label_noise_changes_the_share_that_is_asked_for():
    part = make_split(fake(classes=10), SplitSizes(n_opt=50, n_val=20), dataset="x", seed=0).opt
    rng = np.random.default_rng(0)
    noisy = with_label_noise(part, 0.3, 10, rng)
    assert (noisy.labels != part.labels).sum() == round(0.3 * len(part))
    assert set(noisy.labels.tolist()) <= set(range(10))
    np.testing.assert_array_equal(noisy.pixels, part.pixels)
    np.testing.assert_array_equal(with_label_noise(part, 0.0, 10, rng).labels, part.labels)


def test_wrong_labels_of_opt_alone(tmp_path):
    sizes = SplitSizes(n_opt=50, n_val=20)
    clean, noisy = (
        make_split(fake(), sizes.model_copy(update={"label_noise": share}), dataset="x", seed=1) for share in (0, 0.3)
    )
    assert (noisy.opt.labels != clean.opt.labels).sum() == 15
    np.testing.assert_array_equal(noisy.opt.pixels, clean.opt.pixels)
    for part in ("val", "test"):
        np.testing.assert_array_equal(getattr(noisy, part).labels, getattr(clean, part).labels)
    assert noisy.hash != clean.hash
    write_split(tmp_path / "split.json", noisy)
    assert read_split(tmp_path / "split.json").label_noise == 0.3


def test_more_images_than_there_are():
    with pytest.raises(ConfigError, match=r"dataset_options\.x: n_opt \+ n_val = 200 is more than the 100 images"):
        make_split(fake(), SplitSizes(n_opt=150, n_val=50), dataset="x", seed=0)
    with pytest.raises(ConfigError, match="n_test = 41 is more than the 40 test images"):
        make_split(fake(), SplitSizes(n_opt=50, n_val=20, n_test=41), dataset="x", seed=0)


def as_npz(path, **changes):
    images = fake()
    arrays = {key: getattr(images, key) for key in KEYS} | changes
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return npz.Options(path=str(path), n_opt=50, n_val=20)


def test_a_users_npz(tmp_path):
    prepare(npz.ENTRY, as_npz(tmp_path / "mine.npz"), downloads=tmp_path, out=tmp_path / "out.npz")
    assert read_prepared(tmp_path / "out.npz").classes == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.full((100, 5, 3, 2), np.nan)}, "x_train holds 3000 NaN or infinite values"),
        ({"x_train": np.zeros((100, 5, 3, 2))}, "x_train has dtype float64.*give uint8"),
        ({"x_train": np.zeros((100, 5, 3), np.uint8)}, r"x_train has shape \(100, 5, 3\).*C = 1"),
        ({"y_train": np.zeros(99, int)}, r"y_train has dtype int64 and shape \(99,\) for 100 images"),
        ({"y_train": np.zeros(100)}, "labels are not integers"),
        ({"y_train": np.full(100, -1)}, "number the classes from 0"),
        ({"x_test": np.zeros((40, 6, 3, 2), np.uint8)}, "give both the same size"),
        ({"x_test": None}, "lacks x_test"),
    ],
)
def test_a_users_npz_with_a_fault(tmp_path, changes, message):
    options = as_npz(tmp_path / "mine.npz", **changes)
    with pytest.raises(AdvntkError, match=message):
        prepare(npz.ENTRY, options, downloads=tmp_path, out=tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("name", registry.names(DATASETS))
def test_every_dataset_keeps_the_contract(name):
    entry = registry.get(DATASETS, name)
    assert issubclass(entry.options, SplitSizes)
    assert entry.source
    assert all(field.description for field in entry.options.model_fields.values())
    # known before any job, or read from a user's own file
    declared = entry.options.pools, entry.options.shape, entry.classes
    assert all(fact is not None for fact in declared) or "path" in entry.options.model_fields


def test_the_manifest_is_plain_json(tmp_path):
    write_split(tmp_path / "split.json", make_split(fake(), SplitSizes(n_opt=9, n_val=5), dataset="x", seed=3))
    manifest = json.loads((tmp_path / "split.json").read_text())
    assert manifest["n_opt"] == 9 == len(manifest["opt"])
    assert manifest["seed"] == 3
