"""Ξ of any freedom against dense matrix exponentials, its gradient against differences, and the story's verdicts."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from advntk.foundation.at_dynamics import InnerFlow, LinearisedNetwork
from advntk.foundation.at_solutions import closed_form
from advntk.telling.stories.xi_freedom import ENTRY as STORY
from advntk.telling.stories.xi_freedom import FREEDOMS as TOLD_FREEDOMS
from advntk.telling.stories.xi_freedom import NAMES
from advntk.telling.story import Told
from advntk.theory.free_xi import (
    FREEDOMS,
    Problem,
    as_blocks,
    coefficients,
    count,
    factor_of,
    fit,
    phi_action,
    phi_slope,
    start,
)

N, C = 6, 3


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def gram(rng):
    root = rng.standard_normal((N, N + 2))
    return root @ root.T


@pytest.fixture
def targets(rng):
    return np.eye(C)[rng.permutation(N) % C]


def parameters(freedom, rng, size=0.4):
    return jnp.asarray(size * rng.standard_normal(start(freedom, N, C).shape))


def dense_xi(factor):
    """Ξ as a matrix over (image, class), written apart from the module."""
    factor = np.asarray(factor)
    if factor.ndim == 3:
        return scipy.linalg.block_diag(*(block @ block.T for block in factor))
    if factor.shape == (N, N):
        return np.kron(factor @ factor.T, np.eye(C))
    wide = factor[:, None] * np.ones((1, C)) if factor.ndim == 1 else factor
    return np.diag(wide.ravel() ** 2)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_every_freedom_is_the_definition(freedom, rng, gram, targets):
    factor = factor_of(freedom, parameters(freedom, rng), 0.3, N)
    theta, xi = np.kron(gram, np.eye(C)), dense_xi(factor)
    wanted = np.linalg.solve(theta, (np.eye(N * C) - scipy.linalg.expm(-theta @ xi)) @ targets.ravel())
    found = coefficients(factor, jnp.asarray(gram), jnp.asarray(targets))
    np.testing.assert_allclose(np.asarray(found).ravel(), wanted, rtol=1e-9, atol=1e-11)
    assert np.linalg.eigvalsh(xi)[0] > 0


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_training_starts_at_a_number(freedom, gram, targets):
    net = LinearisedNetwork(gram=gram, targets=targets)
    wanted = -closed_form(net, InnerFlow(ark=np.ones(N), exposure=0.0), [0.7]).coefficients[0]
    factor = factor_of(freedom, jnp.asarray(start(freedom, N, C)), 0.7, N)
    np.testing.assert_allclose(
        coefficients(factor, jnp.asarray(gram), jnp.asarray(targets)), wanted, rtol=1e-10, atol=1e-13
    )


@pytest.mark.parametrize("freedom", ["scalar", "diagonal", "per_class", "blocks"])
def test_a_kernel_of_a_finite_network_with_equal_classes_is_the_shared_one(freedom, rng, gram, targets):
    factor, goals = factor_of(freedom, parameters(freedom, rng), 0.3, N), jnp.asarray(targets)
    whole = np.kron(gram, np.eye(C)).reshape(N, C, N, C)
    found = coefficients(as_blocks(factor, C), jnp.asarray(whole), goals)
    np.testing.assert_allclose(found, coefficients(factor, jnp.asarray(gram), goals), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_gradient_is_that_of_differences(freedom, rng, gram, targets):
    weights = rng.standard_normal((N, C))
    at, along = parameters(freedom, rng), parameters(freedom, rng, 1.0)

    def value(point):
        factor = factor_of(freedom, point, 0.3, N)
        return (coefficients(factor, jnp.asarray(gram), jnp.asarray(targets)) * weights).sum()

    step = 1e-4
    wanted = (value(at + step * along) - value(at - step * along)) / (2 * step)
    assert float((jax.grad(value)(at) * along).sum()) == pytest.approx(float(wanted), rel=1e-6)


def test_gradient_where_eigenvalues_are_equal(rng):
    """That of the eigenvectors alone would be NaN."""
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    matrix = turn @ np.diag([0.0, 2.0, 2.0, 2.0 + 1e-7]) @ turn.T
    columns, along = rng.standard_normal((4, 2)), rng.standard_normal((4, 4))
    along = along @ along.T
    slope = jax.grad(lambda a: phi_action(a, jnp.asarray(columns)).sum())(jnp.asarray(matrix))

    def value(a):  # φ(A) = ∫₀¹ e^{−sA} ds
        return scipy.integrate.quad_vec(lambda s: scipy.linalg.expm(-s * a), 0, 1, epsrel=1e-12)[0] @ columns

    step = 1e-4
    wanted = (value(matrix + step * along) - value(matrix - step * along)).sum() / (2 * step)
    assert float((slope * along).sum()) == pytest.approx(wanted, rel=1e-6)


def test_slope_of_phi_on_both_sides_of_the_series():
    points = np.array([0.0, 1e-8, 0.01, 0.0499, 0.0501, 1.0, 30.0, 1e4])
    tight = {"epsabs": 0.0, "epsrel": 1e-13}
    ends = np.minimum(1, 40 / (points + 1e-9))
    wanted = [
        -scipy.integrate.quad(lambda s, z=z: s * np.exp(-s * z), 0, e, **tight)[0]
        for z, e in zip(points, ends, strict=True)
    ]
    np.testing.assert_allclose(phi_slope(jnp.asarray(points)), wanted, rtol=1e-11)


def test_numbers_that_are_free():
    assert set(TOLD_FREEDOMS) == set(FREEDOMS)
    assert [count(freedom, 5, 3) for freedom in FREEDOMS] == [1, 5, 15, 30, 15]


def test_more_freedom_fits_val_better(rng, gram, targets):
    """Without attack and with convex steps in reach, a freedom that contains another ends below it."""
    rows, goals = rng.standard_normal((8, N)), np.eye(C)[rng.integers(0, C, 8)]
    problem = Problem(
        gram=gram, targets=targets, goals=goals, attacked=lambda coef, step: rows, read=lambda coef, seen: seen @ coef
    )
    found = {freedom: fit(problem, freedom, time=0.1, steps=60, rate=0.05) for freedom in FREEDOMS}
    last = {freedom: one.losses[-1] for freedom, one in found.items()}
    assert all(one.losses[0] == pytest.approx(found["scalar"].losses[0]) for one in found.values())
    assert last["scalar"] > last["diagonal"] > last["per_class"] > last["blocks"]
    assert last["diagonal"] > last["full"]
    assert all(one.coefs.shape == (61, N, C) for one in found.values())


def finding(noise, seed, rates, val=0.9):
    """Outcomes of 100 test images with given robust accuracies; the better ones contain the worse ones."""
    outcomes = {
        name: {"val": val, "clean": [1] * 100, "robust": [int(i < 100 * rate) for i in range(100)]}
        for name, rate in rates.items()
    }
    options = {"dataset": "digits", "depth": 3, "train": 6, "val": 600, "test": 100, "eps255": 32.0, "seeds": 3}
    curve = {"rate": 1.0, "best": 10, "steps": [0, 10, 20], "val": [0.1, 0.5, 0.5], "test": [0.1, 0.4, 0.4]}
    return SimpleNamespace(
        options={**options, "advntk_steps": 10},
        settings={"noise": noise},
        seed=seed,
        found={"test_images": list(range(100 * seed, 100 * seed + 100)), "predictors": outcomes, "advntk": curve},
    )


def told_with(**changes):
    plain = dict.fromkeys([*NAMES, "adv_ntk_long", "adv_ntk_best"], 0.5)
    rates = {**plain, **changes}
    return Told(findings=[finding(0.3, seed, rates) for seed in range(3)], suite=SimpleNamespace())


def verdict(told, words):
    return next(claim for claim in STORY.claims(told) if words in claim.claim).verdict


def test_verdicts_follow_the_intervals():
    better, worse, same = told_with(diagonal=0.8), told_with(diagonal=0.2), told_with()
    words = "learned number"
    assert [verdict(told, words) for told in (better, worse, same)] == ["holds", "does not hold", "open"]
    assert verdict(better, "a diagonal learned on val makes more") == "holds"
    assert verdict(told_with(joint_stopped=0.9), "a full Ξ learned on val makes more") == "does not hold"
    assert verdict(same, "steps of Adv-NTK are enough") == "holds"
    assert verdict(told_with(adv_ntk_long=0.8), "steps of Adv-NTK are enough") == "does not hold"
    assert verdict(told_with(adv_ntk_best=0.8), "as good as the best on val") == "does not hold"
    assert verdict(told_with(full=0.1, scalar=0.5), "overfits val") == "holds"
    assert verdict(told_with(full=0.7, scalar=0.5), "overfits val") == "does not hold"
    noisy = told_with(diagonal_noisy_val=0.7, joint_stopped_noisy_val=0.9)
    assert verdict(noisy, "beats one stopping time where") == "holds"
    assert verdict(noisy, "than training on it") == "open"
    assert verdict(noisy, "as wrong as training's") == "does not hold"


def test_a_claim_may_hold_for_some_labels():
    plain = dict.fromkeys([*NAMES, "adv_ntk_long", "adv_ntk_best"], 0.5)
    findings = [
        finding(noise, seed, {**plain, "adv_ntk": rate})
        for noise, rate in ((0.0, 0.5), (0.3, 0.8))
        for seed in range(3)
    ]
    told = Told(findings=findings, suite=SimpleNamespace())
    found = next(claim for claim in STORY.claims(told) if "one stopping time chosen" in claim.claim)
    assert (found.verdict, found.condition) == ("holds if", "30% wrong labels")
    assert found.interval[1] < found.interval[0] == 0 < found.interval[2]
