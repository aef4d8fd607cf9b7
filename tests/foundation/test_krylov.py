"""P(D) and its gradient against dense float64 oracles: eigendecomposition, expm, autodiff, differences."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from advntk.foundation.errors import NotPositiveDefinite, NumericalError
from advntk.foundation.krylov import gradient, grow, solve
from advntk.foundation.krylov_basis import Basis
from advntk.foundation.phi_functions import alpha, graded_rule, phi
from advntk.foundation.semidefinite import SLACK
from advntk.ingredients.gram_spectrum import spectrum
from tests.conftest import relu_kernel


def problem(n: int, lambda_max: float, *, classes: int = 10, zeros: float = 0.05, seed: int = 0):
    """Θ of an MLP-5, D = |N(0, 1)| with zeros scaled to λmax(A), one-hot Y, normal G."""
    rng = np.random.default_rng(seed)
    images = 0.5 + rng.uniform(-0.5, 0.5, (n, 784)) * np.linspace(2, 0.05, 784)
    theta = relu_kernel(images, 5)
    d = np.abs(rng.normal(size=n)) * (rng.random(n) > zeros)
    root = np.sqrt(d)
    d *= lambda_max / np.linalg.eigvalsh(root[:, None] * theta * root)[-1]
    return theta, d, np.eye(classes)[rng.integers(0, classes, n)], rng.normal(size=(n, classes))


def dense(theta, d, y, g):
    """P and ∂L/∂D through the eigendecomposition of A, with the Daleckii-Krein divided differences of the exponential.

    dL/dD_i = Σ over the Fréchet derivative of e^{−ΘD}; written without quadrature, for D > 0.
    """
    root = np.sqrt(d)[:, None]
    values, vectors = np.linalg.eigh(root * theta * root.T)
    values = np.maximum(values, 0)
    coef = root * (vectors @ (phi(values)[:, None] * (vectors.T @ (root * y))))
    # e^{−sΘD} Y = D^{−½} U e^{−sλ} Uᵀ D^½ Y, and the integral over s in closed form
    left = vectors.T @ (g / root) if (d > 0).all() else None
    if left is None:
        return coef, None
    gap = values[:, None] - values[None, :]
    small = np.abs(gap) < 1e-9
    e = np.exp(-values)
    difference = np.where(small, e[:, None], -(e[:, None] - e[None, :]) / np.where(small, 1, gap))
    # u_s = e^{−(1−s)ΘD} G = D^{−½} U e^{−(1−s)λ} Uᵀ D^½ G
    g_rows, y_rows = vectors.T @ (root * g), vectors.T @ (root * y)
    weights = difference * (g_rows @ y_rows.T)
    slope = np.einsum("ip,pq,iq->i", vectors, weights, vectors) / d
    return coef, slope


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("lambda_max", [1.0, 63.0, 628.0, 6278.0, 1e5, 1e6])
def test_coefficients_and_gradient_match_the_dense_form(lambda_max):
    theta, d, y, g = problem(250, lambda_max, zeros=0.0)
    solution = solve(lambda b: theta @ b, d, y)
    coef, slope = dense(theta, d, y, g)
    assert relative(solution.coef, coef) <= 1e-8
    assert relative(gradient(lambda b: theta @ b, solution, g), slope) <= 1e-8


@pytest.mark.parametrize("lambda_max", [63.0, 6278.0, 1e5, 1e6])
def test_zeros_in_the_diagonal(lambda_max):
    theta, d, y, g = problem(250, lambda_max, zeros=0.3)
    solution = solve(lambda b: theta @ b, d, y)
    assert relative(solution.coef, dense(theta, d, y, g)[0]) <= 1e-8
    # the gradient is continuous in D: compare with a diagonal whose zeros became tiny
    _, slope = dense(theta, np.where(d > 0, d, 1e-12 * d.max()), y, g)
    assert relative(gradient(lambda b: theta @ b, solution, g), slope) <= 1e-6


def test_against_the_definition_with_expm_and_inverse():
    theta, d, y, _ = problem(120, 200.0)
    expected = np.linalg.solve(theta, (np.eye(120) - scipy.linalg.expm(-theta * d[None, :])) @ y)
    assert relative(solve(lambda b: theta @ b, d, y).coef, expected) <= 1e-10


def test_gradient_against_autodiff_of_the_dense_form():
    import jax

    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    theta, d, y, g = problem(60, 30.0)

    def loss(diagonal):
        inverse = jnp.linalg.inv(theta)
        return jnp.sum(g * (inverse @ ((jnp.eye(60) - jax.scipy.linalg.expm(-theta * diagonal[None, :])) @ y)))

    solution = solve(lambda b: theta @ b, d, y)
    assert relative(gradient(lambda b: theta @ b, solution, g), np.asarray(jax.grad(loss)(jnp.asarray(d)))) <= 1e-9


def test_gradient_at_zero_is_the_inner_product():
    theta, d, y, g = problem(50, 10.0)
    solution = solve(lambda b: theta @ b, 0 * d, y)
    assert np.abs(solution.coef).max() == 0
    np.testing.assert_allclose(gradient(lambda b: theta @ b, solution, g), (g * y).sum(axis=1), rtol=1e-12)


def test_limits_of_early_and_late_times():
    theta, _, y, _ = problem(80, 1.0)
    late = solve(lambda b: theta @ b, np.full(80, 1e7), y).coef
    assert relative(late, np.linalg.solve(theta, y)) <= 1e-8
    t = 1e-9
    early = solve(lambda b: theta @ b, np.full(80, t), y).coef
    assert relative(early, t * y) <= 1e-5


@pytest.mark.parametrize("lambda_max", [63.0, 6278.0])
def test_per_class_with_equal_columns_is_shared(lambda_max):
    theta, d, y, g = problem(150, lambda_max)
    shared = solve(lambda b: theta @ b, d, y)
    repeated = solve(lambda b: theta @ b, np.tile(d[:, None], (1, 10)), y)
    assert relative(repeated.coef, shared.coef) <= 1e-9
    slopes = gradient(lambda b: theta @ b, repeated, g)
    assert slopes.shape == (150, 10)
    assert relative(slopes.sum(axis=1), gradient(lambda b: theta @ b, shared, g)) <= 1e-8


def test_per_class_columns_differ():
    theta, _, y, g = problem(100, 1.0, classes=3)
    d = np.abs(np.random.default_rng(1).normal(size=(100, 3)))
    solution = solve(lambda b: theta @ b, d, y)
    for k in range(3):
        coef, slope = dense(theta, d[:, k], y[:, k : k + 1], g[:, k : k + 1])
        assert relative(solution.coef[:, k : k + 1], coef) <= 1e-8
        assert relative(gradient(lambda b: theta @ b, solution, g)[:, k], slope) <= 1e-8


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 1e4))
def test_permuting_examples_permutes_everything(seed, scale):
    theta, d, y, g = problem(40, scale, classes=3, seed=seed)
    order = np.random.default_rng(seed).permutation(40)
    solution = solve(lambda b: theta @ b, d, y)
    moved = theta[np.ix_(order, order)]
    again = solve(lambda b: moved @ b, d[order], y[order])
    assert relative(again.coef, solution.coef[order]) <= 1e-8
    slope = gradient(lambda b: theta @ b, solution, g)[order]
    change = np.linalg.norm(gradient(lambda b: moved @ b, again, g[order]) - slope)
    # where e^{−ΘD} is tiny the gradient is a small difference of terms of the size of G ∘ Y
    assert change <= 1e-8 * np.linalg.norm(slope) + 1e-11 * np.linalg.norm((g * y).sum(axis=1))


def test_duplicate_columns_and_rank_deficient_targets():
    theta, d, y, g = problem(60, 100.0)
    y[:, 5] = y[:, 4]
    y[:, 6] = 0
    solution = solve(lambda b: theta @ b, d, y)
    assert relative(solution.coef, dense(theta, d, y, g)[0]) <= 1e-8


@pytest.mark.parametrize("lambda_max", [628.0, 6278.0, 1e5])
@pytest.mark.parametrize("per_class", [False, True])
def test_a_bounded_basis_splits_time_and_stays_exact(lambda_max, per_class):
    theta, d, y, g = problem(250, lambda_max, classes=4, zeros=0.1)
    if per_class:
        d = d[:, None] * np.random.default_rng(2).uniform(0.5, 1.0, (250, 4))
    whole = solve(lambda b: theta @ b, d, y)
    split = solve(lambda b: theta @ b, d, y, max_columns=60)
    assert len(whole.stretches) == 1 < len(split.stretches)
    assert all(stretch.blocks * (1 if per_class else 4) <= 60 for stretch in split.stretches)
    assert relative(split.coef, whole.coef) <= 1e-8
    slope = gradient(lambda b: theta @ b, whole, g)
    assert relative(gradient(lambda b: theta @ b, split, g, max_columns=60), slope) <= 1e-8


def test_a_gradient_in_shorter_stretches_than_its_solution():
    theta, d, y, g = problem(200, 6278.0, classes=4, zeros=0.1)
    solution = solve(lambda b: theta @ b, d, y, max_columns=100)
    expected = gradient(lambda b: theta @ b, solve(lambda b: theta @ b, d, y), g)
    assert relative(gradient(lambda b: theta @ b, solution, g, max_columns=40), expected) <= 1e-7


def test_a_bound_of_one_block_is_an_error():
    theta, d, y, _ = problem(200, 6278.0)
    with pytest.raises(NumericalError, match="raise memory_mb"):
        solve(lambda b: theta @ b, d, y, max_columns=10)


@pytest.mark.parametrize("lambda_max", [63.0, 6278.0, 1e5])
def test_the_error_bound_holds_and_is_sharp(lambda_max):
    theta, d, y, _ = problem(300, lambda_max)
    root = np.sqrt(d)[:, None]
    exact = dense(theta, d, y, y)[0]
    for tolerance in (1e-2, 1e-5, 1e-8):
        basis = Basis.of(root[:, 0], root * y)
        bound = grow(lambda b: theta @ b, [basis], tolerance=tolerance)
        assert bound <= tolerance
        weighted = np.where(root > 0, 1 / np.where(root > 0, root, 1), 0) * exact  # φ(A) D^½ Y where D > 0
        found = np.where(root > 0, basis.integral(1.0), 0)
        error = relative(found, weighted)
        assert error <= 1.01 * bound + 1e-12
        assert error >= bound / 10 or bound == 0


@pytest.mark.parametrize("tolerance", [1e-5, 1e-8])
def test_without_a_bound_of_columns_one_basis_keeps_the_tolerance(tolerance):
    theta, d, y, _ = problem(300, 6278.0)
    solution = solve(lambda b: theta @ b, d, y, tolerance=tolerance)
    assert len(solution.stretches) == 1
    assert solution.error <= tolerance
    assert relative(solution.coef, dense(theta, d, y, y)[0]) <= tolerance


def test_products_in_float32_are_told():
    theta, d, y, _ = problem(300, 628.0)
    single = theta.astype(np.float32)
    with pytest.raises(NumericalError, match="asymmetric"):
        solve(lambda b: (single @ b.astype(np.float32)).astype(np.float64), d, y, tolerance=1e-9)
    assert solve(lambda b: single @ b, d, y, tolerance=1e-9).error <= 1e-9


def test_a_matrix_that_is_not_symmetric_is_told():
    theta, d, y, _ = problem(100, 63.0)
    theta[3, 70] *= 1 + 1e-6
    with pytest.raises(NumericalError, match="asymmetric"):
        solve(lambda b: theta @ b, d, y)


def test_an_unreachable_tolerance_stagnates():
    theta, d, y, _ = problem(600, 63.0)
    with pytest.raises(NumericalError, match="stagnates"):
        solve(lambda b: theta @ b, d, y, tolerance=1e-30)


def test_products_below_tolerance_are_counted():
    theta, d, y, _ = problem(400, 63.0)
    calls = []

    def product(block):
        calls.append(block.shape[1])
        return theta @ block

    solve(product, d, y)
    assert len(calls) <= 16
    assert max(calls) <= 10


def test_indefinite_kernel_is_named():
    theta, d, y, _ = problem(60, 100.0)
    theta = theta - 0.5 * np.linalg.eigvalsh(theta)[-1] * np.eye(60)
    with pytest.raises(NotPositiveDefinite, match="eigenvalue"):
        solve(lambda b: theta @ b, d, y)


@pytest.mark.parametrize("share", [0.5, 0.9, 1.1, 2.0])
def test_the_solver_takes_the_matrices_that_pass_as_gram_matrices_and_no_others(rng, share):
    """D = t·I keeps the ratio of the eigenvalues; every Krylov space here is the whole."""
    vectors = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    values = np.geomspace(1.0, 1e-3, 40)
    values[-1] = -share * SLACK
    theta = (vectors * values) @ vectors.T
    theta = (theta + theta.T) / 2
    accepted = not spectrum(theta.astype(np.float32)).negative
    assert accepted == (share < 1)
    targets = rng.normal(size=(40, 10))
    if accepted:
        solve(lambda b: theta @ b, np.full(40, 100.0), targets, tolerance=1e-10)
        return
    with pytest.raises(NotPositiveDefinite, match=r"remove duplicate images, .*kernel_engine: neural_tangents"):
        solve(lambda b: theta @ b, np.full(40, 100.0), targets, tolerance=1e-10)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_bad_diagonal_is_refused(bad):
    theta, d, y, _ = problem(30, 10.0)
    d[3] = bad
    with pytest.raises(NumericalError, match="finite and >= 0"):
        solve(lambda b: theta @ b, d, y)


def test_nan_in_a_product_is_named():
    theta, d, y, _ = problem(30, 10.0)
    theta[2, 3] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        solve(lambda b: theta @ b, d + 1, y)


def test_alpha_is_stable_near_zero():
    values = np.array([0.0, 1e-300, 1e-18, 1e-8, 1.0, 1e8])
    np.testing.assert_allclose(alpha(0.5, values), [0.5, 0.5, 0.5, 0.5, -np.expm1(-0.5), 1e-8], rtol=1e-8)


@pytest.mark.parametrize("rate", [0.1, 10.0, 1e3, 1e6])
def test_graded_rule_resolves_boundary_layers(rate):
    s, weight = graded_rule(rate)
    for lam in (0.0, rate / 7, rate):
        for mu in (rate / 3, rate):
            exact = (np.exp(-lam) - np.exp(-mu)) / (mu - lam) if mu != lam else np.exp(-mu)
            found = weight @ (np.exp(-(1 - s) * lam) * np.exp(-s * mu))
            assert abs(found - exact) <= 1e-13 * max(1, abs(exact))


def test_orthonormality_survives_long_bases():
    theta, d, y, _ = problem(300, 1e5)
    basis = Basis.of(np.sqrt(d), np.sqrt(d)[:, None] * y)
    grow(lambda b: theta @ b, [basis])
    v = basis.vectors
    assert np.abs(v.T @ v - np.eye(v.shape[1])).max() <= 1e-12
