"""Predictors made from opt, or from all training images as the reference code makes NTK and AT: one Gram for both."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.errors import InputError
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients import gram_sizes, grams
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.splits import write_split
from advntk.learning import fits
from advntk.learning.loading import load_fit
from advntk.learning.method import METHODS, Task
from tests.conftest import relu_kernel

pytestmark = pytest.mark.usefixtures("one_thread")


SPEC = Architecture(family="mlp", depth=3, width=16)
CPU = Compute(device="cpu")


@pytest.fixture(scope="module")
def gram_of(digits_split, tmp_path_factory):
    """Paths of the Gram matrices of opt (120) and of all (180) images, in tiles that do not end where opt does."""
    paths = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gram_sizes, "TILE_ROWS", 32)
        for images in ("opt", "all"):
            paths[images] = tmp_path_factory.mktemp(images) / "gram.npy"
            grams.build_gram(digits_split, SPEC, images=images, out=paths[images], compute=CPU, threads=1)
    return paths


def task(split, gram, folder, options, images):
    return Task(
        split=split,
        images=images,
        spec=SPEC,
        threat=ThreatModel(eps255=16),
        options=options,
        seed=0,
        compute=CPU,
        gram=gram,
        workdir=folder,
    )


def test_all_images_are_opt_and_then_val(digits_split):
    whole = digits_split.training("all")
    assert digits_split.training("opt") is digits_split.opt
    np.testing.assert_array_equal(whole.pixels[:120], digits_split.opt.pixels)
    np.testing.assert_array_equal(whole.labels[120:], digits_split.val.labels)
    np.testing.assert_array_equal(whole.indices[120:], digits_split.val.indices)


def test_the_gram_of_opt_is_a_corner_of_the_gram_of_all(digits_split, gram_of, rng):
    whole = grams.open_gram(gram_of["all"], digits_split, SPEC, "all")
    assert whole.shape == (180, 180)
    expected = relu_kernel(digits_split.training("all").images, 3)
    np.testing.assert_allclose(whole, expected, atol=1e-5 * expected.max())
    alone, corner = (grams.open_gram(gram_of[images], digits_split, SPEC) for images in ("opt", "all"))
    assert (alone.shape, corner.shape) == ((120, 120), (120, 180))
    np.testing.assert_allclose(corner[:, :120], alone, rtol=2e-6)  # tiles of another width round otherwise
    square = np.array(corner[:, :120])
    block = rng.normal(size=(120, 3))
    wanted = GramOperator(square, device="cpu").product(block)
    for memory_mb in (1000, 0.01):  # held in memory, and read from its file with its whole rows
        operator = GramOperator(corner, device="cpu", memory_mb=memory_mb)
        np.testing.assert_allclose(operator.product(block), wanted, rtol=1e-12)
        np.testing.assert_array_equal(operator.dense(), square)
        assert operator.mean_diagonal() == pytest.approx(float(np.diagonal(alone).mean()), rel=1e-6)


def test_a_gram_of_too_few_images_is_refused(digits_split, gram_of):
    with pytest.raises(InputError, match="is of 120 images, not of 180; run 'gram' with --images all"):
        grams.open_gram(gram_of["opt"], digits_split, SPEC, "all")


@pytest.mark.parametrize("images", ["opt", "all"])
def test_ntk_fits_the_images_that_it_is_made_from(digits_split, gram_of, tmp_path, images):
    """A predictor read back is bound to the same images: it reproduces their labels."""
    write_split(tmp_path / "split.json", digits_split)
    entry = registry.get(METHODS, "ntk")
    job = task(digits_split, gram_of["all"], tmp_path, entry.options(), images)
    settings = {"split_path": tmp_path / "split.json", "provenance": {}, "timing": {}}
    fits.write_fit(tmp_path, entry.fit(job), name="ntk", method=entry, task=job, **settings)
    predictor = load_fit(tmp_path, compute=CPU)
    part = digits_split.training(images)
    assert len(predictor.coef) == len(part)
    np.testing.assert_allclose(predictor.logits(part.images), np.eye(10)[part.labels], atol=2e-2)


def test_adversarial_training_on_val_does_not_choose_by_it(digits_split, tmp_path):
    entry = registry.get(METHODS, "at")
    options = entry.options(steps=4, batch=150, learning_rate_fraction=0.5, report_every=2)
    fit = entry.fit(task(digits_split, None, tmp_path, options, "all"))  # a batch larger than opt
    assert list(fit.checkpoints) == ["last"]
    assert {name.partition(".")[0] for name in fit.arrays} == {"last"}
    paired = entry.fit(task(digits_split, None, tmp_path, options.model_copy(update={"batch": 50}), "opt"))
    assert list(paired.checkpoints) == ["best_val", "last"]


REFERENCE_SPECS = [
    SPEC,
    Architecture(family="cnn", depth=1, width=4),
    Architecture(family="resnet", depth=18, width=2),
]


@pytest.mark.parametrize("spec", REFERENCE_SPECS, ids=lambda spec: spec.label)
def test_reference_networks_are_trained_and_read_back(digits_split, tmp_path, spec):
    """Batch norms keep their running statistics: the network read back is the one that was measured."""
    write_split(tmp_path / "split.json", digits_split)
    entry = registry.get(METHODS, "at")
    options = entry.options(
        network="reference", loss="torch_mse", learning_rate=0.05, steps=6, batch=30, report_every=3
    )
    assert isinstance(options, AdversarialTrainingOptions)
    job = Task(
        split=digits_split,
        spec=spec,
        threat=ThreatModel(eps255=8),
        options=options,
        seed=0,
        compute=CPU,
        gram=None,
        workdir=tmp_path,
    )
    fit = entry.fit(job)
    settings = {"split_path": tmp_path / "split.json", "provenance": {}, "timing": {}}
    fits.write_fit(tmp_path, fit, name="at", method=entry, task=job, **settings)
    test = digits_split.test
    accuracy = (load_fit(tmp_path, checkpoint="last", compute=CPU).logits(test.images).argmax(1) == test.labels).mean()
    logged = next(row for row in fit.curves if row["step"] == 6 and row["split"] == "test")
    assert accuracy == pytest.approx(logged["clean_accuracy"])
    if spec.family == "resnet":
        tracked = [array for name, array in fit.arrays.items() if name.endswith("num_batches_tracked")]
        assert len(tracked) == 2 * 20  # the stem, 16 in blocks, 3 in shortcuts, of two checkpoints
        assert max(int(count) for count in tracked) == 6
    again = entry.fit(dataclasses.replace(job, workdir=tmp_path / "again"))
    assert all(np.array_equal(array, again.arrays[name]) for name, array in fit.arrays.items())
