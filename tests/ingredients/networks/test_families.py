"""What every family of networks must keep: one spec is one network, infinitely wide, in JAX and in torch.

On images of an odd size, for all families of the registry: the kernel is the mean over random torch networks and what
their empirical kernels tend to; the torch network is the JAX network; gradients are those of finite differences.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
import torch

from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.networks.finite_torch import build, load_jax_parameters
from advntk.ingredients.networks.layers import FAMILIES, AveragePool, Conv, Residual, flat, layers_of

SHAPE = (7, 5, 2)
COUNT = 4
"""Images of each kind: always as many, since XLA compiles a deep kernel anew for every shape."""
WIDTHS = {"resnet": 32}
"""Narrower where depth makes networks costly."""
MORE = [
    *(
        Architecture(family=family, depth=2, activation=activation)
        for family in ("mlp", "cnn")
        for activation in ("erf", "gelu", "sigmoid_like")
    ),
    Architecture(family="cnn", depth=2, pooling="average"),
    Architecture(family="cnn", depth=1, pooling="average", activation="erf"),
    Architecture(family="cnn", depth=2, padding="circular"),
]


@pytest.fixture(autouse=True, scope="module")
def _x64_as_before(one_thread):
    x64 = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", x64)


def smallest(family: str) -> Architecture:
    """A family at the first depth that it has."""
    for depth in (2, 3, 18):
        spec = Architecture(family=family, depth=depth)
        try:
            layers_of(spec)
        except ConfigError:
            continue
        return spec
    raise AssertionError(f"{family} has none of the depths that the tests know")


SPECS = [*(smallest(family) for family in registry.names(FAMILIES)), *MORE]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.label)


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (count, *SHAPE)).astype(np.float32)


def relative(got, wanted) -> float:
    return float(np.linalg.norm(np.asarray(got) - np.asarray(wanted)) / np.linalg.norm(np.asarray(wanted)))


@functools.cache
def oracle(spec: Architecture):
    """The kernel by neural-tangents, in float64."""
    return make_engine(spec, SHAPE, engine="neural_tangents", device="cpu", dtype="float64")


def empirical(spec: Architecture, points: np.ndarray, seed: int) -> np.ndarray:
    """J Jᵀ of a random torch network with one output."""
    net = build(spec, SHAPE, 1, seed=seed)
    parameters = list(net.parameters())
    rows = []
    for point in torch.from_numpy(points):
        slopes = torch.autograd.grad(net(point[None])[0, 0], parameters)
        rows.append(torch.cat([slope.flatten() for slope in slopes]).double())
    jacobian = torch.stack(rows)
    return (jacobian @ jacobian.T).numpy()


def of_width(spec: Architecture, share: int = 1) -> Architecture:
    return spec.model_copy(update={"width": max(2, WIDTHS.get(spec.family, 128) // share)})


@every_spec
def test_the_kernel_is_what_random_networks_tend_to(spec):
    points = images(COUNT)
    wanted = oracle(spec).tile(points, points)
    wide = np.stack([empirical(of_width(spec), points, seed) for seed in range(24)])
    narrow = np.stack([empirical(of_width(spec, share=8), points, seed) for seed in range(24)])
    errors = [np.median([relative(sample, wanted) for sample in samples]) for samples in (narrow, wide)]
    assert errors[1] < 0.7 * errors[0]  # 1/√width would give 0.35
    assert relative(wide.mean(axis=0), wanted) < 0.1


@every_spec
def test_the_engine_that_is_chosen_agrees_with_the_oracle(spec):
    points, others = images(COUNT), images(COUNT, seed=1)
    others[0] = points[0]
    engine = make_engine(spec, SHAPE, device="cpu")
    got, wanted = engine.tile(points, others), oracle(spec).tile(points, others)
    assert np.abs(got - wanted)[1:].max() < 5e-6 * np.abs(wanted).max()
    assert abs(got[0, 0] - wanted[0, 0]) < 3e-4 * wanted[0, 0]  # float32 neural-tangents is poor on equal images
    square = engine.tile_symmetric(others)
    np.testing.assert_array_equal(square, square.T)
    assert relative(square, oracle(spec).tile(others, others)) < 3e-4


@every_spec
def test_gradients_of_the_kernel_against_finite_differences(spec):
    train, points = images(COUNT), images(COUNT, seed=1).astype(np.float64)
    rng = np.random.default_rng(2)
    coef, cotangent = rng.normal(size=(COUNT, 3)), rng.normal(size=(COUNT, 3))
    direction = rng.normal(size=points.shape)
    exact = oracle(spec).bind(train, memory_mb=500)

    def value(step: float) -> float:
        return float(np.sum(cotangent * (exact.rows(points + step * direction) @ coef)))

    step = 1e-5
    slope = (value(step) - value(-step)) / (2 * step)
    for engine, tolerance in ((oracle(spec), 1e-6), (make_engine(spec, SHAPE, device="cpu"), 1e-3)):
        bound = engine.bind(train, memory_mb=500)
        _, pullback = bound.linearize(bound.native(points.astype(engine_dtype(engine))), bound.native(coef))
        gradient = np.asarray(pullback(bound.native(cotangent.astype(engine_dtype(engine)))), np.float64)
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=tolerance)


def engine_dtype(engine) -> str:
    return "float64" if getattr(engine, "dtype", None) == np.float64 else "float32"


@every_spec
def test_the_torch_network_is_the_jax_network(spec):
    from advntk.ingredients.kernels.neural_tangents_wall import finite_network

    spec = spec.model_copy(update={"width": 3})
    init, apply = finite_network(spec, SHAPE, classes=3)
    parameters = init(jax.random.key(1))
    net = build(spec, SHAPE, 3, seed=0)
    load_jax_parameters(net, parameters)
    points = images(4)
    with torch.no_grad():
        got = net(torch.from_numpy(points)).numpy()
    np.testing.assert_allclose(got, apply(parameters, points), rtol=2e-4, atol=2e-4 * np.abs(got).max())


@every_spec
@pytest.mark.parametrize("form", ["ntk", "reference"])
def test_image_gradients_of_the_torch_networks(spec, form):
    net = build(spec.model_copy(update={"width": 2}), SHAPE, 2, seed=1, form=form).double()
    points = torch.from_numpy(images(2).astype(np.float64))
    assert torch.autograd.gradcheck(net, points.requires_grad_(True), fast_mode=True)


@pytest.mark.parametrize("width", [3, 8])
def test_weight_gradients_of_the_reference_resnet(width):
    """In float32, with torch's fast convolutions, against float64, which has none."""
    spec = Architecture(family="resnet", depth=18, width=width)
    gradients = {}
    for dtype in (torch.float32, torch.float64):
        net = build(spec, SHAPE, 2, seed=1, form="reference").to(dtype).train()
        points = torch.from_numpy(np.random.default_rng(0).uniform(size=(16, 8, 8, 2))).to(dtype)
        slopes = torch.autograd.grad(net(points).square().sum(), list(net.parameters()))
        gradients[dtype] = [slope.double() for slope in slopes]
    for got, wanted in zip(gradients[torch.float32], gradients[torch.float64], strict=True):
        assert torch.linalg.norm(got - wanted) < 1e-2 * torch.linalg.norm(wanted) + 1e-5


