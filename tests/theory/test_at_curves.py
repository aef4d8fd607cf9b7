"""Adversarial training over time on kernels, against an ODE solver and dense linear algebra."""

import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_solutions import integrate
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.theory.at_curves import Jury, at_curves, clock_gap
from advntk.theory.kernel_lab import KernelLab, of_classes

TIMES = [0.1, 1.0, 3000.0]
THREAT = ThreatModel(eps255=20)


def part(count, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3, 3, 1), dtype=np.uint8)
    return Part(pixels=pixels, labels=np.arange(count) % 3, indices=np.arange(count))


def lab_of(activation):
    spec = Architecture(family="mlp", depth=2, activation=activation)
    return KernelLab(spec, part(9, 0), 3, Compute(kernel_engine="neural_tangents"))


@pytest.fixture(scope="module")
def labs():
    return {activation: lab_of(activation) for activation in ("relu", "erf")}


def curves_of(lab, exposures):
    return at_curves(lab, exposures=exposures, times=TIMES, val=part(8, 1), test=part(11, 2), threat=THREAT, seed=3)


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_distances_are_those_of_the_dynamics(labs, activation):
    lab = labs[activation]
    found = curves_of(lab, [0.0, 1.5])
    rows, natural = lab.rows(part(11, 2).images), np.linalg.solve(lab.gram, lab.targets)
    for row, exposure in enumerate([0.0, 1.5]):
        moments = np.array(TIMES[:2]) * lab.unit_time
        dynamics = -integrate(lab.net, lab.flow(exposure), moments).coefficients
        wanted = [np.linalg.norm(rows @ (coef - natural)) / np.linalg.norm(rows @ natural) for coef in dynamics]
        np.testing.assert_allclose(found["distance"][row][:2], wanted, rtol=1e-6)
        assert found["distance"][row][2] < 1e-6
        np.testing.assert_allclose(found["rate"][row], np.exp(exposure * lab.kappa / lab.kappa.mean()).mean())
    for name in ("clean_test", "robust_test", "robust_val"):
        assert found[name][1][2] == found["natural"][name]


def test_without_an_attack_there_are_distances_alone(labs):
    found = at_curves(labs["relu"], exposures=[1.5], times=TIMES, val=part(8, 1), test=part(11, 2), threat=None, seed=3)
    assert set(found) == {"rate", "distance"}
    assert found["distance"] == curves_of(labs["relu"], [1.5])["distance"]


def test_at_is_clean_training_on_a_faster_clock_where_kappa_is_one_number(labs):
    images = part(11, 2).images
    assert clock_gap(labs["relu"], 2.0, TIMES, images) < 1e-11
    assert clock_gap(labs["erf"], 2.0, TIMES, images) > 1e-4
    assert clock_gap(labs["erf"], 0.0, TIMES, images) == 0.0


def test_a_jury_judges_a_predictor_once_and_as_the_lab_does(labs, monkeypatch):
    lab, images = labs["relu"], part(8, 1)
    first, second = lab.coefficients(0.0, [0.5, 5.0])
    wanted = [lab.judge(coef, images, THREAT, seed=7).accuracies for coef in (first, second)]
    calls = []
    judge = lab.judge
    monkeypatch.setattr(lab, "judge", lambda *args, **more: calls.append(1) or judge(*args, **more))
    jury = Jury(lab, images, THREAT, seed=7)
    same = lab.coefficients(1.0, [0.5 / np.e])[0]
    assert [jury.accuracies(coef) for coef in (first, second, same, second)] == [*wanted, wanted[0], wanted[1]]
    assert len(calls) == 2


def test_the_first_classes_keep_their_order():
    whole = part(9, 0)
    kept = of_classes(whole, 2)
    np.testing.assert_array_equal(kept.labels, [0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(kept.pixels, whole.pixels[whole.labels < 2])
