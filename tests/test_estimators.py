"""The methods as scikit-learn classifiers: scikit-learn's own checks, and the numbers of the workflow."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import advntk
from advntk.estimators.base import Classifier
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, InputError, NotPositiveDefinite
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.grams import build_gram
from advntk.ingredients.images import LabelledImages, SplitSizes
from advntk.ingredients.splits import make_split, write_split
from advntk.learning.fits import write_fit
from advntk.learning.method import Task
from advntk.learning.methods import advntk as advntk_method
from advntk.learning.methods import at, early_stopped_ntk, ntk, ridge_ntk

SHORT = {"decades": 1, "halvings": 0, "attack": {"steps": 2}}
CLASSIFIERS = [
    advntk.NTKClassifier(depth=2, ridge=1e-3),
    advntk.RidgeNTKClassifier(depth=2, **SHORT),
    advntk.EarlyStoppedNTKClassifier(depth=2, **SHORT),
    advntk.AdvNTKClassifier(depth=2, steps=3, attack={"steps": 2}),
    advntk.AdversarialTrainingClassifier(
        depth=2, width=32, steps=100, report_every=50, warmup=0, learning_rate=0.1, attack={"steps": 2}
    ),
]


def expected_failures(classifier):
    """Checks that a classifier fails for a reason."""
    if isinstance(classifier, advntk.NTKClassifier | advntk.AdversarialTrainingClassifier):
        return {"check_methods_subset_invariance": "float32: batches of other sizes differ by 1e-6, 1e-7 is allowed"}
    return {}


@parametrize_with_checks(CLASSIFIERS, expected_failed_checks=expected_failures)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    """Images (n, 8, 8, 1) in [0, 1], and labels that are words, in random order."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    return (images[order] / 16).astype(np.float32).reshape(-1, 8, 8, 1), words[labels[order]]


@pytest.mark.parametrize(
    ("classifier", "method", "options", "threat"),
    [
        (advntk.NTKClassifier(ridge=0.01), ntk, {"ridge": 0.01}, 0),
        (advntk.RidgeNTKClassifier(eps255=16, **SHORT), ridge_ntk, SHORT, 16),
        (advntk.EarlyStoppedNTKClassifier(eps255=16, **SHORT), early_stopped_ntk, SHORT, 16),
        (advntk.AdvNTKClassifier(eps255=16, steps=4, batch=40), advntk_method, {"steps": 4, "batch": 40}, 16),
        (
            advntk.AdversarialTrainingClassifier(eps255=16, width=32, steps=20, report_every=10, random_state=3),
            at,
            {
                "network": "reference",
                "loss": "cross_entropy",
                "steps": 20,
                "learning_rate": 0.05,
                "weight_decay": 5e-4,
                "warmup": 100,
                "report_every": 10,
                "attack": {"loss": "cross_entropy"},
            },
            16,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Classifier) else "",
)
def test_numbers_are_those_of_the_workflow(classifier, method, options, threat, digits, tmp_path):
    images, words = digits
    pixels = np.rint(images * 255).astype(np.uint8)
    classes, labels = np.unique(words, return_inverse=True)
    given = LabelledImages(
        x_train=pixels[:300], y_train=labels[:300], x_test=pixels[300:400], y_test=labels[300:400], classes=10
    )
    seed = classifier.random_state
    split = make_split(given, SplitSizes(n_opt=150, n_val=60, n_test=50), dataset="digits", seed=seed)
    path = tmp_path / "split.json"
    write_split(path, split)
    spec = Architecture(family="mlp", depth=3, width=getattr(classifier, "width", 512))
    gram = tmp_path / "gram.npy"
    build_gram(split, spec, out=gram, compute=Compute(), threads=1)
    task = Task(
        split=split,
        spec=spec,
        threat=ThreatModel(eps255=threat),
        options=method.ENTRY.options.model_validate(options),
        seed=seed,
        compute=Compute(),
        gram=gram,
        workdir=tmp_path,
    )
    fit = method.ENTRY.fit(task)
    write_fit(
        tmp_path / "fit",
        fit,
        name="m",
        entry=method.__name__.rpartition(".")[2],
        method=method.ENTRY,
        task=task,
        split_path=path,
        provenance={},
        timing={},
    )
    loaded = advntk.load(tmp_path / "fit")

    fitted = clone(classifier).fit(
        split.opt.images, classes[split.opt.labels], split.val.images, classes[split.val.labels]
    )
    np.testing.assert_array_equal(fitted.logits(split.test.images), loaded.logits(split.test.images))


def test_what_was_fitted_stays_until_the_next_fit(digits):
    images, words = digits
    fitted = advntk.NTKClassifier().fit(images[:100], words[:100])
    before = fitted.logits(images[100:120])
    fitted.set_params(depth=7, sigma_b=1.0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).logits(images[100:120]), before)
    short = {"width": 16, "steps": 4, "report_every": 2}
    network = advntk.AdversarialTrainingClassifier(**short).fit(images[:100], words[:100])
    network.set_params(width=8, loss="squared_error", checkpoint="last")
    again = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(again.predict_proba(images[:5]), network.predict_proba(images[:5]))


