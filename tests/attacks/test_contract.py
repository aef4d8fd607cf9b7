"""One contract for every attack of the registry, on every kind of predictor."""

from __future__ import annotations

import numpy as np
import pytest

from advntk.attacks.attack import Attack, to_numpy
from advntk.attacks.entries import pgd
from advntk.attacks.gradient import ascend, ascend_keeping_best
from advntk.foundation import registry
from advntk.foundation.threat import ThreatModel
from advntk.suite import ATTACKS
from tests.attacks.conftest import Counting

NAMES = registry.names(ATTACKS)
INSIDE = [name for name in NAMES if registry.get(ATTACKS, name).inside_threat_model]
LINF = ThreatModel(norm="linf", eps255=16)


def attack(name, predictor, part, threat, seed=0, **options):
    entry: Attack = registry.get(ATTACKS, name)
    chosen = entry.options(**options)
    return entry.run(predictor, part.images, part.labels, options=chosen, threat=threat, seed=seed).images


def accuracy(predictor, images, labels):
    return (predictor.logits(images).argmax(axis=1) == labels).mean()


@pytest.mark.parametrize("threat", [LINF, ThreatModel(norm="l2", eps255=128)], ids=["linf", "l2"])
@pytest.mark.parametrize("name", INSIDE)
def test_stays_in_ball_and_box(name, threat, predictor, digits_split):
    found = attack(name, predictor, digits_split.test, threat)
    assert found.dtype == np.float32
    assert threat.size255(found, digits_split.test.images).max() <= threat.eps255 + 255e-6
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_is_deterministic_and_leaves_its_inputs(name, predictor, digits_split):
    part = digits_split.test.first(20)
    images, labels = part.images.copy(), part.labels.copy()
    one, two = (attack(name, predictor, part, LINF, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(part.images, images)
    np.testing.assert_array_equal(part.labels, labels)
    assert np.abs(attack(name, predictor, part, LINF, seed=4) - one).max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_radius_zero_changes_nothing(name, predictor, digits_split):
    part = digits_split.test.first(20)
    found = attack(name, predictor, part, ThreatModel(norm="linf", eps255=0))
    np.testing.assert_allclose(found, part.images, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_harms_more_than_noise_of_the_same_size(name, predictor, digits_split):
    part = digits_split.test
    noise = part.images + LINF.random_offsets(part.images.shape, np.random.default_rng(0))
    found = attack(name, predictor, part, LINF)
    clean = accuracy(predictor, part.images, part.labels)
    assert clean >= 0.7
    assert accuracy(predictor, found, part.labels) < accuracy(predictor, noise, part.labels)


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy", "margin"])
def test_pgd_takes_a_fresh_gradient_at_each_step(loss, predictor, digits_split):
    part = digits_split.test.first(10)
    attack("pgd", predictor, part, LINF, loss=loss, steps=7)
    assert len(predictor.points) == 7
    for before, after in zip(predictor.points, predictor.points[1:], strict=False):
        assert np.abs(after - before).max() > 1e-4


def test_pgd_raises_its_loss(predictor, digits_split):
    part = digits_split.test.first(40)

    def mean_loss(images):
        args = (predictor.native(images), predictor.native(part.labels), "squared_error")
        return float(to_numpy(predictor.loss_and_gradient(*args)[1]).mean())

    steps = [mean_loss(attack("pgd", predictor, part, LINF, steps=k, random_start=False)) for k in (0, 2, 5, 10)]
    assert steps[0] < steps[1] < steps[2]
    assert steps[3] >= 0.99 * steps[2]


def test_more_restarts_are_never_weaker(predictor, digits_split):
    part = digits_split.test.first(60)
    robust = [
        accuracy(predictor, attack("pgd", predictor, part, LINF, restarts=k, steps=4), part.labels) for k in (2, 4)
    ]
    assert robust[1] <= robust[0]


def test_keeping_the_best_is_never_weaker_than_the_start_or_the_end(predictor, digits_split):
    part = digits_split.test.first(30)
    clean, labels = predictor.native(part.images), predictor.native(part.labels)

    def oracle(images):
        return predictor.loss_and_gradient(images, labels, "margin")

    settings = {"threat": LINF, "steps": 5, "step_size": LINF.radius}
    best, value = ascend_keeping_best(oracle, clean, clean, **settings)
    end = ascend(oracle, clean, clean, **settings)
    value = to_numpy(value)
    assert (value >= to_numpy(oracle(clean)[1]) - 1e-6).all()
    assert (value >= to_numpy(oracle(end)[1]) - 1e-5).all()
    np.testing.assert_allclose(to_numpy(oracle(best)[1]), value, atol=1e-5)


def test_the_reference_attack_leaves_the_ball_by_what_was_measured(predictor, digits_split):
    """It is kept to reproduce the reference code, and must do exactly what that does: one gradient, up to 2ε."""
    found = attack("reference_fixed_gradient", predictor, digits_split.test, LINF)
    size = LINF.size255(found, digits_split.test.images)
    assert 31.9 < size.max() <= 32.001
    assert len(predictor.points) == 1
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("fault", ["gradient at the start", "projection around the start", "sign flipped"])
def test_the_contract_catches_broken_attacks(fault, predictors, digits_split):
    predictor, part = Counting(predictors["kernel-numba"]), digits_split.test
    labels = part.labels
    start = LINF.project(part.images + LINF.random_offsets(part.images.shape, np.random.default_rng(0)), part.images)
    images = start
    for _ in range(10):
        at = start if fault == "gradient at the start" else images
        gradient = predictor.loss_and_gradient(at, labels, "squared_error")[2]
        step = 0.2 * LINF.radius * np.sign(gradient) * (-1 if fault == "sign flipped" else 1)
        images = LINF.project(images + step, start if fault == "projection around the start" else part.images)
    fresh = all(np.abs(b - a).max() > 1e-4 for a, b in zip(predictor.points, predictor.points[1:], strict=False))
    inside = LINF.size255(images, part.images).max() <= 16 + 255e-6
    harmful = accuracy(predictor, images, labels) < accuracy(predictor, start, labels)
    assert not (fresh and inside and harmful)


def test_torch_and_jax_pgd_agree_point_by_point(digits_split):
    """The same finite network with the same weights, once in torch, once in JAX."""
    import jax
    import jax.numpy as jnp

    from advntk.foundation.architecture import Architecture
    from advntk.foundation.losses import one_hot, value_and_logit_gradient
    from advntk.ingredients.kernels.neural_tangents_wall import finite_network
    from advntk.ingredients.networks.finite_torch import build, load_jax_parameters
    from advntk.learning.network_predictor import NetworkPredictor

    spec = Architecture(family="cnn", depth=2, width=16)
    init, apply = finite_network(spec, digits_split.input_shape, 10)
    params = init(jax.random.PRNGKey(0))
    net = build(spec, digits_split.input_shape, 10, seed=1)
    load_jax_parameters(net, params)
    torch_side = NetworkPredictor(net, input_shape=digits_split.input_shape, classes=10, device="cpu")

    class JaxSide:
        classes, input_shape = 10, digits_split.input_shape

        def native(self, array):
            return jnp.asarray(array)

        def logits(self, images):
            return np.asarray(apply(params, jnp.asarray(images)))

        def loss_and_gradient(self, images, labels, loss):
            logits, pullback = jax.vjp(lambda x: apply(params, x), images)
            value, slope = value_and_logit_gradient(loss, logits, one_hot(labels, 10, logits.dtype))
            return logits, value, pullback(slope)[0]

    part = digits_split.test.first(20)
    np.testing.assert_allclose(torch_side.logits(part.images), JaxSide().logits(part.images), rtol=1e-4, atol=1e-4)
    settings = {"threat": ThreatModel(norm="l2", eps255=128), "options": pgd.Options(loss="cross_entropy"), "seed": 5}
    one, two = (pgd.run(side, part.images, part.labels, **settings).images for side in (torch_side, JaxSide()))
    np.testing.assert_allclose(one, two, atol=2e-5)
