"""What the benches compare with: the exact form, the reference forms, and the counter of compilations."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from numba import njit

from advntk.bench import exact, problem, solver, timing
from advntk.bench.reference import DenseSolver, ReferenceAttack, ReferenceGram
from advntk.foundation.errors import ConfigError
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.gram_operator import GramOperator
from tests.conftest import relu_kernel


def quadrature(lam: float, mu: float) -> float:
    """K(λ, μ) by Gauss-Legendre on many panels."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    edges = np.linspace(0, 1, 401)
    s = (edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1) / 2).ravel()
    weight = (np.diff(edges)[:, None] * weights / 2).ravel()

    def alpha(time, rate):
        return -np.expm1(-time * rate) / rate if rate else time

    return float(weight @ (alpha(1 - s, lam) * alpha(s, mu)))


@pytest.mark.parametrize("lam", [0.0, 1e-6, 0.3, 1.0, 7.0, 600.0])
@pytest.mark.parametrize("mu", [0.0, 1e-3, 0.31, 1.6, 7.0001, 650.0])
def test_crossed_is_the_integral(lam, mu):
    (found,) = exact.crossed(np.array([lam]), np.array([mu])).ravel()
    assert found == pytest.approx(quadrature(lam, mu), rel=1e-13)


def small(n: int = 60, lambda_max: float = 40.0) -> problem.Problem:
    return problem.make_problem(n, lambda_max=lambda_max, seed=3, size=10, depth=3)


def test_exact_form_agrees_with_autodiff_of_the_dense_one_in_float64():
    """Two derivations with nothing in common: eigenvectors and divided differences, expm and inverse with autodiff."""
    given = small()
    dense = DenseSolver(*given.targets.shape, dtype=np.float64)
    arrays = [dense.native(array) for array in (given.diagonal, given.theta, given.targets, given.cotangent)]
    coef, slope = exact.exact(given.theta, given.diagonal, given.targets, given.cotangent)
    found = dense.solve_and_gradient(*arrays)
    assert exact.relative_error(found[0], coef) < 1e-10
    assert exact.relative_error(found[1], slope) < 1e-10
    assert (given.diagonal == 0).sum() == 3


def test_the_gradient_where_the_diagonal_is_zero():
    given = small()
    none = np.zeros(len(given.theta))
    coef, slope = exact.exact(given.theta, none, given.targets, given.cotangent)
    np.testing.assert_allclose(coef, 0)
    np.testing.assert_allclose(slope, (given.targets * given.cotangent).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("lambda_max", [600.0, 6000.0])
def test_ours_is_exact_where_the_float32_form_is_not(lambda_max):
    given = problem.make_problem(300, lambda_max=lambda_max, seed=0)
    truth = exact.exact(given.theta, given.diagonal, given.targets, given.cotangent)
    found = solver.ours(GramOperator(given.theta, device="cpu").product, given)
    dense = DenseSolver(*given.targets.shape)
    arrays = [dense.native(array) for array in (given.diagonal, given.theta, given.targets, given.cotangent)]
    for own, other, wanted in zip(found, dense.solve_and_gradient(*arrays), truth, strict=True):
        assert exact.relative_error(own, wanted) <= 1e-8
        assert 1e-6 < exact.relative_error(other, wanted) < 1e-2


def test_the_problem_is_as_said():
    given = small()
    root = np.sqrt(given.diagonal)
    assert np.linalg.eigvalsh(root[:, None] * given.theta * root)[-1] == pytest.approx(40.0, rel=1e-6)
    images = problem.smooth_images(5, (12, 12, 3), 1)
    assert images.dtype == np.float32
    assert images.min(axis=(1, 2, 3)) == pytest.approx(0)
    assert images.max(axis=(1, 2, 3)) == pytest.approx(1)
    noise = np.abs(np.diff(np.random.default_rng(0).uniform(size=images.shape), axis=1)).mean()
    assert np.abs(np.diff(images, axis=1)).mean() < noise


def test_an_error_that_is_not_finite_is_none():
    assert exact.relative_error(np.array([np.nan]), np.ones(1)) is None
    assert exact.relative_error(np.array([1.5]), np.ones(1)) == pytest.approx(0.5)


@pytest.mark.parametrize(("family", "depth"), [("mlp", 3), ("cnn", 2)])
def test_the_reference_gram_is_the_kernel_in_tiles(family, depth):
    spec, images = problem.architecture(family, depth), problem.smooth_images(40, problem.shape_of(family, 6), 0)
    wide = ReferenceGram(spec, np.float64)
    whole = wide.square(images)
    if family == "mlp":
        np.testing.assert_allclose(whole, relu_kernel(images, depth), rtol=1e-6)
    wide.side = 16
    np.testing.assert_allclose(wide.square(images), whole, rtol=1e-12)
    single = ReferenceGram(spec)
    np.testing.assert_allclose(single.square(images), whole, atol=2e-3 * np.abs(whole).max())
    assert single.square(images).dtype == np.float32


def test_the_reference_attack_stays_in_the_ball_and_raises_the_loss():
    spec, shape = problem.architecture("mlp", 2), problem.shape_of("mlp", 6)
    train, coef = problem.predictor_of(spec, shape, 40, lambda_max=50.0, seed=0)
    attack, threat = ReferenceAttack(spec, train, coef), ThreatModel(eps255=8.0)
    labels, target = problem.labels_of(40, 0), problem.one_hot_targets(problem.labels_of(40, 0))
    step = attack.stepper(threat, 0.2 * threat.radius)
    found = attack.run(train, labels, train, steps=10, step=step)
    assert threat.size255(found, train).max() <= 8.0 + 1e-4
    before, after = (((np.asarray(attack.logits(points)) - target) ** 2).sum() for points in (train, found))
    assert after > before
    unit = np.zeros_like(train)
    unit[:, 2, 3, 0] = 1e-2
    up, down = (0.5 * ((np.asarray(attack.logits(train + sign * unit)) - target) ** 2).sum(axis=1) for sign in (1, -1))
    np.testing.assert_allclose(
        (up - down) / 2e-2, np.asarray(attack.gradient(train, labels))[:, 2, 3, 0], rtol=5e-2, atol=2e-3
    )


def test_compilations_are_counted_and_repeats_are_not():
    doubled, halved = jax.jit(lambda x: 2 * x), njit(lambda x: x / 2)
    with timing.compilations() as first:
        doubled(np.ones(3, np.float32))
        halved(1.0)
    with timing.compilations() as second:
        doubled(np.ones(3, np.float32))
        halved(2.0)
    with timing.compilations() as third:
        doubled(np.ones(4, np.float32))
    assert first.count >= 2
    assert second.count == 0
    assert third.count >= 1


def test_medians_alternate_after_a_warm_up():
    order = []
    times = timing.alternate(
        {name: lambda name=name: order.append(name) for name in "ab"}, repeats=2, what="x", turn_s=0
    )
    assert order == list("ababab")
    assert set(times) == {"a", "b"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: problem.architecture("mpl", 3), "unknown entry 'mpl'"),
        (lambda: problem.architecture("mlp", 0), "architecture.depth"),
        (lambda: problem.make_problem(5, lambda_max=600, seed=0), "--n: 5 images are too few; give at least 20"),
        (lambda: problem.make_problem(50, lambda_max=0, seed=0), "--lambda-max"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
