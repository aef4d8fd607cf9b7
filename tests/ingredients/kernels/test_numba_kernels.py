"""The numba kernels against neural-tangents in float64."""

from functools import cache

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from advntk.foundation.architecture import Architecture
from advntk.foundation.losses import one_hot, value_and_logit_gradient
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.networks.families import resnet

OFF_DIAGONAL, DIAGONAL = 1e-6, 1e-5
"""Allowed errors, of the largest entry."""
GRADIENT = 3e-6
DEPTHS = {"mlp": (2, 3, 5, 8), "cnn": (1, 3, 5), "resnet": (2, 3)}
CASES = [(family, depth, shape) for family in DEPTHS for depth in DEPTHS[family] for shape in ((8, 8, 1), (7, 5, 2))]
CASES += [("resnet", 18, (7, 5, 2))]
CASES += [
    pytest.param("resnet", depth, shape, marks=pytest.mark.slow)  # half a minute of XLA's compilation each
    for depth, shape in ((18, (8, 8, 1)), (34, (7, 5, 2)), (34, (8, 8, 1)))
]


@pytest.fixture(autouse=True)
def _small_resnets(monkeypatch):
    """Blocks of each stage, by depths that stand for nothing."""
    monkeypatch.setitem(resnet.BLOCKS, 2, (1, 1))
    monkeypatch.setitem(resnet.BLOCKS, 3, (2,))


@pytest.fixture(autouse=True)
def _restore_x64():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


def images(count, shape, seed=0):
    if shape == (8, 8, 1):
        return (load_digits().images[seed : seed + count, :, :, None] / 16).astype(np.float32)
    return np.random.default_rng(seed).uniform(0, 1, (count, *shape)).astype(np.float32)


@cache  # and with an oracle what it has compiled
def engines(family, depth, shape, **keys):
    spec = Architecture(family=family, depth=depth, **keys)
    fast = make_engine(spec, shape, engine="numba")
    return fast, make_engine(spec, shape, engine="neural_tangents", device="cpu", dtype="float64")


def pair(family, depth, shape, **keys):
    made = engines(family, depth, shape, **keys)
    jax.config.update("jax_enable_x64", True)
    return made


def relative(got, wanted):
    return np.abs(np.asarray(got) - np.asarray(wanted)).max() / np.abs(np.asarray(wanted)).max()


@pytest.mark.parametrize(("family", "depth", "shape"), CASES)
def test_tiles_rows_and_gradients(family, depth, shape):
    fast, exact = pair(family, depth, shape)
    train, test = images(75, shape), images(20, shape, seed=200)
    reference = exact.tile(train, train)
    off = ~np.eye(len(train), dtype=bool)
    for got in (fast.tile(train, train), fast.tile_symmetric(train)):
        assert got.dtype == np.float32
        error = np.abs(got - reference) / reference.max()
        assert error[off].max() < OFF_DIAGONAL
        assert error[~off].max() < DIAGONAL
    np.testing.assert_array_equal(got, got.T)

    bound, oracle = fast.bind(train, memory_mb=100), exact.bind(train, memory_mb=100)
    assert relative(bound.rows(test), oracle.rows(test)) < OFF_DIAGONAL
    compare_gradients(bound, oracle, test, "squared_error", n=len(train), allowed=GRADIENT)


def compare_gradients(bound, oracle, test, loss, *, n, allowed):
    coef = np.random.default_rng(1).normal(size=(n, 4))
    labels = np.arange(len(test)) % 4
    found = bound.loss_and_gradient(test, labels, coef.astype(np.float32), loss)
    wanted = oracle.loss_and_gradient(oracle.native(test), oracle.native(labels), oracle.native(coef), loss)
    for got, reference in zip(found, wanted, strict=True):
        assert got.shape == reference.shape
        assert got.dtype == np.float32
        assert relative(got, reference) < allowed