def test_losses_and_techniques_by_name(digits):
    images, words = digits
    short = {"width": 16, "steps": 4, "report_every": 2, "warmup": 0}
    plain = advntk.AdversarialTrainingClassifier(**short).fit(images[:100], words[:100])
    trades = advntk.AdversarialTrainingClassifier(loss={"name": "trades", "beta": 2}, techniques=["ema"], **short)
    trades.fit(images[:100], words[:100])
    assert np.abs(trades.logits(images[:5]) - plain.logits(images[:5])).max() > 1e-3
    np.testing.assert_allclose(trades.predict_proba(images[:5]).sum(axis=1), 1)


def test_a_classifier_in_pipelines_searches_and_pickles(digits):
    images, words = digits
    rows = images.reshape(len(images), -1)
    piped = make_pipeline(StandardScaler(), advntk.NTKClassifier(depth=2))
    found = GridSearchCV(piped, {"ntkclassifier__ridge": [1e-3, 1e3]}, cv=2).fit(rows[:200], words[:200])
    assert found.best_params_ == {"ntkclassifier__ridge": 1e-3}
    assert found.score(rows[200:400], words[200:400]) > 0.85
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.decision_function(rows[:9]), found.decision_function(rows[:9]))


def test_rows_and_images_are_one(digits):
    images, words = digits
    rows = images.reshape(len(images), -1)
    of_images = advntk.NTKClassifier().fit(images[:100], words[:100])
    of_rows = advntk.NTKClassifier(image_shape=(8, 8, 1)).fit(rows[:100], words[:100])
    grey = advntk.NTKClassifier(value_range=(0, 255)).fit(255.0 * rows[:100].astype(np.float64), words[:100])
    expected = of_images.logits(images[100:150])
    np.testing.assert_array_equal(of_rows.logits(rows[100:150]), expected)
    np.testing.assert_allclose(grey.logits(255.0 * rows[100:150].astype(np.float64)), expected, atol=1e-4)
    assert repr(of_rows) == "NTKClassifier(image_shape=(8, 8, 1))"


def test_robust_accuracy_falls_with_the_radius(digits):
    images, words = digits
    fitted = advntk.NTKClassifier().fit(images[:300], words[:300])
    test = images[300:340], words[300:340]
    found = [fitted.robust_score(*test, eps255=eps255) for eps255 in (0, 16, 64, 255)]
    assert found[0] == fitted.score(*test) > 0.8
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0
    # options go over the defaults: more steps are no weaker
    assert fitted.robust_score(*test, eps255=16, attack_options={"steps": 30}) <= found[1]
    weaker = fitted.robust_score(*test, eps255=16, attack="noise")
    assert weaker >= found[1]
    # an unknown label is never right
    assert fitted.robust_score(test[0], np.full(40, "eleven"), eps255=16) == 0


def test_probabilities_are_of_cross_entropy_alone(digits):
    images, words = digits
    short = {"width": 16, "steps": 5, "report_every": 5}
    fitted = advntk.AdversarialTrainingClassifier(**short).fit(images[:100], words[:100])
    shares = fitted.predict_proba(images[:7])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.classes_[shares.argmax(axis=1)], fitted.predict(images[:7]))
    assert not hasattr(advntk.AdversarialTrainingClassifier(loss="squared_error"), "predict_proba")
    assert not hasattr(advntk.NTKClassifier(), "predict_proba")


def grey_levels(images, words):
    advntk.NTKClassifier().fit((255 * images).astype(np.uint8), words)


def grey_levels_later(images, words):
    advntk.NTKClassifier().fit(images, words).predict(255 * images)


def another_shape_later(images, words):
    advntk.NTKClassifier().fit(images, words).predict(images.reshape(-1, 4, 16, 1))


def shape_that_does_not_fit(images, words):
    advntk.NTKClassifier(image_shape=(8, 9, 1)).fit(images.reshape(len(images), -1), words)


def nan(images, words):
    advntk.NTKClassifier().fit(np.where(images > 0.9, np.nan, images), words)


