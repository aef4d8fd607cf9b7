"""Choice of engine, the neural-tangents engine, and finite networks against the infinite kernel."""

import importlib.util
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import AdvntkError, ConfigError
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.kernels.relu_plan import ConvPlan, DensePlan, relu_plan
from advntk.ingredients.networks.layers import Activate, Conv, Dense, Flatten, Residual, layers_of

SHAPE = (4, 3, 2)
gpu_plugin = any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))


@pytest.fixture(autouse=True)
def _restore_x64():
    before = jax.config.jax_enable_x64
    yield
    jax.config.update("jax_enable_x64", before)


def images(count, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).uniform(0, 1, (count, *shape)).astype(np.float32)


def relative(got, wanted):
    return np.linalg.norm(np.asarray(got) - np.asarray(wanted)) / np.linalg.norm(np.asarray(wanted))


@pytest.mark.parametrize(
    ("spec", "dtype", "name"),
    [
        ({"family": "mlp", "depth": 2}, "float32", "numba"),
        ({"family": "cnn", "depth": 2}, "float32", "numba"),
        ({"family": "resnet", "depth": 18}, "float32", "numba"),
        ({"family": "mlp", "depth": 2, "activation": "erf"}, "float32", "neural_tangents"),
        ({"family": "cnn", "depth": 2, "activation": "gelu"}, "float32", "neural_tangents"),
        ({"family": "cnn", "depth": 2, "pooling": "average"}, "float32", "neural_tangents"),
        ({"family": "mlp", "depth": 2}, "float64", "neural_tangents"),
    ],
)
def test_auto_takes_numba_where_it_can(spec, dtype, name):
    spec = Architecture(**spec)
    engine = make_engine(spec, SHAPE, device="cpu", dtype=dtype)
    assert engine.name == name
    assert engine.tile(images(2), images(3)).dtype == dtype


def test_layers_are_recognised():
    relu, conv, plain = Activate(function="relu"), Conv(width=8), Conv(width=8, bias=False)
    assert relu_plan(layers_of(Architecture(family="mlp", depth=4))) == DensePlan(4)
    assert relu_plan(layers_of(Architecture(family="cnn", depth=3))) == ConvPlan([1, 1, 1], [-1, -1], [-1, -1])
    plan = relu_plan(layers_of(Architecture(family="resnet", depth=34)))
    assert plan.biases == [0] * 33
    assert [stage for stage, start in enumerate(plan.before) if start >= 0] == [1, 7, 15, 27]
    assert [stage for stage, start in enumerate(plan.after) if start >= 0] == [
        *range(3, 6, 2),
        *range(9, 14, 2),
        *range(17, 26, 2),
        29,
        31,
    ]
    mixed = [conv, Residual(main=(relu, conv), shortcut=(conv,)), relu, plain, Residual(main=(relu, plain) * 3)]
    assert relu_plan([*mixed, relu, Flatten(), Dense(width=None)]) == ConvPlan(
        [1, 2, 0, 0, 0, 0], [0, -1, -1, -1, -1], [-1, -1, -1, -1, 2]
    )


@pytest.mark.parametrize(
    "body",
    [
        [Activate(function="erf"), Conv(width=8)],
        [Conv(width=8)],
        [Residual(main=(Activate(function="erf"), Conv(width=8)))],
        [Residual(main=())],
        [Residual(main=(Conv(width=8), Activate(function="relu")))],
        [Residual(main=(Activate(function="relu"), Conv(width=8)), shortcut=(Activate(function="relu"),))],
        [Residual(main=(Residual(main=(Activate(function="relu"), Conv(width=8))),))],
    ],
)
def test_other_layers_are_not(body):
    readout = [Activate(function="relu"), Flatten(), Dense(width=None)]
    assert relu_plan([Conv(width=8), *readout]) is not None
    assert relu_plan([Conv(width=8), *body, *readout]) is None
    assert relu_plan([Conv(width=8), *readout[:-1]]) is None


def test_numba_refuses_what_it_does_not_do():
    with pytest.raises(ConfigError, match="neural_tangents"):
        make_engine(Architecture(family="mlp", depth=2, activation="erf"), SHAPE, engine="numba")
    with pytest.raises(ConfigError, match="float64"):
        make_engine(Architecture(family="mlp", depth=2), SHAPE, engine="numba", dtype="float64")


@pytest.mark.skipif(gpu_plugin, reason="a GPU plugin is installed")
@pytest.mark.parametrize("engine", ["auto", "numba", "neural_tangents"])
def test_a_missing_gpu_is_an_error_with_advice(engine):
    with pytest.raises(AdvntkError, match=r"GPU.*jax\[cuda12\]"):
        make_engine(Architecture(family="mlp", depth=2), SHAPE, engine=engine, device="gpu")