@pytest.mark.parametrize("family", DEPTHS)
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_gradients_of_other_losses(family, loss):
    fast, exact = pair(family, 2, (7, 5, 2))
    train, test = images(40, (7, 5, 2)), images(5, (7, 5, 2), seed=1)
    bound, oracle = fast.bind(train, memory_mb=100), exact.bind(train, memory_mb=100)
    compare_gradients(bound, oracle, test, loss, n=40, allowed=1e-4)


@pytest.mark.parametrize("family", DEPTHS)
def test_identical_and_almost_identical_images(family):
    fast, exact = pair(family, 3, (7, 5, 2))
    train = images(40, (7, 5, 2))
    again = train[:6] + np.array([0, 0, 1e-6, 1e-5, 1e-4, 1e-3], np.float32)[:, None, None, None]
    reference = exact.tile(again.astype(np.float64), train.astype(np.float64))
    assert np.abs(fast.tile(again, train) - reference).max() < DIAGONAL * reference.max()
    # at an image of the training set Θ has a kink; the gradient there must be finite and of the usual size
    bound = fast.bind(train, memory_mb=100)
    coef = np.ones((len(train), 2), np.float32)
    gradient = bound.loss_and_gradient(again, np.zeros(6, int), coef, "squared_error")[2]
    elsewhere = bound.loss_and_gradient(images(6, (7, 5, 2), 9), np.zeros(6, int), coef, "squared_error")[2]
    assert np.abs(gradient).max() < 10 * np.abs(elsewhere).max()


@pytest.mark.parametrize("family", DEPTHS)
def test_images_without_variance(family):
    """σ_b = 0 and a grey image: all its variances are zero, Θ is zero there, and nothing is NaN."""
    fast, exact = pair(family, 3, (7, 5, 2), sigma_b=0.0)
    train = images(10, (7, 5, 2))
    train[3] = 0.5
    got = fast.tile_symmetric(train)
    assert np.abs(got[3]).max() < 1e-6 * got.max()
    assert np.abs(got - exact.tile(train, train)).max() < DIAGONAL * got.max()
    coef = np.random.default_rng(0).normal(size=(10, 2)).astype(np.float32)
    bound, oracle = fast.bind(train, memory_mb=100), exact.bind(train, memory_mb=100)
    labels = np.zeros(1, int)
    gradient = bound.loss_and_gradient(train[3:4], labels, coef, "squared_error")[2]
    wanted = oracle.loss_and_gradient(
        oracle.native(train[3:4]), oracle.native(labels), oracle.native(coef), "squared_error"
    )[2]
    assert np.isfinite(gradient).all()
    assert relative(gradient, wanted) < 1e-4


@pytest.mark.parametrize("family", ["cnn", "resnet"])
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 3, 1), (2, 1, 3)])
def test_images_smaller_than_the_filter(family, shape):
    fast, exact = pair(family, 2, shape)
    a, b = images(5, shape), images(33, shape, seed=1)
    assert relative(fast.tile(a, b), exact.tile(a, b)) < OFF_DIAGONAL


def test_depth_one_mlp_is_linear():
    fast, exact = pair("mlp", 1, (7, 5, 2))
    train = images(9, (7, 5, 2))
    assert relative(fast.tile_symmetric(train), exact.tile(train, train)) < OFF_DIAGONAL


@pytest.mark.parametrize("family", DEPTHS)
def test_tiling_changes_nothing(family):
    spec = Architecture(family=family, depth=3)
    engine = make_engine(spec, (8, 8, 1), engine="numba")
    train, test = images(100, (8, 8, 1)), images(7, (8, 8, 1), seed=300)
    coef = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    labels = np.arange(7) % 3
    whole, tiled = engine.bind(train, memory_mb=100), engine.bind(train, memory_mb=0.002)
    assert relative(tiled.rows(test), whole.rows(test)) < 1e-6
    for got, wanted in zip(
        tiled.loss_and_gradient(test, labels, coef, "margin"),
        whole.loss_and_gradient(test, labels, coef, "margin"),
        strict=True,
    ):
        assert relative(got, wanted) < 1e-5


