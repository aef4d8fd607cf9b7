"""Moments of activations of a Gaussian against closed forms, adaptive quadrature and Gauss–Hermite nodes."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import roots_hermitenorm

from advntk.foundation.errors import ConfigError
from advntk.foundation.gaussian_moments import NONLINEARITIES, Nonlinearity, nonlinearity

NAMES = list(NONLINEARITIES)
VARIANCES = np.array([[1e-6, 0.03, 0.7], [2.0, 30.0, 5e4]])
FIELDS = ("second", "growth", "slope", "bend")


def by_quad(function, variance):
    """The four moments by adaptive quadrature over z, with break points where u = √q z is small."""
    root = np.sqrt(variance)
    breaks = sorted({0.0, *(sign * min(size / root, 9.0) for sign in (-1, 1) for size in (0.5, 2, 8))})

    def mean(integrand):
        edges = [-12.0, *breaks, 12.0]
        return sum(
            quad(
                lambda z: integrand(z) * np.exp(-z * z / 2) / np.sqrt(2 * np.pi), low, high, epsabs=1e-13, epsrel=1e-11
            )[0]
            for low, high in pairwise(edges)
            if high > low
        )

    value, slope = (lambda z: function.value(np.float64(root * z))), (lambda z: function.slope(np.float64(root * z)))
    return (
        mean(lambda z: value(z) ** 2),
        mean(lambda z: value(z) * slope(z) * z) / root,
        mean(lambda z: slope(z) ** 2),
        mean(lambda z: slope(z) ** 2 * (z * z - 1)),
    )


@pytest.mark.parametrize("name", NAMES)
def test_moments_are_the_integrals_at_small_and_large_variances(name):
    moments = NONLINEARITIES[name].moments(VARIANCES, order=32)
    wanted = np.array([by_quad(NONLINEARITIES[name], q) for q in VARIANCES.ravel()]).T.reshape(4, *VARIANCES.shape)
    for field, values in zip(FIELDS, wanted, strict=True):
        np.testing.assert_allclose(getattr(moments, field), values, rtol=1e-9, atol=1e-10, err_msg=field)


def test_erf_has_closed_forms():
    moments = NONLINEARITIES["erf"].moments(VARIANCES, order=32)
    ratio = 2 * VARIANCES / (1 + 2 * VARIANCES)
    np.testing.assert_allclose(moments.second, 2 / np.pi * np.arcsin(ratio), rtol=1e-12)
    np.testing.assert_allclose(moments.slope, 4 / np.pi / np.sqrt(1 + 4 * VARIANCES), rtol=1e-12)
    bend = 4 / np.pi * ((1 + 4 * VARIANCES) ** -1.5 - (1 + 4 * VARIANCES) ** -0.5)
    np.testing.assert_allclose(moments.bend, bend, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_growth_is_the_derivative_of_the_second_moment_and_slope_that_of_the_function(name):
    function, step = NONLINEARITIES[name], 1e-5
    up, down = (function.moments(VARIANCES * (1 + sign * step), order=32).second for sign in (1, -1))
    growth = function.moments(VARIANCES, order=32).growth
    np.testing.assert_allclose((up - down) / (2 * step * VARIANCES), growth, rtol=1e-4)  # cancels
    points = np.array([-2.1, -0.3, 0.4, 1.7])
    np.testing.assert_allclose(
        (function.value(points + 1e-6) - function.value(points - 1e-6)) / 2e-6, function.slope(points), rtol=1e-8
    )


@pytest.mark.parametrize("name", ["erf", "gelu", "sigmoid_like"])
def test_where_the_variance_is_moderate_gauss_hermite_nodes_agree(name):
    function, (node, weight) = NONLINEARITIES[name], roots_hermitenorm(200)
    weight = weight / weight.sum()
    for variance in (0.1, 1.0, 4.0):
        moments = function.moments(np.array(variance), order=16)
        value, slope = function.value(np.sqrt(variance) * node), function.slope(np.sqrt(variance) * node)
        np.testing.assert_allclose(moments.second, weight @ value**2, rtol=1e-9)
        np.testing.assert_allclose(moments.slope, weight @ slope**2, rtol=1e-9)
        np.testing.assert_allclose(moments.bend, weight @ (slope**2 * (node**2 - 1)), rtol=1e-9, atol=1e-12)


def test_straight_activations_have_no_bend_and_relu_is_what_quadrature_gives():
    relu = NONLINEARITIES["relu"]
    by_rule = Nonlinearity(value=relu.value, slope=relu.slope).moments(VARIANCES, order=16)
    for field in FIELDS:
        wanted = getattr(relu.moments(VARIANCES, order=16), field)
        np.testing.assert_allclose(getattr(by_rule, field), wanted, rtol=1e-12, atol=1e-13, err_msg=field)
    assert [name for name, function in NONLINEARITIES.items() if function.straight] == ["relu"]


def test_a_unit_that_is_always_zero_has_finite_moments():
    for function in NONLINEARITIES.values():
        moments = function.moments(np.zeros(2), order=16)
        assert all(np.isfinite(getattr(moments, field)).all() for field in FIELDS)
    erf = NONLINEARITIES["erf"].moments(np.zeros(1), order=16)
    np.testing.assert_allclose([erf.second[0], erf.slope[0], erf.bend[0]], [0, 4 / np.pi, 0], atol=1e-13)


def test_an_unknown_activation_is_named_with_the_nearest_one():
    with pytest.raises(ConfigError, match=r"'gellu' \(did you mean 'gelu'\?\); use one of relu, erf"):
        nonlinearity("gellu")
