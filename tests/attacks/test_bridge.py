"""The bridge to torch: values, gradients, layout and memory, for predictors of every library."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch

from advntk.attacks import bridge
from advntk.attacks.bridge import as_torch_module
from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.networks.finite_torch import build
from advntk.learning.kernel_predictor import KernelPredictor
from advntk.learning.network_predictor import NetworkPredictor

SHAPE, CLASSES = (5, 3, 2), 4
KINDS = ["kernel-numba", "kernel-jax", "torch"]


@pytest.fixture(autouse=True)
def _restore_x64():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


def pixels(count, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).uniform(size=(count, *shape))


def channels_first(images, dtype=torch.float32):
    return torch.tensor(images, dtype=dtype).permute(0, 3, 1, 2).contiguous()


def kernel(engine, dtype="float32", family="mlp", shape=SHAPE):
    made = make_engine(Architecture(family=family, depth=2), shape, engine=engine, device="cpu", dtype=dtype)
    coef = np.random.default_rng(1).normal(size=(6, CLASSES))
    return KernelPredictor(made.bind(pixels(6, seed=2, shape=shape).astype(np.float32), memory_mb=50), coef, shape)


def network(dtype=torch.float32, shape=SHAPE):
    net = build(Architecture(family="cnn", depth=1, width=5, activation="gelu"), shape, CLASSES, seed=0).to(dtype)
    return NetworkPredictor(net, input_shape=shape, classes=CLASSES, device="cpu")


class Wrapped:
    """A predictor seen only through its protocol; counts what is asked of it."""

    def __init__(self, inner):
        self.inner, self.classes, self.input_shape = inner, inner.classes, inner.input_shape
        self.native, self.linearized, self.forward = inner.native, 0, 0

    def logits(self, images):
        self.forward += 1
        return self.inner.logits(images)

    def linearize(self, images):
        self.linearized += 1
        return self.inner.linearize(images)


def make(kind, shape=SHAPE):
    if kind == "torch":
        return network(shape=shape)
    return kernel({"kernel-numba": "numba", "kernel-jax": "neural_tangents"}[kind], shape=shape)


def gradient(module, images, cotangent):
    variable = images.clone().requires_grad_()
    module(variable).backward(cotangent)
    return variable.grad


def central_differences(module, images, cotangent, step):
    slopes = torch.zeros_like(images)
    for place in np.ndindex(*images.shape):
        offset = torch.zeros_like(images)
        offset[place] = step
        up, down = ((module((images + s * offset).requires_grad_()).detach() * cotangent).sum() for s in (1, -1))
        slopes[place] = (up - down) / (2 * step)
    return slopes


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_gradient_of_jax_in_float64(family):
    module = as_torch_module(kernel("neural_tangents", dtype="float64", family=family))
    images, cotangent = channels_first(pixels(2, seed=3), torch.float64), torch.tensor([[1.0, -2, 0.5, 3]] * 2).double()
    found = gradient(module, images, cotangent)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, central_differences(module, images, cotangent, 1e-5), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("wrap", [Wrapped, lambda predictor: predictor], ids=["protocol", "net"])
def test_gradient_of_torch_in_float64(wrap):
    module = as_torch_module(wrap(network(torch.float64)))
    images, cotangent = channels_first(pixels(2, seed=3), torch.float64), torch.tensor([[1.0, -2, 0.5, 3]] * 2).double()
    found = gradient(module, images, cotangent)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, central_differences(module, images, cotangent, 1e-5), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_gradient_of_numba_in_float32(family):
    module = as_torch_module(kernel("numba", family=family))
    images, cotangent = channels_first(pixels(2, seed=3)), torch.tensor([[1.0, -2, 0.5, 3]] * 2)
    found = gradient(module, images, cotangent)
    slopes = central_differences(module, images, cotangent, 1e-2)
    assert found.dtype == torch.float32
    assert float((found - slopes).norm() / slopes.norm()) < 2e-3


@pytest.mark.parametrize("kind", KINDS)
def test_layout_and_values(kind):
    predictor, images = make(kind), pixels(4).astype(np.float32)
    module, wanted = as_torch_module(predictor), predictor.logits(images)
    with torch.no_grad():
        forward = module(channels_first(images))
    recorded = module(channels_first(images).requires_grad_())
    for logits in (forward, recorded):
        assert logits.dtype == torch.float32
        np.testing.assert_allclose(logits.detach().numpy(), wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())
    cotangent = np.random.default_rng(5).normal(size=(4, CLASSES)).astype(np.float32)
    pulled = np.asarray(predictor.linearize(predictor.native(images))[1](predictor.native(cotangent)))
    found = gradient(module, channels_first(images), torch.tensor(cotangent))
    np.testing.assert_allclose(found.numpy().transpose(0, 2, 3, 1), pulled, rtol=1e-4, atol=1e-6)
    assert found.is_contiguous()


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_fresh_and_writable(kind):
    module, images = as_torch_module(Wrapped(make(kind))), channels_first(pixels(3))
    variable = images.clone().requires_grad_()
    for point in (images, variable):
        logits = module(point)
        kept = logits.detach().clone()
        with torch.no_grad():
            logits[0, 0] = -float("inf")
        assert torch.equal(module(point).detach(), kept)


class Keeping:
    """Gives out arrays that it keeps."""

    classes, input_shape = CLASSES, (5, 3, 1)

    def __init__(self, library):
        self.native = library.asarray
        self.kept = library.ones((2, CLASSES), library.float32), library.ones((2, 5, 3, 1), library.float32)

    def linearize(self, images):
        return self.kept[0], lambda cotangent: self.kept[1]


@pytest.mark.parametrize("library", [np, jax.numpy], ids=["numpy", "jax"])
def test_what_a_predictor_keeps_is_not_written_to(library):
    predictor = Keeping(library)
    variable = torch.zeros(2, 1, 5, 3, requires_grad=True)
    logits = as_torch_module(predictor)(variable)
    (found,) = torch.autograd.grad(logits.sum(), variable)
    found.zero_()
    logits.detach().zero_()
    assert all((np.asarray(array) == 1).all() for array in predictor.kept)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_survive_overwritten_images_and_repeat(kind):
    # one channel: channels last is then the same memory, and a view would follow the images
    shape = (5, 3, 1)
    module, images = as_torch_module(Wrapped(make(kind, shape))), channels_first(pixels(3, shape=shape))
    cotangent = torch.eye(CLASSES)[:3]
    wanted = gradient(module, images, cotangent)
    variable = images.clone().requires_grad_()
    logits = module(variable)
    with torch.no_grad():
        variable.detach().zero_()
    for _ in range(2):
        (found,) = torch.autograd.grad(logits, variable, cotangent, retain_graph=True)
        assert torch.equal(found, wanted)
    # a stride of 0
    (summed,) = torch.autograd.grad(logits.sum(), variable)
    torch.testing.assert_close(summed, gradient(module, images, torch.ones(3, CLASSES)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pullback_is_made_only_where_a_gradient_is_wanted(kind):
    predictor = Wrapped(make(kind))
    module, images = as_torch_module(predictor), channels_first(pixels(2))
    module(images)
    with torch.no_grad():
        module(images.clone().requires_grad_())
    assert (predictor.forward, predictor.linearized) == (2, 0)
    module(images.clone().requires_grad_())
    assert (predictor.forward, predictor.linearized) == (2, 1)


def test_jax_arrays_that_torch_cannot_reach_go_through_numpy(monkeypatch):
    predictor, images, cotangent = kernel("neural_tangents"), channels_first(pixels(3)), torch.eye(CLASSES)[:3]
    wanted = gradient(as_torch_module(predictor), images, cotangent)
    monkeypatch.setattr(bridge, "_torch_reaches", lambda array: False)
    module = as_torch_module(predictor)
    assert module.device == torch.device("cpu")
    torch.testing.assert_close(gradient(module, images, cotangent), wanted)


def test_a_network_goes_the_same_both_ways():
    predictor, images = network(), channels_first(pixels(4))
    direct, through = as_torch_module(predictor), as_torch_module(Wrapped(predictor))
    assert torch.equal(direct(images), through(images))
    cotangent = torch.eye(CLASSES)
    torch.testing.assert_close(gradient(direct, images, cotangent), gradient(through, images, cotangent))
    assert direct.device == through.device == predictor.device


def test_a_network_in_float64_takes_images_in_float32():
    module, images = as_torch_module(network(torch.float64)), channels_first(pixels(2))
    assert module(images).dtype == torch.float32
    wanted = module(images.double())
    assert wanted.dtype == torch.float64
    torch.testing.assert_close(module(images).double(), wanted, rtol=1e-6, atol=1e-6)
    assert gradient(module, images, torch.ones(2, CLASSES)).dtype == torch.float32