@pytest.mark.parametrize("family", DEPTHS)
def test_gradient_against_finite_differences(family):
    """Central differences of neural-tangents in float64, along random directions: independent of all reverse code.

    The first image is one of the training set, where Θ has a kink: the middle of its slopes is meant.
    """
    fast, exact = pair(family, 3, (7, 5, 2))
    train = images(20, (7, 5, 2))
    test = np.concatenate([train[3:4], images(3, (7, 5, 2), seed=5)])
    coef = np.random.default_rng(0).normal(size=(20, 3))
    labels = np.array([0, 0, 1, 2])
    gradient = fast.bind(train, memory_mb=100).loss_and_gradient(test, labels, coef, "squared_error")[2]
    target = one_hot(labels, 3, np.float64)

    def losses(points):
        return value_and_logit_gradient("squared_error", exact.tile(points, train) @ coef, target)[0]

    direction = np.random.default_rng(2).normal(size=test.shape)
    step = 1e-5
    wide = test.astype(np.float64)
    slope = (losses(wide + step * direction) - losses(wide - step * direction)) / (2 * step)
    assert relative((gradient * direction).sum(axis=(1, 2, 3)), slope) < 2e-5


def test_angle_terms():
    """Errors of g are the same for all pixels of a deep layer, and add up: they are relative to g."""
    from advntk.ingredients.kernels.numba_math import angle

    y = np.concatenate([np.geomspace(1e-6, 1, 2000), np.linspace(1, 2, 2000)]).astype(np.float32)
    theta = 2 * np.arcsin(np.sqrt(y.astype(np.float64) / 2))
    _, tau, found = np.array([angle(value) for value in y]).T
    g = 1 - np.cos(theta) + theta / np.pi * np.cos(theta) - np.sin(theta) / np.pi
    assert np.abs(tau - theta / np.pi).max() < 1e-7
    assert np.abs(found / g - 1).max() < 3e-7


def test_native_arrays_are_numpy():
    bound = make_engine(Architecture(family="mlp", depth=2), (2, 2, 1)).bind(images(3, (2, 2, 1)), memory_mb=1)
    assert isinstance(bound.native(np.ones(3)), np.ndarray)
    assert isinstance(bound.rows(images(2, (2, 2, 1))), np.ndarray)


@pytest.mark.parametrize("tile_mb", [64, 0.02])
@pytest.mark.parametrize("family", DEPTHS)
def test_triangle_of_many_blocks_is_the_square(family, tile_mb, monkeypatch):
    monkeypatch.setattr("advntk.ingredients.kernels.numba_conv.TILE_MB", tile_mb)
    engine = make_engine(Architecture(family=family, depth=3), (3, 2, 1), engine="numba")
    many = images(1100, (3, 2, 1))
    square, triangle = engine.tile(many, many), engine.tile_symmetric(many)
    off = ~np.eye(len(many), dtype=bool)
    assert np.abs(triangle - square)[off].max() < OFF_DIAGONAL * square.max()
    np.testing.assert_array_equal(triangle, triangle.T)


def test_wide_vectors_only_where_they_are_fast_and_nobody_chose(monkeypatch):
    from numba.core import config

    from advntk.ingredients.kernels import numba_target

    monkeypatch.setattr(config, "CPU_NAME", None)
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    assert numba_target.wide_features({"avx2": True, "avx512f": True, "avx512vbmi2": False}) == ""
    wide = numba_target.wide_features(numba_target.binding.get_host_cpu_features())
    numba_target.use_wide_vectors()
    assert (config.CPU_FEATURES or "").endswith(wide)
    assert bool(config.CPU_FEATURES) == bool(wide)
    monkeypatch.setattr(config, "CPU_FEATURES", "+avx2")
    numba_target.use_wide_vectors()
    assert config.CPU_FEATURES == "+avx2"