@pytest.mark.skipif(gpu_plugin, reason="a GPU plugin is installed: JAX must be asked")
@pytest.mark.parametrize(("family", "depth"), [("mlp", 2), ("cnn", 2), ("resnet", 18)])
def test_numba_loads_neither_jax_nor_torch(family, depth):
    code = f"""
import sys, numpy as np
from advntk.foundation.architecture import Architecture
from advntk.ingredients.kernels.engine import make_engine
images = np.ones((3, 4, 4, 1), np.float32)
bound = make_engine(Architecture(family="{family}", depth={depth}), (4, 4, 1)).bind(images, memory_mb=1)
bound.loss_and_gradient(images, np.zeros(3, int), np.ones((3, 2), np.float32), "margin")
print(sorted({{"jax", "torch", "tensorflow", "neural_tangents"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_wall_keeps_tensorflow_out():
    code = "import sys, advntk.ingredients.kernels.neural_tangents_wall; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_tiling_of_the_neural_tangents_engine(family):
    engine = make_engine(Architecture(family=family, depth=2, activation="erf"), SHAPE, device="cpu")
    train, test = images(23), images(6, seed=1)
    coef, labels = np.random.default_rng(0).normal(size=(23, 3)), np.arange(6) % 3
    whole, tiled = engine.bind(train, memory_mb=100), engine.bind(train, memory_mb=0.006 if family == "cnn" else 0.0005)
    assert tiled._train_tiles(6).shape[0] > 1
    assert relative(tiled.rows(test), whole.rows(test)) < 1e-5
    in_turn = tiled.rows(test)
    engine.ahead = 1  # as on a GPU
    np.testing.assert_array_equal(tiled.rows(test), in_turn)
    arguments = engine.native(test), engine.native(labels), engine.native(coef), "squared_error"
    for got, wanted in zip(tiled.loss_and_gradient(*arguments), whole.loss_and_gradient(*arguments), strict=True):
        assert got.shape == wanted.shape
        assert relative(got, wanted) < 1e-4


def test_smaller_batches_do_not_compile_again():
    from advntk.ingredients.kernels.jax_engine import _loss_and_gradient

    engine = make_engine(Architecture(family="mlp", depth=2, activation="erf"), SHAPE, device="cpu")
    bound = engine.bind(images(5), memory_mb=10)
    test, labels, coef = (
        engine.native(images(4, seed=1)),
        engine.native(np.arange(4) % 2),
        engine.native(np.ones((5, 2))),
    )
    whole = bound.loss_and_gradient(test, labels, coef, "margin")
    compiled = _loss_and_gradient._cache_size()
    part = bound.loss_and_gradient(test[:3], labels[:3], coef, "margin")
    for got, wanted in zip(part, whole, strict=True):
        np.testing.assert_allclose(got, wanted[:3], rtol=1e-5, atol=1e-6)
    assert _loss_and_gradient._cache_size() == compiled


def test_float32_stays_float32_in_x64_mode():
    jax.config.update("jax_enable_x64", True)
    engine = make_engine(Architecture(family="cnn", depth=2, activation="gelu"), SHAPE, device="cpu")
    bound = engine.bind(images(3), memory_mb=10)
    arguments = engine.native(images(2)), engine.native(np.zeros(2, int)), engine.native(np.ones((3, 2)))
    assert {part.dtype.name for part in bound.loss_and_gradient(*arguments, "cross_entropy")} == {"float32"}
    assert bound.rows(images(2)).dtype == np.float32


def empirical(spec, points, seeds):
    """Mean over random networks of the empirical kernel, and their spread."""
    from advntk.ingredients.kernels.neural_tangents_wall import empirical_kernel, finite_network

    init, apply = finite_network(spec, SHAPE, classes=2)
    kernel = empirical_kernel(apply)
    one = jax.jit(lambda key: kernel(init(key), points, points))
    return np.stack([one(key) for key in jax.random.split(jax.random.key(0), seeds)])


def theta(spec, points):
    from advntk.ingredients.kernels.neural_tangents_wall import infinite_kernel

    return infinite_kernel(spec)(points, points)


@pytest.mark.parametrize("family", ["mlp", "cnn"])
@pytest.mark.parametrize("activation", ["relu", "erf", "gelu"])
def test_kernel_is_the_mean_over_random_networks(family, activation):
    spec = Architecture(family=family, depth=2, activation=activation, width=512 if family == "mlp" else 128)
    points = jnp.asarray(images(4))
    samples = empirical(spec, points, seeds=24)
    assert relative(samples.mean(axis=0), theta(spec, points)) < 0.05


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_empirical_kernel_tends_to_the_kernel_with_width(family):
    points = jnp.asarray(images(4))
    errors = []
    for width in (8, 128):
        spec = Architecture(family=family, depth=2, width=width)
        wanted = theta(spec, points)
        errors.append(np.mean([relative(sample, wanted) for sample in empirical(spec, points, seeds=8)]))
    assert errors[1] < errors[0] / 2  # 1/√width would give a quarter


def test_finite_network_sees_centred_images_in_ntk_parameterisation():
    from advntk.ingredients.kernels.neural_tangents_wall import finite_network

    spec = Architecture(family="mlp", depth=2, width=7, sigma_w=1.3, sigma_b=0.4)
    init, apply = finite_network(spec, SHAPE, classes=3)
    parameters = init(jax.random.key(1))
    points = images(5)
    (w1, b1), (w2, b2) = (layer for layer in parameters if len(layer))
    flat = points.reshape(5, -1) - 0.5
    hidden = np.maximum(1.3 / np.sqrt(flat.shape[1]) * flat @ w1 + 0.4 * b1, 0)
    wanted = 1.3 / np.sqrt(7) * hidden @ w2 + 0.4 * b2
    np.testing.assert_allclose(apply(parameters, points), wanted, rtol=1e-4, atol=1e-5)
