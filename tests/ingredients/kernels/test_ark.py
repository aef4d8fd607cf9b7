"""κ by recursion and by increments against closed forms, float64 autodiff, each other, and random finite networks."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_dynamics import InnerFlow, LinearisedNetwork, outputs
from advntk.foundation.at_solutions import closed_form
from advntk.foundation.device import float64_mode
from advntk.foundation.errors import ConfigError, InputError, NumericalError
from advntk.foundation.gaussian_moments import Nonlinearity
from advntk.ingredients.kernels import neural_tangents_wall as wall
from advntk.ingredients.kernels.ark import has_recursion, kappa, kappa_by_recursion
from advntk.ingredients.networks.jacobians import empirical_ark, empirical_gram
from advntk.ingredients.networks.layers import Activate, Conv, Dense, Flatten, Residual, layers_of
from tests.conftest import relu_kernel

SHAPE = (4, 3, 2)


def images(count=2, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).uniform(0, 1, (count, *shape))


def by_autodiff(layers, spec, points):
    """Σ_a ∂_a ∂'_a K at x' = x of the neural-tangents kernel of the layers, in float64."""
    covariance = wall._serial(layers, spec, 1)[2]

    def nngp(a, b):
        return covariance(a[None], b[None], get="nngp")[0, 0]

    def at(point):
        mixed = jax.jacfwd(jax.jacrev(nngp, argnums=0), argnums=1)(point - 0.5, point - 0.5)
        return jnp.trace(mixed.reshape(point.size, point.size))

    with float64_mode(True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`FanIn` layers assume independent inputs")
        one = jax.jit(at)
        return np.array([float(one(jnp.asarray(point))) for point in points])


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(1.76, 0.18), (1.3, 0.0)])
def test_relu_mlps_have_the_analytic_value_whatever_the_image(sigma_w, sigma_b):
    for depth in (1, 2, 3, 6):
        found = kappa(Architecture(family="mlp", depth=depth, sigma_w=sigma_w, sigma_b=sigma_b), images(3))
        np.testing.assert_allclose(found.values, sigma_w**2 * (sigma_w**2 / 2) ** (depth - 1), rtol=1e-12)
        assert found.method == "recursion"
        assert not found.error.any()


def test_relu_cnns_count_how_often_paths_reach_a_pixel():
    """κ = σ_w² (σ_w²/2)^L · mean over pixels of the sum of all products of L taps of 1/9."""
    height, width = SHAPE[:2]
    places = [(row, column) for row in range(height) for column in range(width)]
    taps = np.array([[max(abs(a - c), abs(b - d)) <= 1 for c, d in places] for a, b in places]) / 9
    for depth in (1, 2, 4):
        coverage = np.linalg.matrix_power(taps, depth).sum(axis=1).mean()
        found = kappa(Architecture(family="cnn", depth=depth), images(3))
        np.testing.assert_allclose(found.values, 1.76**2 * (1.76**2 / 2) ** depth * coverage, rtol=1e-12)
    np.testing.assert_allclose(
        kappa(Architecture(family="cnn", depth=2), images(1, shape=(8, 8, 1))).values, 5.5098, rtol=1e-5
    )


@pytest.mark.parametrize("exponent", [0.5, 2.0, 4.0])
def test_attacked_relu_mlps_train_like_clean_ones_on_a_faster_clock(exponent):
    """Infinite width, κ of every training image: f_AT(t) = f_clean(t e^{κηS}) on images that are not trained on."""
    points = images(20, seed=4)
    kernel = relu_kernel(points, depth=3)
    rng = np.random.default_rng(0)
    net = LinearisedNetwork(gram=kernel[:14, :14], targets=rng.normal(size=(14, 3)), initial=rng.normal(size=(14, 3)))
    ark = kappa(Architecture(family="mlp", depth=3), points[:14]).values
    times, start = np.array([0.0, 0.01, 0.1, 1.0]), rng.normal(size=(6, 3))

    def predicted(strength, clock):
        run = closed_form(net, InnerFlow(ark=ark, exposure=strength), clock)
        return outputs(kernel[14:, :14], run.coefficients, start)

    attacked, clean = predicted(exponent / ark[0], times), predicted(0.0, times * np.exp(exponent))
    assert np.abs(attacked - clean).max() < 1e-11
    assert np.abs(attacked - predicted(0.0, times)).max() > 1e-3


SMALL_RESIDUAL = {
    activation: [
        Conv(width=8, bias=False),
        Residual(main=(Activate(function=activation), Conv(width=8)), shortcut=(Conv(width=8, bias=False),)),
        Residual(main=(Activate(function=activation), Conv(width=8))),
        Activate(function=activation),
        Flatten(),
        Dense(width=None),
    ]
    for activation in ("erf", "gelu")
}


@pytest.mark.parametrize("activation", ["erf", "gelu"])
@pytest.mark.parametrize("kind", ["mlp-3", "cnn-2", "residual"])
def test_recursion_is_float64_autodiff(activation, kind):
    spec = Architecture(family="mlp", depth=2)
    if kind == "residual":
        layers = SMALL_RESIDUAL[activation]
    else:
        family, depth = kind.split("-")
        layers = layers_of(Architecture(family=family, depth=int(depth), activation=activation))
    found = kappa_by_recursion(layers, spec, images())
    np.testing.assert_allclose(found.values, by_autodiff(layers, spec, images()), rtol=1e-6)
    assert found.error.max() < 1e-12


@pytest.mark.parametrize(
    "spec",
    [
        Architecture(family="mlp", depth=3),
        Architecture(family="mlp", depth=3, activation="sigmoid_like"),
        Architecture(family="mlp", depth=2, activation="erf"),
        Architecture(family="cnn", depth=2),
        Architecture(family="cnn", depth=2, activation="gelu"),
    ],
    ids=lambda spec: spec.label,
)
def test_increments_are_the_recursion_within_their_own_error(spec):
    exact, found = kappa(spec, images()), kappa(spec, images(), method="increments")
    assert found.method == "increments"
    off = np.abs(found.values / exact.values - 1)
    assert off.max() < 1e-6
    assert (off <= found.error).all()
    assert found.error.max() < 1e-5


def test_increments_serve_pooling():
    spec = Architecture(family="cnn", depth=2, pooling="average", activation="erf")
    assert not has_recursion(layers_of(spec))
    points = images(1, shape=(3, 3, 1))
    found = kappa(spec, points)
    assert found.method == "increments"
    np.testing.assert_allclose(found.values, by_autodiff(layers_of(spec), spec, points), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_resnets_have_a_recursion(activation):
    spec = Architecture(family="resnet", depth=18, activation=activation)
    points = images(shape=(3, 3, 1))
    exact, found = kappa(spec, points), kappa(spec, points, method="increments")
    assert exact.method == "recursion"
    np.testing.assert_allclose(found.values, exact.values, rtol=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        Architecture(family="mlp", depth=3, width=128),
        Architecture(family="mlp", depth=2, width=128, activation="erf"),
        Architecture(family="mlp", depth=3, width=128, activation="gelu"),
        Architecture(family="cnn", depth=2, width=32),
        Architecture(family="cnn", depth=2, width=32, pooling="average"),
        Architecture(family="cnn", depth=2, width=32, padding="circular"),
    ],
    ids=lambda spec: spec.label,
)
def test_empirical_ark_is_kappa_times_the_identity_on_average(spec):
    points, classes, seeds = images(1), 3, 300 if spec.family == "mlp" else 150
    init, apply = wall.finite_network(spec, SHAPE, classes)
    ark = empirical_ark(apply)
    one = jax.jit(lambda keys: jax.lax.map(lambda key: ark(init(key), jnp.asarray(points, jnp.float32)), keys))
    samples = np.asarray(one(jax.random.split(jax.random.key(0), seeds)), np.float64)
    mean, wanted = samples.mean(axis=0), kappa(spec, points).values
    traces = np.einsum("maa->m", mean) / classes
    print(f"{spec.label}: mean empirical ARK over κ {traces / wanted}")
    np.testing.assert_allclose(traces, wanted, rtol=0.05)
    off = mean - wanted[:, None, None] * np.eye(classes)
    assert np.abs(off).max() < 0.15 * wanted.max()


def test_empirical_ark_is_the_product_of_difference_quotients():
    spec = Architecture(family="mlp", depth=2, width=9, activation="erf")
    init, apply = wall.finite_network(spec, SHAPE, 3)
    with float64_mode(True):
        parameters, points = init(jax.random.key(2)), images()
        got = jax.jit(empirical_ark(apply))(parameters, jnp.asarray(points))
        steps = 1e-6 * np.eye(points[0].size).reshape(-1, *SHAPE)
        for point, block in zip(points, np.asarray(got), strict=True):
            slopes = np.asarray(apply(parameters, point + steps) - apply(parameters, point - steps)) / 2e-6
            np.testing.assert_allclose(block, slopes.T @ slopes, rtol=1e-6, atol=1e-9)


def test_empirical_gram_has_the_classes_that_the_empirical_kernel_averages():
    init, apply = wall.finite_network(Architecture(family="cnn", depth=1, width=6), SHAPE, 3)
    parameters, a, b = init(jax.random.key(0)), jnp.float32(images(2)), jnp.float32(images(3, seed=1))
    gram = np.asarray(jax.jit(empirical_gram(apply))(parameters, a, b))
    assert gram.shape == (2, 3, 3, 3)
    mean = np.einsum("mana->mn", gram) / 3
    np.testing.assert_allclose(mean, jax.jit(wall.empirical_kernel(apply))(parameters, a, b), rtol=1e-4)


def test_kappa_depends_on_the_image_where_it_should():
    points = np.concatenate([images(1), 0.5 + 0.2 * (images(1) - 0.5)])
    same, other = (kappa(Architecture(family="mlp", depth=2, activation=name), points) for name in ("relu", "erf"))
    assert same.values[0] == same.values[1]
    assert other.values[1] > 1.2 * other.values[0]  # erf is steepest at 0


def test_an_activation_of_ones_own():
    """tanh in two layers, written out with adaptive quadrature: κ = σ_w² [E φ'² κ₁ + (E φ'²u² − q E φ'²) |g/2q|²]."""
    tanh = Nonlinearity(value=np.tanh, slope=lambda u: 1 - np.tanh(u) ** 2)
    spec, point = Architecture(family="mlp", depth=2), images(1)
    layers = [Flatten(), Dense(width=8), Activate(function="tanh"), Dense(width=None)]
    found = kappa_by_recursion(layers, spec, point, functions={"tanh": tanh})
    x = point.ravel() - 0.5
    q, g = 1.76**2 * (x @ x) / x.size + 0.18**2, 2 * 1.76**2 * x / x.size

    def mean(h):
        return quad(lambda u: h(u) * np.exp(-u * u / (2 * q)) / np.sqrt(2 * np.pi * q), -10, 10, epsabs=1e-13)[0]

    steep, far = mean(lambda u: tanh.slope(u) ** 2), mean(lambda u: (tanh.slope(u) * u) ** 2)
    wanted = 1.76**2 * (steep * 1.76**2 + (far - q * steep) * (g @ g) / (4 * q * q))
    np.testing.assert_allclose(found.values, [wanted], rtol=1e-10)


def test_many_images_are_walked_through_in_parts(monkeypatch):
    spec = Architecture(family="cnn", depth=2, activation="erf")
    whole = kappa(spec, images(5)).values
    monkeypatch.setattr("advntk.ingredients.kernels.ark.MEMORY_MB", 0.03)
    np.testing.assert_array_equal(kappa(spec, images(5)).values, whole)


def test_what_has_no_kappa_is_told():
    pooled = Architecture(family="cnn", depth=1, pooling="average")
    with pytest.raises(ConfigError, match=r"no recursion for κ through the layer AveragePool.*increments"):
        kappa(pooled, images(), method="recursion")
    layers = [Flatten(), Dense(width=8), Activate(function="tanh"), Dense(width=None)]
    with pytest.raises(ConfigError, match="no Gaussian moments of the activation 'tanh'"):
        kappa_by_recursion(layers, pooled, images())
    unknown = Architecture.model_construct(family="mlp", depth=2, activation="swish", pooling="none", width=8)
    for method in ("auto", "recursion", "increments"):
        with pytest.raises(ConfigError, match=r"'swish'.*use one of"):
            kappa(unknown, images(), method=method)
    with pytest.raises(ConfigError, match="no neural-tangents form of the activation 'swish'"):
        wall.infinite_covariance(unknown)
    kinked = Nonlinearity(value=lambda u: np.clip(u, -0.3, 0.3), slope=lambda u: (abs(u) < 0.3).astype(float))
    with pytest.raises(NumericalError, match=r"κ changes by .* from order 64 to 128.*kink"):
        kappa_by_recursion(layers, pooled, images(), functions={"tanh": kinked})


@pytest.mark.parametrize("wrong", [np.zeros((3, 4)), np.zeros((0, 4, 4, 1)), np.full((1, 4, 4, 1), np.nan)])
def test_wrong_images_are_refused(wrong):
    with pytest.raises(InputError, match="give finite images"):
        kappa(Architecture(family="mlp", depth=2), wrong)
