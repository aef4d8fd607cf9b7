"""The torch predictor: the protocol, gradients against finite differences, batches and devices."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from advntk.attacks.gradient import ascend
from advntk.foundation import gpus
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import AdvntkError
from advntk.foundation.losses import one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.finite_torch import build
from advntk.learning.network_predictor import NetworkPredictor, choose_device

SHAPE, CLASSES = (4, 3, 2), 5


pytestmark = pytest.mark.usefixtures("one_thread")


def make(batch=512, dtype=torch.float32, activation="gelu"):
    spec = Architecture(family="cnn", depth=1, width=6, activation=activation)
    net = build(spec, SHAPE, CLASSES, seed=0).to(dtype)
    return NetworkPredictor(net, input_shape=SHAPE, classes=CLASSES, device="cpu", batch=batch)


def examples(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(count, *SHAPE)).astype(np.float32), rng.integers(CLASSES, size=count)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy", "margin"])
def test_gradient_against_finite_differences(loss):
    predictor = make(dtype=torch.float64)
    images, labels = examples(3)
    points, classes = predictor.native(images), predictor.native(labels)
    _, value, gradient = predictor.loss_and_gradient(points, classes, loss)
    target = one_hot(classes, CLASSES, torch.float64)
    for place in [(0, 0, 0, 0), (1, 2, 1, 1), (2, 3, 2, 0)]:
        step = torch.zeros_like(points)
        step[place] = 1e-5
        up, down = (value_and_logit_gradient(loss, predictor.net(points + s * step), target)[0] for s in (1, -1))
        slope = (up - down) / 2e-5
        assert slope[place[0]] == pytest.approx(float(gradient[place]), rel=1e-6, abs=1e-9)
        assert (slope != 0).sum() == 1  # an image's loss depends on that image alone
    assert torch.equal(value, value_and_logit_gradient(loss, predictor.net(points), target)[0])


def test_pieces_change_nothing():
    images, labels = examples(7)
    whole, pieces = make(), make(batch=3)
    np.testing.assert_allclose(whole.logits(images), pieces.logits(images), rtol=1e-5, atol=1e-6)
    results = [
        predictor.loss_and_gradient(predictor.native(images), predictor.native(labels), "squared_error")
        for predictor in (whole, pieces)
    ]
    for one, other in zip(*results, strict=True):
        assert one.shape == other.shape
        assert not one.requires_grad
        torch.testing.assert_close(one, other)
    assert whole.logits(images[:0]).shape == (0, CLASSES)


def test_protocol_and_no_parameter_gradients():
    predictor: Predictor = make()
    images, labels = examples(2)
    logits, value, gradient = predictor.loss_and_gradient(
        predictor.native(images), predictor.native(labels), "cross_entropy"
    )
    assert (logits.shape, value.shape, gradient.shape) == ((2, CLASSES), (2,), (2, *SHAPE))
    np.testing.assert_array_equal(predictor.logits(images), logits.numpy())
    assert predictor.logits(images).dtype == np.float32
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in predictor.net.parameters())
    assert not predictor.net.training


def test_native_is_a_copy():
    images, _ = examples(2)
    make().native(images).zero_()
    assert images.any()


def test_attack_evaluates_a_fresh_gradient_at_each_step():
    predictor = make(activation="relu")
    images, labels = examples(6)
    clean, classes = predictor.native(images), predictor.native(labels)
    threat, points = ThreatModel(eps255=16), []

    def oracle(batch):
        points.append(batch.clone())
        return predictor.loss_and_gradient(batch, classes, "squared_error")

    adversarial = ascend(oracle, clean, clean, threat=threat, steps=5, step_size=0.25 * threat.radius)
    assert len(points) == 5
    assert all(not torch.equal(one, next_one) for one, next_one in pairwise(points))
    assert (adversarial - clean).abs().max() <= threat.radius + 1e-6
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    before, after = oracle(clean)[1], oracle(adversarial)[1]
    assert (after > before).all()


def test_devices():
    assert choose_device("cpu").type == "cpu"
    if torch.cuda.is_available():
        assert choose_device("gpu").type == choose_device("auto").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        with pytest.raises(AdvntkError, match=r"no GPU; set device: auto or cpu"):
            choose_device("gpu")
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_a_gpu_is_taken_in_full_precision_and_named(monkeypatch):
    monkeypatch.setattr(gpus, "_used", {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    assert choose_device("cpu").type == "cpu"
    assert gpus.device_name() == "cpu"
    assert choose_device("auto").type == choose_device("gpu").type == "cuda"
    assert gpus.device_name() == "NVIDIA H100 80GB HBM3"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