def test_a_resnet_has_the_layers_that_its_name_counts():
    for depth, shortcuts in ((18, 4), (34, 4)):
        layers = layers_of(Architecture(family="resnet", depth=depth))
        convolutions = [layer for layer in flat(layers) if isinstance(layer, Conv)]
        assert len(convolutions) == depth - 1 + shortcuts  # and the dense layer
        assert not any(layer.bias for layer in convolutions)
        blocks = [layer for layer in layers if isinstance(layer, Residual)]
        assert sum(bool(block.shortcut) for block in blocks) == shortcuts
        assert blocks[0].shortcut


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Architecture(family="resnet", depth=50), "no ResNet of depth 50.*18 or 34"),
        (Architecture(family="resnet", depth=18, pooling="average"), "no pooling"),
        (Architecture(family="mlp", depth=3, pooling="average"), "no pooling"),
        (Architecture(family="mlp", depth=3, padding="circular"), "no padding"),
        (Architecture(family="resnet", depth=18, padding="circular"), "padded with zeros"),
    ],
)
def test_what_a_family_does_not_have_is_refused(spec, message):
    with pytest.raises(ConfigError, match=message):
        layers_of(spec)


def test_pooling_is_part_of_name_and_kernel():
    plain, pooled = (Architecture(family="cnn", depth=3, pooling=pooling) for pooling in ("none", "average"))
    assert (plain.label, pooled.label) == ("cnn-3", "cnn-3-average")
    assert (plain.kind, pooled.kind) == ("cnn", "cnn-average")
    assert plain.kernel_identity != pooled.kernel_identity
    assert any(isinstance(layer, AveragePool) for layer in layers_of(pooled))
    assert dataclasses.is_dataclass(layers_of(pooled)[-1])