def test_a_certificate_is_at_most_what_an_attack_leaves(digits):
    images, words = digits
    fitted = advntk.NTKClassifier(device="cpu").fit(images[:300], words[:300])
    test = images[300:312], words[300:312]
    found = fitted.certify(*test, eps255=16)
    assert 0 < found.certified <= fitted.robust_score(*test, eps255=16)
    assert (found.status == advntk.certify(fitted, *test, eps255=16).status).all()
    other = np.where(words[300:312] == words[0], words[1], words[0])  # wrong on most images
    assert "broken" in fitted.certify(test[0], other, eps255=16, bounds="b").status
    truth = np.searchsorted(fitted.classes_, test[1])
    assert (advntk.certify(fitted.predictor_, test[0], truth, eps255=16).status == found.status).all()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"eps255": 0}, "above 0"),
        ({"eps255": -8}, "above 0"),
        ({"eps255": 8 / 255}, "give 8 for 0.0313725"),
        ({"norm": "l2", "eps255": 0.5}, "unit scale"),
        ({"images": np.full((2, 8, 8, 1), 200, np.uint8)}, "by 255"),
        ({"images": np.full((2, 8, 8, 1), 1.5)}, r"not in \[0, 1\]"),
        ({"images": np.full((2, 4, 4, 1), 0.5)}, "shape"),
        ({"labels": np.array(["zero", "eleven"])}, "eleven"),
        ({"labels": np.array(["zero"])}, "one integer class per image"),
        ({"bounds": "z"}, "b, c and d"),
        ({"norm": "l1", "eps255": 510}, "none in l1"),
        ({"model": "a model"}, "no kernel predictor"),
    ],
)
def test_what_cannot_be_certified_is_told_in_one_line(changes, told, digits):
    images, words = digits
    if "model" not in changes:
        changes = {**changes, "model": advntk.NTKClassifier(device="cpu").fit(images[:80], words[:80])}
        given = {"images": images[:2], "labels": words[:2]}
    else:
        given = {"images": images[:2], "labels": np.array([0, 1])}
    with pytest.raises((InputError, ConfigError), match=told) as caught:
        advntk.certify(**(given | changes))
    assert "\n" not in caught.value.line()


def one_class(images, words):
    advntk.NTKClassifier().fit(images, np.full(len(words), "zero"))


def labels_that_y_lacks(images, words):
    advntk.RidgeNTKClassifier().fit(images[:40], words[:40], images[40:], np.full(len(images) - 40, "eleven"))


def val_without_labels(images, words):
    advntk.RidgeNTKClassifier().fit(images[:40], words[:40], images[40:])


def too_few_to_hold_out(images, words):
    first = [int(np.flatnonzero(words == word)[0]) for word in np.unique(words)]
    advntk.AdvNTKClassifier().fit(images[first], words[first])


def empty_range(images, words):
    advntk.NTKClassifier(value_range=(1, 1)).fit(images, words)


def labels_of_another_kind(images, words):
    advntk.NTKClassifier().fit(images, words).robust_score(images, np.arange(len(images)))


def negative_seed(images, words):
    advntk.NTKClassifier(random_state=-3).fit(images, words)


def labels_of_other_images(images, words):
    advntk.NTKClassifier().fit(images, words).robust_score(images[:9], words[:8])


def attack_outside_the_box(images, words):
    rows = images.reshape(len(images), -1)
    advntk.NTKClassifier(ridge=0.1).fit(rows[:40] / 2, words[:40]).robust_score(rows[40:], words[40:])


@pytest.mark.parametrize(
    ("give", "told"),
    [
        (grey_levels, "divide grey levels"),
        (grey_levels_later, "divide grey levels"),
        (another_shape_later, "trained on"),
        (shape_that_does_not_fit, "of 64 values"),
        (nan, "NaN"),
        (one_class, "one class"),
        (labels_that_y_lacks, "eleven"),
        (val_without_labels, "y_val"),
        (too_few_to_hold_out, "too few"),
        (empty_range, "value_range"),
        (attack_outside_the_box, "value_range"),
        (labels_of_other_images, "y has shape"),
        (negative_seed, "random_state"),
        (labels_of_another_kind, "another kind"),
    ],
)
def test_what_cannot_be_meant_is_refused(give, told, digits):
    images, words = digits
    with pytest.raises(ValueError, match=told):
        give(images[:80], words[:80])


def test_wrong_settings_are_told_by_name(digits):
    images, words = digits
    for classifier, name in [
        (advntk.NTKClassifier(activation="tanh"), "activation"),
        (advntk.NTKClassifier(depth=0), "depth"),
        (advntk.NTKClassifier(family="mlpp"), "did you mean 'mlp'"),
        (advntk.RidgeNTKClassifier(eps255=-1), "eps255"),
        (advntk.RidgeNTKClassifier(norm="l3"), "norm"),
        (advntk.EarlyStoppedNTKClassifier(attack={"stepz": 3}), "stepz"),
        (advntk.AdvNTKClassifier(checkpoint="best", steps=1), "best"),
    ]:
        with pytest.raises(ConfigError, match=name):
            classifier.fit(images[:60], words[:60])
    fitted = advntk.NTKClassifier(ridge=0.1).fit(images[:60], words[:60])
    with pytest.raises(ConfigError, match="violates the threat model"):
        fitted.robust_score(images[:9], words[:9], attack="reference_fixed_gradient")
    with pytest.raises(NotFittedError):
        _ = advntk.NTKClassifier().predictor_


def test_twice_the_same_image_needs_a_ridge(digits):
    images, words = digits
    twice, labels = np.concatenate([images[:40]] * 2), np.concatenate([words[:40]] * 2)
    with pytest.raises(NotPositiveDefinite, match="set ridge") as caught:
        advntk.NTKClassifier().fit(twice, labels)
    assert "method_options" not in caught.value.line(), "a classifier has no configuration"
    assert advntk.NTKClassifier(ridge=1e-3).fit(twice, labels).score(twice, labels) == 1
    assert issubclass(InputError, ValueError)
