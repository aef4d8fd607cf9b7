"""Finite networks in adversarial training by gradient flow, and their linearisations, on tiny sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_dynamics import InnerFlow, outputs
from advntk.foundation.at_solutions import closed_form, integrate, spectrum
from advntk.foundation.errors import InputError, NumericalError
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.kernels.neural_tangents_wall import finite_network
from advntk.ingredients.networks.jacobians import input_jacobian
from advntk.theory.gradient_flow import _advance, outputs_along, train
from advntk.theory.inner_attacks import flow_attack, no_attack, pgd_attack
from advntk.theory.linearisations import expanded, freeze, linear_in_both, linear_in_parameters

SHAPE, N, M, C = (3, 2, 1), 5, 3, 2
TIMES = [0.0, 0.05, 0.4]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    return rng.uniform(0.1, 0.9, (N, *SHAPE)), np.eye(C)[rng.integers(0, C, N)], rng.uniform(0, 1, (M, *SHAPE))


def network(width=12, activation="erf", seed=1):
    init, apply = finite_network(Architecture(family="mlp", depth=2, activation=activation, width=width), SHAPE, C)
    return apply, init(jax.random.key(seed))


@pytest.fixture(scope="module")
def small(data):
    apply, parameters = network()
    return apply, parameters, freeze(apply, parameters, *data)


def gap(got, wanted):
    return np.abs(np.asarray(got) - np.asarray(wanted)).max() / np.abs(np.asarray(wanted)).max()


def test_frozen_jacobians_are_the_closed_form(small, data):
    """Training by steps, with an attack by steps, is P(t) of the empirical Θ and ARK, on training and test images."""
    apply, parameters, frozen = small
    images, targets, test = data
    strength = np.linspace(0.05, 0.25, N)
    flow = InnerFlow(ark=frozen.ark, exposure=strength)
    step = 0.2 / spectrum(frozen.net, flow, 1.0)[-1]
    attack, linear = flow_attack(jnp.asarray(strength), steps=20), linear_in_both(apply)
    trained = train(linear, expanded(parameters, images), images, targets, times=TIMES, step=step, attack=attack)
    run = closed_form(frozen.net, flow, TIMES)
    on_train = outputs(frozen.net.gram, run.coefficients, frozen.net.initial)
    on_test = outputs(frozen.rows, run.coefficients, frozen.initial)
    assert gap(outputs_along(linear, trained, images), on_train) < 1e-6
    assert gap(outputs_along(linear_in_parameters(apply), trained, test), on_test) < 1e-6
    assert np.abs(on_test[-1] - on_test[0]).max() > 0.1
    clean = closed_form(frozen.net, InnerFlow(ark=frozen.ark, exposure=0.0), TIMES)
    assert gap(outputs(frozen.rows, clean.coefficients, frozen.initial), on_test) > 1e-2
    for start, end in zip(*(jax.tree_util.tree_leaves(state.centre) for state in trained.parameters[::2]), strict=True):
        np.testing.assert_array_equal(start, end)


def test_frozen_jacobians_follow_a_strength_that_changes_along_training(small, data):
    apply, parameters, frozen = small
    images, targets, _ = data
    attack, linear = flow_attack(lambda t: 0.1 * (1 + jnp.sin(9 * t + jnp.arange(N))), steps=20), linear_in_both(apply)
    trained = train(linear, expanded(parameters, images), images, targets, times=TIMES, step=2e-3, attack=attack)
    flow = InnerFlow(ark=frozen.ark, exposure=lambda t: 0.1 * (1 + np.sin(9 * t + np.arange(N))))
    wanted = outputs(frozen.net.gram, integrate(frozen.net, flow, TIMES).coefficients, frozen.net.initial)
    assert gap(outputs_along(linear, trained, images), wanted) < 1e-6


def test_the_inner_flow_moves_outputs_by_the_exponential_of_ark(small, data):
    apply, parameters, frozen = small
    images, targets = (jnp.asarray(array) for array in data[:2])
    linear, start = linear_in_both(apply), expanded(parameters, data[0])
    attack = flow_attack(0.3, steps=40)
    moved = attack(linear, start, images, targets, 0.0)
    wanted = InnerFlow(ark=frozen.ark, exposure=0.3).attacked(frozen.net.initial, data[1])
    assert gap(linear(start, moved), wanted) < 1e-7
    real = attack(apply, parameters, images, targets, 0.0)
    before, after = (np.asarray(apply(parameters, x)) - data[1] for x in (images, real))
    assert (np.linalg.norm(after, axis=1) > np.linalg.norm(before, axis=1)).all()
    assert np.abs(np.asarray(real) - np.asarray(moved)).max() > 1e-3  # the network is not linear in x


def test_linear_in_parameters_has_the_networks_value_and_slope(small, data):
    apply, parameters, _ = small
    images, linear, start = jnp.asarray(data[0]), linear_in_parameters(apply), expanded(parameters)
    np.testing.assert_allclose(linear(start, images), apply(parameters, images), rtol=1e-12)
    wanted = jax.grad(lambda leaves: (apply(leaves, images) ** 2).sum())(parameters)
    got = jax.grad(lambda leaves: (linear(leaves, images) ** 2).sum())(start)
    for mine, other in zip(*map(jax.tree_util.tree_leaves, (got.state, wanted)), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree_util.tree_leaves(got.centre))


def test_one_linearisation_moves_its_input_jacobian_and_the_other_does_not(small, data):
    apply, parameters, _ = small
    images = jnp.asarray(data[0])
    shift = jax.tree_util.tree_map(lambda leaf: 0.3 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), parameters)

    def moved(steps):
        state = jax.tree_util.tree_map(lambda a, b: a + steps * b, parameters, shift)
        return expanded(parameters, images)._replace(state=state)

    one, two = moved(1.0), moved(2.0)
    linear, both, start = linear_in_parameters(apply), linear_in_both(apply), expanded(parameters, images)
    step = linear(one, images) - linear(start, images)
    np.testing.assert_allclose(linear(two, images) - linear(start, images), 2 * step, rtol=1e-9, atol=1e-12)
    jacobian = jax.jit(input_jacobian(linear))
    assert gap(jacobian(one, images), jacobian(start, images)) > 1e-2
    pulls = [jax.vjp(lambda x, state=state: both(state, x), images)[1](jnp.ones((N, C)))[0] for state in (one, start)]
    np.testing.assert_allclose(*pulls, rtol=1e-12)
    with pytest.raises(InputError, match="same order"):
        both(start, images[1:])
    with pytest.raises(InputError, match="clean images to expanded"):
        both(expanded(parameters), images)


def test_both_linearisations_are_one_without_an_attack(small, data):
    apply, parameters, frozen = small
    images, targets, _ = data
    runs = []
    for linear in (linear_in_parameters(apply), linear_in_both(apply)):
        trained = train(linear, expanded(parameters, images), images, targets, times=TIMES, step=5e-3)
        runs.append(outputs_along(linear, trained, images))
    assert gap(runs[0], runs[1]) < 1e-12
    clean = closed_form(frozen.net, InnerFlow(ark=np.zeros(N), exposure=0.0), TIMES)
    assert gap(runs[0], outputs(frozen.net.gram, clean.coefficients, frozen.net.initial)) < 1e-6


def test_networks_of_one_architecture_share_a_compiled_program(small, data):
    apply, parameters, _ = small
    images, targets, _ = data
    linear = linear_in_parameters(apply)
    train(linear, expanded(parameters), images, targets, times=[0.01], step=0.01)
    compiled = _advance._cache_size()
    other = jax.tree_util.tree_map(lambda leaf: -leaf, parameters)
    train(linear, expanded(other), images, targets, times=[0.02, 0.05], step=0.01)
    assert _advance._cache_size() == compiled


def test_wide_networks_train_like_their_linearisation(data):
    images, targets, test = data
    gaps, attack = [], flow_attack(0.02)
    for width in (8, 256):
        apply, parameters = network(width, "gelu")
        runs = []
        for net, start in ((apply, parameters), (linear_in_parameters(apply), expanded(parameters))):
            trained = train(net, start, images, targets, times=[2.0], step=0.05, attack=attack)
            runs.append(outputs_along(net, trained, test))
        gaps.append(gap(*runs))
    print(f"gap of network and linearisation in θ: {gaps[0]:.3f} at width 8, {gaps[1]:.4f} at 256")
    assert gaps[1] < gaps[0] / 3


def test_a_steps_error_falls_by_sixteen(small, data):
    apply, parameters, _ = small
    images, targets, test = data
    attack = flow_attack(0.1)
    finest, *coarse = (
        outputs_along(apply, train(apply, parameters, images, targets, times=[0.4], step=step, attack=attack), test)
        for step in (0.0025, 0.02, 0.04)
    )
    ratio = np.abs(coarse[1] - finest).max() / np.abs(coarse[0] - finest).max()
    assert 10 < ratio < 30


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_inside_training_stays_in_ball_and_box_and_harms(small, data, norm):
    apply, parameters, _ = small
    images, targets, _ = data
    threat = ThreatModel(norm=norm, eps255=40)
    attack = pgd_attack(threat)
    seen = np.asarray(attack(apply, parameters, jnp.asarray(images), jnp.asarray(targets), 0.0))
    assert (threat.size255(seen, images) <= 40 * (1 + 1e-9)).all()
    assert seen.min() >= 0
    assert seen.max() <= 1
    loss = [((np.asarray(apply(parameters, x)) - targets) ** 2).sum(axis=1) for x in (images, seen)]
    assert (loss[1] > loss[0]).all()
    trained = train(apply, parameters, images, targets, times=[0.0, 2.0], step=0.01, attack=attack)
    hurt = []
    for state in trained.parameters:
        points = attack(apply, state, jnp.asarray(images), jnp.asarray(targets), 0.0)
        hurt.append(float(((apply(state, points) - targets) ** 2).sum()))
    assert hurt[1] < 0.8 * hurt[0]


def test_clean_training_descends_to_its_loss_of_zero(small, data):
    apply, parameters, _ = small
    images, targets, _ = data
    trained = train(apply, parameters, images, targets, times=[0, 1, 10, 400], step=0.02, attack=no_attack)
    losses = ((outputs_along(apply, trained, images) - targets) ** 2).sum(axis=(1, 2))
    assert (np.diff(losses) < 0).all()
    assert losses[-1] < 1e-2 * losses[0]


def test_wrong_input_and_divergence_are_told(small, data):
    apply, parameters, _ = small
    images, targets, _ = data
    for wrong in ({"times": [0.2, 0.1]}, {"times": []}, {"times": [-1.0]}, {"times": [np.inf]}, {"step": 0.0}):
        with pytest.raises(InputError, match="times >= 0 that ascend"):
            train(apply, parameters, images, targets, **{"times": [1.0], "step": 0.1, **wrong})
    single = jax.tree_util.tree_map(lambda leaf: leaf.astype(jnp.float32), parameters)
    with pytest.raises(InputError, match=r"not float64.*enable_float64"):
        train(apply, single, images, targets, times=[1.0], step=0.1)
    with pytest.raises(InputError, match=r"targets .* for outputs"):
        train(apply, parameters, images, targets[:, :1], times=[1.0], step=0.1)
    with pytest.raises(InputError, match="at least one"):
        flow_attack(0.1, steps=0)
    linear = linear_in_parameters(apply)
    with pytest.raises(NumericalError, match=r"infinite between t = 0 and 2000.*smaller steps"):
        train(linear, expanded(parameters), images, targets, times=[2000.0], step=2.0)
