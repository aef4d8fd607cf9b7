"""Intervals, paired tests and spreads: coverage on simulated data, agreement with the textbook, determinism."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from advntk.foundation.errors import InputError
from advntk.foundation.statistics import (
    bootstrap_mean,
    holm,
    mcnemar,
    paired_bootstrap,
    power_of,
    spread,
    student_interval,
    wilson,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def paired(n11, n10, n01, n00):
    """Outcomes of two methods with these joint counts (both right, only the first, only the second, none)."""
    a = np.repeat([True, True, False, False], [n11, n10, n01, n00])
    b = np.repeat([True, False, True, False], [n11, n10, n01, n00])
    return a, b


def test_wilson_against_the_formula():
    z, p, n = 1.959963984540054, 0.3, 50
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    np.testing.assert_allclose(wilson(15, 50), (centre - half, centre + half), rtol=1e-9)
    assert wilson(0, 50)[0] == 0
    assert wilson(50, 50)[1] == 1


def test_bootstrap_covers_the_truth():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        outcomes = [rng.random(200) < 0.7 for _ in range(5)]
        _, low, high = bootstrap_mean(outcomes, seed=trial, resamples=500)
        hits += low <= 0.7 <= high
    assert hits >= 0.9 * 200


def test_bootstrap_sees_the_spread_over_seeds():
    tight = [np.arange(100) < 70] * 4
    spread = [np.arange(100) < k for k in (50, 65, 75, 90)]
    mean, low, high = bootstrap_mean(tight)
    wide_mean, wide_low, wide_high = bootstrap_mean(spread)
    assert mean == wide_mean == 0.7
    assert wide_high - wide_low > 1.5 * (high - low)


def test_bootstrap_of_examples_equals_drawing_them():
    outcome = np.arange(400) < 100
    rng = np.random.default_rng(1)
    drawn = [outcome[rng.integers(400, size=400)].mean() for _ in range(4000)]
    _, low, high = bootstrap_mean([outcome])
    np.testing.assert_allclose((low, high), np.percentile(drawn, [2.5, 97.5]), atol=0.005)


def test_bootstrap_is_deterministic():
    outcomes = [np.arange(50) < 20, np.arange(60) < 40]
    assert bootstrap_mean(outcomes) == bootstrap_mean(outcomes)


def test_paired_bootstrap_of_examples_equals_drawing_pairs():
    a, b = paired(200, 60, 30, 110)
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(4000):
        chosen = rng.integers(400, size=400)
        drawn.append(a[chosen].mean() - b[chosen].mean())
    difference, low, high = paired_bootstrap([a], [b])
    assert difference == pytest.approx(30 / 400)
    np.testing.assert_allclose((low, high), np.percentile(drawn, [2.5, 97.5]), atol=0.006)


def test_paired_bootstrap_covers_the_truth():
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(200):
        pairs = []
        for _ in range(5):
            both = rng.random(200) < 0.6  # right by both; where not, each is right by itself
            pairs.append((both | (rng.random(200) < 0.3), both | (rng.random(200) < 0.1)))
        _, low, high = paired_bootstrap(*zip(*pairs, strict=True), seed=trial, resamples=500)
        hits += low <= 0.4 * 0.2 <= high
    assert hits >= 0.9 * 200


def test_pairing_narrows_the_interval_and_the_spread_over_seeds_widens_it():
    a, b = paired(300, 20, 10, 70)
    _, low, high = paired_bootstrap([a], [b])
    _, low_apart, high_apart = paired_bootstrap([a], [np.roll(b, 185)])  # equally often right, on other examples
    assert high - low < 0.6 * (high_apart - low_apart)
    alike = [paired(300, 20, 10, 70)] * 4
    mixed = [paired(300, only, 40 - only, 60) for only in (0, 15, 30, 40)]
    tight = paired_bootstrap(*zip(*alike, strict=True))
    wide = paired_bootstrap(*zip(*mixed, strict=True))
    assert wide[2] - wide[1] > 1.5 * (tight[2] - tight[1])


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4).filter(any), min_size=1, max_size=3), st.integers(0, 5))
def test_paired_bootstrap_changes_sign_with_the_order(joint, seed):
    a, b = zip(*(paired(*counts) for counts in joint), strict=True)
    forth = paired_bootstrap(a, b, seed=seed, resamples=50)
    back = paired_bootstrap(b, a, seed=seed, resamples=50)
    assert forth[0] == -back[0]
    assert forth[0] == pytest.approx(np.mean([x.mean() - y.mean() for x, y in zip(a, b, strict=True)]))
    assert -1 <= forth[1] <= forth[2] <= 1
    assert paired_bootstrap(a, a, seed=seed, resamples=50) == (0, 0, 0)
    assert paired_bootstrap(a, b, seed=seed, resamples=50) == forth


def test_paired_bootstrap_refuses_other_seeds():
    a, b = paired(1, 2, 3, 4)
    with pytest.raises(ValueError, match="shorter"):
        paired_bootstrap([a, a], [b])


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_against_exact_arithmetic(only_a, only_b):
    total = only_a + only_b
    tail = sum(comb(total, k) for k in range(min(only_a, only_b) + 1))
    expected = min(Fraction(1), Fraction(2 * tail, 2**total))
    assert mcnemar(only_a, only_b) == pytest.approx(float(expected), rel=1e-9)
    assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a)
    assert 0 < mcnemar(only_a, only_b) <= 1


def test_mcnemar_known_values():
    assert mcnemar(0, 0) == 1
    assert mcnemar(8, 1) == pytest.approx(2 * (1 + 9) / 512)
    assert mcnemar(0, 6) == pytest.approx(2 / 64)


def test_holm_known_values():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(P_VALUES)
def test_holm_is_ordered_and_between_raw_and_bonferroni(p):
    adjusted = holm(p)
    for (raw, after), (other, other_after) in itertools.combinations(zip(p, adjusted, strict=True), 2):
        assert (raw - other) * (after - other_after) >= 0
    for raw, after in zip(p, adjusted, strict=True):
        assert raw <= after <= min(1.0, len(p) * raw) + 1e-12
    assert holm(p[::-1]) == adjusted[::-1]


@given(P_VALUES, st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_as_the_step_down_procedure(p, level):
    rejected = set()
    for step, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[i] * (len(p) - step) > level:
            break
        rejected.add(i)
    assert {i for i, value in enumerate(holm(p)) if value <= level} == rejected


def test_spread_by_hand():
    outcomes = [np.arange(10) < 2, np.arange(10) < 8]
    found = spread(outcomes)
    assert found.test_sd == pytest.approx(np.sqrt(0.2 * 0.8 / 10))
    assert found.seed_sd == pytest.approx(np.sqrt(0.18 - 0.016))
    alone = spread(outcomes[:1])
    assert alone.test_sd == pytest.approx(found.test_sd)
    assert np.isnan(alone.seed_sd)
    assert spread([outcomes[0]] * 3).seed_sd == 0


@pytest.mark.parametrize("truth", [0.0, 0.06])
def test_spread_recovers_the_seeds_share(truth):
    rng = np.random.default_rng(4)
    rates = rng.normal(0.7, truth, 2000)
    found = spread([rng.random(100) < rate for rate in rates])
    assert found.seed_sd == pytest.approx(truth, abs=0.004 if truth else 0.012)  # near 0 a variance's root is uncertain
    assert found.test_sd == pytest.approx(np.sqrt((0.7 * 0.3 - truth**2) / 100), rel=0.03)


def test_students_interval_is_that_of_a_t_test_and_covers_the_truth():
    rng = np.random.default_rng(5)
    values = rng.standard_normal(6)
    mean, low, high = student_interval(values)
    wanted = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose((mean, low, high), (values.mean(), wanted.low, wanted.high), rtol=1e-12)
    covered = [low <= 3 <= high for _, low, high in map(student_interval, 3 + rng.standard_normal((2000, 4)))]
    assert 0.93 < np.mean(covered) < 0.97
    with pytest.raises(InputError, match="one repetition"):
        student_interval([1.0])


def test_a_power_is_found_again():
    sizes = np.array([10, 30, 90])
    assert power_of(sizes, 7 * sizes**-0.5) == pytest.approx(-0.5)
