"""What the benchmarks compare with: the exact form, the reference forms, and the counter of compilations."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from numba import njit

from advntk.attacks.entries import pgd
from advntk.foundation.architecture import Architecture
from advntk.foundation.device import float64_mode
from advntk.ingredients.gram_operator import GramOperator
from benchmarks import exact, problem, reference, scaling, solver, timing
from tests.conftest import relu_kernel


def small(n: int = 60, lambda_max: float = 40.0) -> problem.Problem:
    return problem.make_problem(n, lambda_max=lambda_max, seed=3, size=10, depth=3)


@pytest.mark.parametrize("lambda_max", [0.01, 40.0, 600.0])
def test_exact_form_agrees_with_autodiff_of_the_dense_one_in_float64(lambda_max):
    """Two derivations with nothing in common: eigenvectors and quadrature, expm and inverse with autodiff."""
    given = small(lambda_max=lambda_max)
    with float64_mode(True):
        dense = jax.value_and_grad(reference.objective, has_aux=True)
        (_, wanted), slope = dense(*(jax.numpy.asarray(array, np.float64) for array in given))
    found = exact.exact(*given)
    assert exact.relative_error(found[0], np.asarray(wanted)) < 1e-10
    assert exact.relative_error(found[1], np.asarray(slope)) < 1e-10
    assert (given.diagonal == 0).sum() == 3


@pytest.mark.parametrize("lambda_max", [600.0, 6000.0])
def test_ours_is_exact_where_the_float32_form_is_not(lambda_max):
    given = problem.make_problem(300, lambda_max=lambda_max, seed=0)
    found = solver.ours(GramOperator(given.theta, device="cpu").product, given)
    dense = solver.reference(reference.dense_solver(300, problem.CLASSES)[1], given)()
    for own, other, wanted in zip(found, dense, exact.exact(*given), strict=True):
        assert exact.relative_error(own, wanted) <= 1e-8
        assert 1e-6 < exact.relative_error(other, wanted) < 1e-2


def test_an_error_that_is_not_finite_is_none():
    assert exact.relative_error(np.array([np.nan]), np.ones(1)) is None
    assert exact.relative_error(np.array([1.5]), np.ones(1)) == pytest.approx(0.5)


def test_the_problem_is_as_said():
    given = small()
    root = np.sqrt(given.diagonal)
    assert np.linalg.eigvalsh(root[:, None] * given.theta * root)[-1] == pytest.approx(40.0, rel=1e-6)
    images = problem.smooth_images(5, (12, 12, 3), 1)
    assert images.min(axis=(1, 2, 3)) == pytest.approx(0)
    assert images.max(axis=(1, 2, 3)) == pytest.approx(1)


@pytest.mark.parametrize(("family", "depth"), [("mlp", 3), ("cnn", 2)])
def test_the_reference_gram_is_the_kernel_in_tiles(family, depth):
    spec = Architecture(family=family, depth=depth)
    images = problem.smooth_images(40, problem.shape_of(family, 6), 0)
    whole = reference.reference_gram(spec, images, device="cpu", dtype=np.float64)
    if family == "mlp":
        np.testing.assert_allclose(whole, relu_kernel(images, depth), rtol=1e-6)
    tiles = reference.reference_gram(spec, images, device="cpu", dtype=np.float64, side=16)
    np.testing.assert_allclose(tiles, whole, rtol=1e-12)
    single = reference.reference_gram(spec, images, device="cpu")
    np.testing.assert_allclose(single, whole, atol=2e-3 * np.abs(whole).max())
    assert single.dtype == np.float32


def test_the_reference_attack_stays_in_the_ball_and_raises_the_loss():
    train = problem.smooth_images(40, problem.shape_of("mlp", 6), 0)
    labels, coef = problem.labels_of(40, 0), np.random.default_rng(0).standard_normal((40, problem.CLASSES)) / 40
    attack, target = (
        reference.ReferenceAttack(Architecture(family="mlp", depth=2), train, coef),
        problem.targets_of(labels),
    )
    found = attack.run(train, labels, pgd.random_starts(train, reference.THREAT, 0))
    assert reference.THREAT.size255(found, train).max() <= 8.0 + 1e-4
    before, after = (((np.asarray(attack.logits(points)) - target) ** 2).sum() for points in (train, found))
    assert after > before
    unit = np.zeros_like(train)
    unit[:, 2, 3, 0] = 1e-2
    up, down = (0.5 * ((np.asarray(attack.logits(train + sign * unit)) - target) ** 2).sum(axis=1) for sign in (1, -1))
    slope = np.asarray(attack.gradient(train, labels))[:, 2, 3, 0]
    np.testing.assert_allclose((up - down) / 2e-2, slope, rtol=5e-2, atol=2e-3)


def test_both_forms_of_a_step_give_the_same_gradient():
    spec, shape = Architecture(family="mlp", depth=2), (8, 8, 1)
    train = problem.smooth_images(60, shape, 0)
    theta = problem.gram(spec, train)
    own, other = (form(spec, shape, 60, 0) for form in (scaling.OurStep, scaling.ReferenceStep))
    for step in (own, other):
        step.load(train, theta, problem.diagonal_of(theta, 30.0, 0))
        assert set(step.run()) == {"solve_s", "attack_s", "gradient_s"}
    assert np.linalg.norm(own.slope - other.slope) < 2e-3 * np.linalg.norm(own.slope)


def test_compilations_are_counted_and_repeats_are_not():
    doubled, halved = jax.jit(lambda x: 2 * x), njit(lambda x: x / 2)
    assert timing.compilations(lambda: (doubled(np.ones(3, np.float32)), halved(1.0)))[1] >= 2
    assert timing.compilations(lambda: (doubled(np.ones(3, np.float32)), halved(2.0)))[1] == 0
    assert timing.compilations(lambda: doubled(np.ones(4, np.float32)))[1] >= 1


def test_medians_alternate_after_a_warm_up():
    order = []
    forms = {name: lambda name=name: order.append(name) for name in "ab"}
    assert set(timing.medians(forms, repeats=2, what="x", turn_s=0)) == {"a", "b"}
    assert order == list("ababab")
