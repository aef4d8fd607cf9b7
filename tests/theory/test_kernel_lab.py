"""Kernel experiments' common ground against independent forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.theory.kernel_lab import KernelLab, first_of
from tests.conftest import relu_kernel

COMPUTE = Compute(device="cpu")


@pytest.fixture(scope="module")
def lab(digits_split):
    spec = Architecture(family="mlp", depth=3)
    return KernelLab(spec, digits_split.opt.first(30), digits_split.classes, COMPUTE)


def test_the_gram_matrix_is_the_kernel_in_float64(lab):
    np.testing.assert_allclose(lab.gram, relu_kernel(lab.train.images, 3), rtol=2e-8)  # arccos near 1
    np.testing.assert_allclose(lab.rows(lab.train.images[:4]), lab.gram[:4], rtol=1e-12)


@pytest.mark.parametrize("exposure", [0.0, 2.0])
def test_coefficients_are_those_of_the_matrix_exponential(lab, exposure):
    """f_t = (I − exp(−Θ Ξ(t))) Y, with Ξ = t e^{κηS}, κ the same for all points of a ReLU network."""
    time = 0.7
    wanted = lab.targets - expm(-lab.gram * time * lab.unit_time * np.exp(exposure)) @ lab.targets
    (coef,) = lab.coefficients(exposure, [time])
    np.testing.assert_allclose(lab.gram @ coef, wanted, atol=1e-10)


def test_after_infinite_time_it_is_the_natural_solution(lab):
    (coef,) = lab.coefficients(1.0, [np.inf])
    np.testing.assert_allclose(lab.gram @ coef, lab.targets, atol=1e-8)


def test_outcomes_are_clean_and_robust(lab, digits_split):
    (coef,) = lab.coefficients(0.0, [np.inf])
    test = digits_split.test.first(40)
    none, some = (lab.judge(coef, test, ThreatModel(norm="linf", eps255=eps), seed=0) for eps in (0, 48))
    np.testing.assert_array_equal(none.clean, none.robust)
    np.testing.assert_array_equal(none.clean, some.clean)
    assert not (some.robust & ~some.clean).any()
    assert some.accuracies[1] < some.accuracies[0] == none.accuracies[1]
    wanted = (lab.rows(test.images) @ coef).argmax(axis=1) == test.labels
    np.testing.assert_array_equal(none.clean, wanted)


def test_too_few_images_are_told(digits_split):
    assert len(first_of(digits_split, "val", 60)) == 60
    with pytest.raises(InputError, match="61 images of val asked for, 60 there"):
        first_of(digits_split, "val", 61)


def test_only_the_first_classes(digits_split):
    part = first_of(digits_split, "opt", 20, classes=3)
    assert len(part) == 20
    assert set(part.labels) == {0, 1, 2}
    with pytest.raises(InputError, match=r"60 images of val in the first 3 classes asked for.*n_val"):
        first_of(digits_split, "val", 60, classes=3)
