"""Filters of the spectrum of Θ against direct float64 solutions, and the ridge that val chooses."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from advntk.foundation.errors import NumericalError
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients import grams
from advntk.ingredients.gram_operator import GramOperator
from advntk.learning import spectral
from advntk.learning.kernel_predictor import merit
from advntk.learning.method import Task
from advntk.learning.methods import ridge_ntk
from advntk.learning.spectral import SpectralFamily
from tests.conftest import relu_kernel

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def problem(rng):
    """Θ of 80 random images, and targets of 3 classes."""
    theta = relu_kernel(rng.uniform(size=(80, 4, 4, 1)), 4)
    return theta, np.eye(3)[rng.integers(3, size=80)]


def test_filters_are_direct_solutions(problem):
    theta, targets = problem
    family = SpectralFamily.of_times(GramOperator(theta, device="cpu"), targets, 1.0)
    for time in (1e-3, 0.1, 10.0):
        flow = np.linalg.solve(theta, targets - scipy.linalg.expm(-time * theta) @ targets)
        np.testing.assert_allclose(family.flow(time), flow, atol=1e-9 * np.abs(flow).max())
    for ridge in (1e-4, 1.0, 1e3):
        direct = np.linalg.solve(theta + ridge * np.eye(80), targets)
        np.testing.assert_allclose(family.ridge(ridge), direct, atol=1e-9 * np.abs(direct).max())


@pytest.fixture
def krylov(monkeypatch):
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 10)


def close(found, exact):
    """To ten times the tolerance of the basis, which is relative to the norm of the whole."""
    np.testing.assert_allclose(found, exact, atol=10 * spectral.TOLERANCE * np.linalg.norm(exact))


def test_a_krylov_basis_gives_the_direct_solutions_as_far_as_it_reaches(problem, krylov):
    theta, targets = problem
    operator = GramOperator(theta, device="cpu")
    times, ridges = SpectralFamily.of_times(operator, targets, 3.0), SpectralFamily.of_ridges(operator, targets, 0.3)
    assert len(times.values) < 80
    assert len(ridges.values) < 80
    assert (times.reach, ridges.reach) == (3.0, 0.3)
    for time in (1e-3, 0.1, 3.0):
        close(times.flow(time), np.linalg.solve(theta, targets - scipy.linalg.expm(-time * theta) @ targets))
    for ridge in (0.3, 10.0, 1e3):
        close(ridges.ridge(ridge), np.linalg.solve(theta + ridge * np.eye(80), targets))


def test_a_basis_that_memory_bounds_says_how_far_it_reaches(problem, krylov, monkeypatch):
    theta, targets = problem
    monkeypatch.setattr(GramOperator, "max_columns", 30)
    operator = GramOperator(theta, device="cpu")
    times, ridges = SpectralFamily.of_times(operator, targets, 1e3), SpectralFamily.of_ridges(operator, targets, 1e-3)
    assert 0 < times.reach < 1e3
    assert 1e-3 < ridges.reach < np.inf
    flow = targets - scipy.linalg.expm(-times.reach * theta) @ targets
    close(times.flow(times.reach), np.linalg.solve(theta, flow))
    close(ridges.ridge(ridges.reach), np.linalg.solve(theta + ridges.reach * np.eye(80), targets))
    with pytest.raises(NumericalError, match=r"30 Krylov columns reach t = .* of 1e\+03"):
        times.check(1e3)
    times.check(times.reach)


@pytest.mark.parametrize("mean", [0.05, 1.0, 40.0])
def test_the_ridge_is_the_flow_averaged_over_exponential_times(problem, mean):
    """∫₀^∞ e^{−t/τ}/τ P(t) dt = (Θ + I/τ)⁻¹ Y, by quadrature of the left side."""
    theta, targets = problem
    family = SpectralFamily.of_times(GramOperator(theta, device="cpu"), targets, 1.0)
    whole, _ = scipy.integrate.quad_vec(
        lambda share: family.flow(-mean * np.log1p(-share)), 0.0, 1.0, epsabs=1e-11, epsrel=1e-9
    )  # share = 1 − e^{−t/τ}
    ridge = family.ridge(1 / mean)
    np.testing.assert_allclose(whole, ridge, atol=1e-7 * np.abs(ridge).max())


@pytest.fixture(scope="module")
def task(digits_split, tmp_path_factory):
    from advntk.foundation.architecture import Architecture

    folder, spec, compute = tmp_path_factory.mktemp("ridge"), Architecture(family="mlp", depth=3), Compute(device="cpu")
    grams.build_gram(digits_split, spec, out=folder / "gram.npy", compute=compute, threads=1)
    return Task(
        split=digits_split,
        spec=spec,
        threat=ThreatModel(eps255=16),
        options=ridge_ntk.Options(decades=2, halvings=1),
        seed=0,
        compute=compute,
        gram=folder / "gram.npy",
        workdir=folder,
    )


def test_the_ridge_is_the_best_on_val_and_solves_its_equations(task):
    fit = ridge_ntk.fit(task)
    ridge = fit.checkpoints["final"]["ridge"]
    assert ridge == max(fit.curves, key=merit)["step"] == fit.training["ridge"]
    theta = np.array(grams.open_gram(task.gram, task.split, task.spec), dtype=np.float64)
    direct = np.linalg.solve(theta + ridge * np.eye(len(theta)), np.eye(10)[task.split.opt.labels])
    np.testing.assert_allclose(fit.arrays["coef.final"], direct, atol=1e-9 * np.abs(direct).max())
    mean = float(theta.diagonal().mean())
    assert fit.training["ridge_over_mean_diagonal"] == pytest.approx(ridge / mean)
    assert fit.training["smallest_ridge"] == pytest.approx(mean * 10**-2.25)


def test_ridges_that_the_basis_does_not_resolve_are_not_tried(task, monkeypatch):
    monkeypatch.setattr(spectral, "DENSE_LIMIT", 10)
    monkeypatch.setattr(GramOperator, "max_columns", 40)
    fit = ridge_ntk.fit(task)
    mean = fit.training["ridge"] / fit.training["ridge_over_mean_diagonal"]
    least = fit.training["smallest_ridge"]
    assert 10**-2.25 * mean < least < 100 * mean
    assert least <= min(row["step"] for row in fit.curves)
    monkeypatch.setattr(GramOperator, "max_columns", 10)
    with pytest.raises(NumericalError, match=r"above the grid; raise compute\.memory_mb"):
        ridge_ntk.fit(task)
