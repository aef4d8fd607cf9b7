"""Models of other libraries under attack: what they withstand is counted, what is wrong with them is said."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

import advntk
from advntk.foundation.errors import AdvntkError, ConfigError, InputError
from advntk.measuring.benchmark import BLACK_BOX, SETS, Benchmark


@pytest.fixture(scope="module")
def digits():
    """Training images, their labels, test images, their labels; images (n, 8, 8, 1) in [0, 1]."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = (images[order] / 16).reshape(-1, 8, 8, 1).astype(np.float32), labels[order]
    return images[:800], labels[:800], images[800:840], labels[800:840]


class Convolutional(torch.nn.Module):
    """A network of images (m, 1, 8, 8)."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = torch.nn.Conv2d(1, 16, 3), torch.nn.Linear(16 * 36, 10)

    def forward(self, images):
        return self.last(torch.relu(self.conv(images)).flatten(1))


@pytest.fixture(scope="module")
def convolutional(digits):
    """A torch network that was trained without attacks."""
    images, labels, *_ = digits
    torch.manual_seed(0)
    net, x, y = Convolutional(), torch.tensor(images).permute(0, 3, 1, 2), torch.tensor(labels)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()
    return net


@pytest.fixture(scope="module")
def linear(digits):
    images, labels, *_ = digits
    return LogisticRegression(C=1, max_iter=200).fit(images.reshape(len(images), -1), labels)


def test_a_torch_network_of_another_program(convolutional, digits, tmp_path):
    images, labels = digits[2:]
    out = tmp_path / "record.json"
    found = advntk.benchmark(convolutional, images, labels, eps255=24, attacks="quick", name="mine", out=out)
    with torch.inference_mode():
        right = convolutional(torch.tensor(images).permute(0, 3, 1, 2)).argmax(1).numpy() == labels
    assert found.clean_accuracy == right.mean() > 0.9
    assert found.robust_accuracy < found.clean_accuracy
    assert found.flags == []
    assert next(convolutional.parameters()).requires_grad, "the module itself is left as it is"
    assert Benchmark.model_validate(json.loads(out.read_text())) == found
    with np.load(out.with_suffix(".npz"), allow_pickle=False) as outcomes:
        assert outcomes["pgd_margin.robust"].mean() == found.robust_accuracy
    assert "worst case" in str(found)
    assert "advntk.attacks.entries.pgd" in found.provenance["sources"]


def test_the_worst_case_counts(convolutional, digits):
    images, labels = digits[2:]
    both = {"pgd": {"loss": "margin", "steps": 2}, "fgsm": {}}
    found = advntk.benchmark(convolutional, images, labels, eps255=24, attacks=both)
    each = [result.evaluation.robust_accuracy for result in found.attacks.values()]
    assert found.robust_accuracy <= min(each)


def test_a_jax_function_is_the_linear_model_that_it_computes(linear, digits):
    images, labels = digits[2:]
    weights, bias = jnp.asarray(linear.coef_.T, jnp.float32), jnp.asarray(linear.intercept_, jnp.float32)

    def function(images):
        return images.reshape(len(images), -1) @ weights + bias

    found = advntk.benchmark(function, images, labels, eps255=24, attacks="quick")
    assert found.clean_accuracy == linear.score(images.reshape(len(images), -1), labels)
    # a linear model's robust accuracy in ℓ∞ without the box is exact: margin − ε ‖w_y − w_c‖₁ > 0 for all c
    logits = np.asarray(function(images))
    robust = []
    for row, label in zip(logits, labels, strict=True):
        others = [c for c in range(10) if c != label]
        norms = np.abs(linear.coef_[label] - linear.coef_[others]).sum(axis=1)
        robust.append((row[label] - row[others] > 24 / 255 * norms).all())
    assert np.mean(robust) <= found.robust_accuracy <= found.clean_accuracy


def test_a_model_without_gradients_gets_attacks_that_need_none(digits, monkeypatch):
    train, truth, images, labels = digits
    machine = SVC().fit(train.reshape(len(train), -1), truth)
    monkeypatch.setitem(SETS, "black-box", {**BLACK_BOX, "square": {**BLACK_BOX["square"], "queries": 200}})
    found = advntk.benchmark(machine, images[:20], labels[:20], eps255=24)
    assert list(found.attacks) == ["noise", "square"]
    assert found.clean_accuracy == machine.score(images[:20].reshape(20, -1), labels[:20])
    assert found.robust_accuracy < found.clean_accuracy
    assert any("no gradient" in flag for flag in found.flags)
    with pytest.raises(InputError, match="black-box"):
        advntk.benchmark(machine, images, labels, attacks="quick")


def test_labels_are_those_of_the_model(digits):
    train, truth, images, labels = digits
    words = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    fitted = advntk.NTKClassifier().fit(train[:200], words[truth[:200]])
    noise = {"noise": {"draws": 1}}
    found = advntk.benchmark(fitted, images, words[labels], attacks=noise, eps255=1)
    assert found.clean_accuracy == fitted.score(images, words[labels])
    tens = LogisticRegression(max_iter=200).fit(train.reshape(len(train), -1), 10 * ((truth + 1) % 10))
    found = advntk.benchmark(tens, images, 10 * ((labels + 1) % 10), attacks=noise, eps255=1)
    assert found.clean_accuracy > 0.9
    with pytest.raises(InputError, match="none of the model's classes"):
        advntk.benchmark(tens, images, labels, attacks=noise)
    pairs = SVC(decision_function_shape="ovo").fit(train[:100].reshape(100, -1), truth[:100])
    with pytest.raises(InputError, match="ovo"):
        advntk.benchmark(pairs, images, labels)


def test_a_model_may_refuse_other_values(convolutional, digits):
    class Strict(torch.nn.Module):
        def forward(self, images):
            assert images.max() <= 1.001
            return convolutional(images)

    assert advntk.benchmark(Strict(), *digits[2:], attacks="quick").clean_accuracy > 0.9


def test_a_classifier_of_this_package_has_its_robust_score(digits):
    train, truth, images, labels = digits
    fitted = advntk.NTKClassifier().fit(train[:200], truth[:200])
    found = advntk.benchmark(fitted, images, labels, eps255=16, attacks="quick")
    assert found.robust_accuracy == fitted.robust_score(images, labels, eps255=16)


def test_probabilities_are_found(convolutional, digits):
    images, labels = digits[2:]
    found = advntk.benchmark(torch.nn.Sequential(convolutional, torch.nn.Softmax(1)), images, labels, attacks="quick")
    assert any("probabilities" in flag for flag in found.flags)


def test_a_random_model_is_found(digits):
    torch.manual_seed(1)
    found = advntk.benchmark(Convolutional(), *digits[2:], attacks="quick")
    assert any("near chance" in flag for flag in found.flags)


def test_a_model_of_grey_levels_is_found(convolutional, digits):
    class OfGreyLevels(torch.nn.Module):
        def forward(self, images):
            return convolutional(torch.where(images > 1, images / 255, torch.zeros_like(images)))

    found = advntk.benchmark(OfGreyLevels(), *digits[2:], attacks="quick", layout="NCHW")
    assert any("wrong range" in flag for flag in found.flags)


def test_a_masked_gradient_is_found(convolutional, digits):
    class Masked(torch.nn.Module):
        def forward(self, images):
            return convolutional(torch.round(images * 4) / 4)

    found = advntk.benchmark(Masked(), *digits[2:], eps255=24, attacks="quick", layout="NCHW")
    assert any("gradient" in flag for flag in found.flags)


def test_two_layouts_are_told_apart_or_asked_for(digits):
    images, labels = digits[2:]
    torch.manual_seed(0)
    colour = np.repeat(images, 8, axis=3)
    either = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(512, 10))
    with pytest.raises(InputError, match="give layout"):
        advntk.benchmark(either, colour, labels, attacks="quick")
    first = advntk.benchmark(either, colour, labels, attacks={"noise": {}}, layout="NCHW", eps255=1)
    with torch.inference_mode():
        expected = either(torch.tensor(colour).permute(0, 3, 1, 2)).argmax(1).numpy() == labels
    assert first.clean_accuracy == expected.mean()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"images": lambda x: (255 * x).astype(np.uint8)}, "255"),
        ({"images": lambda x: 255 * x}, "255"),
        ({"images": lambda x: x[..., 0]}, "shape"),
        ({"images": lambda x: np.where(x > 0.9, np.nan, x)}, "NaN"),
        ({"labels": lambda y: y[:3]}, "labels"),
        ({"labels": lambda y: y - 1}, "labels"),
        ({"labels": lambda y: y.astype(float)}, "labels"),
        ({"classes": 7}, "labels"),
        ({"attacks": "strongest"}, "standard"),
        ({"attacks": {}}, "no attacks"),
        ({"attacks": ["pgd"]}, "by name"),
        ({"attacks": {"pgd": None}}, "by name"),
        ({"layout": "nhwc"}, "NHWC"),
        ({"device": "cuda"}, "device"),
        ({"norm": "l3"}, "norm"),
        ({"eps255": -1}, "eps255"),
        ({"eps255": 8 / 255}, "give 8 for 0.0313725"),
        ({"batch": 0}, "batch"),
        ({"seed": -1}, "seed"),
        ({"out": "outcomes.npz"}, "JSON"),
        ({"labels": lambda y: y.astype(str)}, "integers"),
        ({"attacks": {"pgd": {"stepz": 1}}}, "steps"),
        ({"classes": 11}, "11"),
        ({"model": "net.pt"}, "str"),
    ],
)
def test_bad_input_has_one_clear_error(change, told, convolutional, digits):
    images, labels = digits[2:]
    given = {"model": convolutional, "images": images, "labels": labels, "attacks": "quick"}
    given |= {key: value(given[key]) if callable(value) else value for key, value in change.items()}
    with pytest.raises((InputError, ConfigError), match=told):
        advntk.benchmark(**given)


class Wrapped(torch.nn.Module):
    """A network behind a function of its own."""

    def __init__(self, module, forward):
        super().__init__()
        self.module, self.function = module, forward

    def forward(self, images):
        return self.function(self.module, images)


def _without_gradients(module, images):
    with torch.no_grad():
        return module(images)


def _conditional(images):
    rows = images.reshape(len(images), -1)
    return jnp.where(rows[:, :10] > 0.5, 1.0, 0.0) if rows.sum() > 0 else rows[:, :10]


def _shared(module):
    """A module that torch cannot copy."""
    wrapped = Wrapped(module, lambda net, images: net(images))
    wrapped.kept = module.last.weight * 1  # no leaf
    return wrapped


FAULTY = {
    "half precision": (lambda net: copy.deepcopy(net).to(torch.bfloat16), r"bfloat16.*; give module\.float\(\)"),
    "under no_grad": (lambda net: Wrapped(net, _without_gradients), "no gradient .* without torch.no_grad"),
    "detached": (lambda net: Wrapped(net, lambda module, images: module(images.detach())), "no gradient .* detach"),
    "several outputs": (lambda net: Wrapped(net, lambda module, images: (module(images), 0)), "no logits .*tuple"),
    "features": (lambda net: Wrapped(net, lambda module, images: images), "no logits .*outputs of shape"),
    "that raises": (lambda net: Wrapped(net, lambda module, images: module.nothing(images)), "no logits .*nothing"),
    "no copy": (_shared, "cannot be copied"),
    "NaN": (
        lambda net: Wrapped(net, lambda module, images: module(images) / 0 * 0),
        "NaN .*; let the model give finite",
    ),
    "a condition on values": (lambda net: _conditional, "no gradient .*; write the function in jax.numpy"),
    "numpy": (lambda net: lambda images: np.asarray(images).reshape(len(images), -1)[:, :10], "jax.numpy"),
    "NaN of a function": (lambda net: lambda images: images.reshape(len(images), -1)[:, :10] * jnp.nan, "NaN"),
    "NaN of scores": (
        lambda net: SimpleNamespace(predict_proba=lambda rows: np.full((len(rows), 10), np.nan)),
        "NaN .*; let the model give finite",
    ),
}


@pytest.mark.parametrize("layout", ["auto", "given"])
@pytest.mark.parametrize("attacks", ["quick", "black-box"])
@pytest.mark.parametrize("fault", FAULTY)
def test_a_model_that_cannot_be_attacked_has_one_clear_error(fault, attacks, layout, convolutional, digits):
    images, labels = digits[2:]
    broken, told = FAULTY[fault]
    model = broken(convolutional)
    given = "auto" if layout == "auto" else "NCHW" if isinstance(model, torch.nn.Module) else "NHWC"
    with pytest.raises(AdvntkError, match=told) as caught:
        advntk.benchmark(model, images[:4], labels[:4], attacks=attacks, classes=10, layout=given)
    assert "\n" not in caught.value.line()
    assert "fit" not in caught.value.remedy, "a model of the user's own is no fit"


def test_a_network_may_compute_logits_in_half_precision(convolutional, digits):
    half = Wrapped(convolutional, lambda module, images: module(images).to(torch.bfloat16))
    found = advntk.benchmark(half, *digits[2:], attacks={"noise": {"draws": 1}}, eps255=1)
    assert found.clean_accuracy > 0.9


def test_a_caller_may_have_switched_gradients_off(convolutional, digits):
    expected = advntk.benchmark(convolutional, *digits[2:], attacks="quick", eps255=24)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = advntk.benchmark(convolutional, *digits[2:], attacks="quick", eps255=24)
        assert found.robust_accuracy == expected.robust_accuracy


def test_an_attack_without_steps_is_told(convolutional, digits):
    images, labels = digits[2:]
    for steps, told in ((0, True), (1, False)):
        found = advntk.benchmark(convolutional, images, labels, attacks={"mine": {"kind": "pgd", "steps": steps}})
        assert any("takes no steps" in flag for flag in found.flags) == told
