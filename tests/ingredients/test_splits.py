"""Splits: disjoint, stratified, repeatable, hashed; and datasets refused for what is wrong with them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from advntk.foundation import files, registry
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.overlap import Overlap
from advntk.ingredients.datasets import digits
from advntk.ingredients.images import LabelledImages, SplitSizes
from advntk.ingredients.splits import PARTS, Part, make_split, overlap_of, read_split, with_label_noise, write_split
from advntk.suite import DATASETS
from advntk.testing.trained import check_declared


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
    for key, left in (("sha256", one.data), ("data", "")):  # as in splits of earlier versions
        del manifest[key]
        (tmp_path / "split.json").write_text(json.dumps(manifest))
        assert read_split(tmp_path / "split.json").data == left


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


def parts_of(*pixels, labels=None) -> dict[str, Part]:
    """Parts whose images have one pixel each."""
    labels = labels or [[0] * len(part) for part in pixels]
    return {
        name: Part(
            pixels=np.array(part, np.uint8).reshape(-1, 1, 1, 1), labels=np.array(own), indices=np.arange(len(own))
        )
        for name, part, own in zip(PARTS, pixels, labels, strict=True)
    }


@pytest.mark.parametrize(
    ("parts", "counts"),
    [
        (parts_of([1, 2, 3], [4], [5, 6]), {}),
        (parts_of([1, 1, 3], [4], [5, 5]), {}),  # within a part
        (parts_of([1, 2, 3], [3, 4, 3], [1, 4, 4, 6]), {"val": 2, "test": 3}),
        (parts_of([1, 2], [3], [1, 6], labels=[[0, 1], [0], [1, 1]]), {"test": 1, "conflicts": 2}),
        (parts_of([1, 1, 1], [3], [4], labels=[[0, 1, 1], [0], [1]]), {"conflicts": 3}),
    ],
)
def test_identical_images_are_counted(parts, counts):
    assert overlap_of(parts) == Overlap(**counts)


def repeated(count: int, part: str) -> LabelledImages:
    """200 + 200 different images, some test images or late training images being the first training images."""
    x = np.arange(400, dtype=">u2").view(np.uint8).reshape(400, 2, 1, 1)
    train, test, y = x[:200].copy(), x[200:].copy(), np.arange(200) % 2
    target = test if part == "test" else train[100:]
    target[:count] = train[:count]
    return LabelledImages(x_train=train, y_train=y, x_test=test, y_test=y, classes=2)


@pytest.mark.parametrize("part", ["test", "val"])
def test_many_test_or_val_images_that_are_trained_on_are_refused(part):
    sizes = SplitSizes(n_opt=100, n_val=100)
    message = rf"dataset_options\.x: \d+ of the \d+ {part} images are also in opt.*set allow_overlap: true"
    with pytest.raises(ConfigError, match=message):
        make_split(repeated(40, part), sizes, dataset="x", seed=0)
    allowed = make_split(repeated(40, part), sizes.model_copy(update={"allow_overlap": True}), dataset="x", seed=0)
    assert getattr(allowed.overlap, part) > 10
    assert make_split(repeated(0, part), sizes, dataset="x", seed=0).overlap == Overlap()


def test_a_leak_of_more_than_one_percent_is_refused_and_a_smaller_one_counted():
    sizes = SplitSizes(n_opt=150, n_val=50)
    with pytest.raises(ConfigError, match="3 of the 200 test images are also in opt or val"):
        make_split(repeated(3, "test"), sizes, dataset="x", seed=0)
    assert make_split(repeated(2, "test"), sizes, dataset="x", seed=0).overlap.test == 2
    one = repeated(1, "test")  # one image is a fifth of five, and may be there by chance
    few = replace(one, x_test=one.x_test[:5], y_test=one.y_test[:5])
    assert make_split(few, sizes, dataset="x", seed=0).overlap.test == 1


def test_a_manifest_counts_identical_images_beside_its_hash(tmp_path):
    split = make_split(repeated(2, "test"), SplitSizes(n_opt=150, n_val=50), dataset="x", seed=0)
    path = tmp_path / "split.json"
    write_split(path, split)
    manifest = json.loads(path.read_text())
    assert read_split(path).overlap == split.overlap == Overlap(**manifest.pop("overlap")) == Overlap(test=2)
    path.write_text(json.dumps(manifest))  # as in a split of an earlier version
    assert read_split(path).overlap == Overlap()
    assert read_split(path).hash == split.hash


@pytest.mark.parametrize(("seed", "begin"), [(0, "e4c06daabaf4"), (1, "0208329b5d6e")])
def test_splits_of_digits_are_those_of_published_results(seed, begin):
    sizes = digits.Options()
    split = make_split(digits.load(sizes, None), sizes, dataset="digits", seed=seed)
    assert split.hash.startswith(begin)
    assert split.overlap == Overlap()


def test_a_class_without_images_in_opt_is_refused():
    images = replace(fake(), y_train=np.r_[3, np.arange(99) % 3])
    with pytest.raises(
        ConfigError, match=r"1 of 4 classes have no image among the 9 of opt, such as class 3; raise n_o"
    ):
        make_split(images, SplitSizes(n_opt=9, n_val=5), dataset="x", seed=0)


def test_wrong_labels_need_two_classes():
    with pytest.raises(ConfigError, match="label_noise: wrong labels need another class"):
        with_label_noise(parts_of([1, 2], [3], [4])["opt"], 0.5, 1, np.random.default_rng(0))


@pytest.mark.parametrize("name", registry.names(DATASETS))
def test_every_dataset_keeps_the_contract(name):
    check_declared(name)


def test_indices_follow_from_the_labels_alone():
    images, sizes = fake(), SplitSizes(n_opt=30, n_val=10, n_test=20)
    others = replace(images, x_train=fake(seed=1).x_train, x_test=fake(seed=1).x_test)
    one, two = (make_split(each, sizes, dataset=name, seed=2) for each, name in ((images, "x"), (others, "y")))
    assert one.sha256 != two.sha256
    for part in ("opt", "val", "test"):
        np.testing.assert_array_equal(getattr(one, part).indices, getattr(two, part).indices)


def test_the_manifest_is_plain_json(tmp_path):
    write_split(tmp_path / "split.json", make_split(fake(), SplitSizes(n_opt=9, n_val=5), dataset="x", seed=3))
    assert read_split(tmp_path / "split.json").sha256 == fake().sha256
    manifest = json.loads((tmp_path / "split.json").read_text())
    assert manifest["n_opt"] == 9 == len(manifest["opt"])
    assert len(manifest["sha256"]) == 64
    assert manifest["sha256"].startswith(manifest["data"])
    assert manifest["seed"] == 3
