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
    paired_test,
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


def apart(outcomes):
    """Images of each seed's own."""
    ends = np.cumsum([0, *map(len, outcomes)])
    return [np.arange(low, high) for low, high in itertools.pairwise(ends)]


def test_wilson_against_the_formula():
    z, p, n = 1.959963984540054, 0.3, 50
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    np.testing.assert_allclose(wilson(15, 50), (centre - half, centre + half), rtol=1e-9)
    assert wilson(0, 50)[0] == 0
    assert wilson(50, 50)[1] == 1


TRUTH = 0.7
SHOWN = {"shared": 1.0, "some": 2.25, "own": None}
"""Images of the pool over those of a test set; None: each seed has its own."""


def seen(rng, seeds, shown, seed_sd, n=300):
    """Outcomes of a method on images of unequal difficulty by seeds of unequal skill, and which images those are.

    A latent normal score decides: difficulty 1, noise 1, and the skill of a seed, whose spread gives ``seed_sd``.
    """
    pool = int(n * (SHOWN[shown] or seeds))
    scale = np.sqrt(2 + (spread := seed_sd / scipy.stats.norm.pdf(scipy.stats.norm.ppf(TRUTH)) * np.sqrt(2)) ** 2)
    easiness = rng.standard_normal(pool)
    images = [rng.permutation(pool)[:n] if SHOWN[shown] else np.arange(n) + seed * n for seed in range(seeds)]
    middle = scale * scipy.stats.norm.ppf(TRUTH)
    skills = spread * rng.standard_normal(seeds)
    return [middle + easiness[i] + s + rng.standard_normal(n) > 0 for i, s in zip(images, skills, strict=True)], images


def coverage(seeds, shown, seed_sd, trials=400):
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(trials):
        _, low, high = bootstrap_mean(*seen(rng, seeds, shown, seed_sd), seed=trial, resamples=400)
        hits += low <= TRUTH <= high
    return hits / trials


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("seeds", [2, 5])
def test_bootstrap_covers_the_truth_whatever_images_seeds_share(seeds, shown):
    """The standard deviation of a test set of 300 is 0.026: that of seeds is as much."""
    assert 0.93 <= coverage(seeds, shown, 0.026) <= 0.995


def test_bootstrap_of_few_and_unlike_seeds_covers_less():
    """What the documentation says of it: few seeds that differ far more than test sets do."""
    assert 0.7 <= coverage(2, "shared", 0.1) <= 0.9
    assert 0.8 <= coverage(5, "shared", 0.1) <= 0.95


def test_an_accuracy_stays_one():
    outcomes = [np.arange(50) < 50, np.arange(50) < 49]
    mean, low, high = bootstrap_mean(outcomes, apart(outcomes))
    assert (mean, high) == (0.99, 1.0)
    assert low < 0.98


def test_images_that_all_seeds_share_are_no_larger_test_set():
    """Five seeds that agree on every image know no more than one."""
    outcome = np.random.default_rng(1).random(400) < TRUTH
    alone, same, own = (
        bootstrap_mean([outcome] * count, images)
        for count, images in ((1, [np.arange(400)]), (5, [np.arange(400)] * 5), (5, np.arange(2000).reshape(5, 400)))
    )
    assert same[2] - same[1] == pytest.approx(alone[2] - alone[1], rel=0.1)
    assert own[2] - own[1] < 0.75 * (same[2] - same[1])


def test_bootstrap_sees_the_spread_over_seeds():
    tight = [np.arange(100) < 70] * 4
    spread = [np.arange(100) < k for k in (50, 65, 75, 90)]
    mean, low, high = bootstrap_mean(tight, apart(tight))
    wide_mean, wide_low, wide_high = bootstrap_mean(spread, apart(spread))
    assert mean == wide_mean == 0.7
    assert wide_high - wide_low > 1.5 * (high - low)


def test_bootstrap_of_examples_equals_drawing_them():
    outcome = np.arange(400) < 100
    rng = np.random.default_rng(1)
    drawn = [outcome[rng.integers(400, size=400)].mean() for _ in range(4000)]
    _, low, high = bootstrap_mean([outcome], apart([outcome]))
    np.testing.assert_allclose((low, high), np.percentile(drawn, [2.5, 97.5]), atol=0.005)


def test_bootstrap_is_deterministic():
    outcomes = [np.arange(50) < 20, np.arange(60) < 40]
    assert bootstrap_mean(outcomes, apart(outcomes)) == bootstrap_mean(outcomes, apart(outcomes))


def test_paired_bootstrap_of_examples_equals_drawing_pairs():
    a, b = paired(200, 60, 30, 110)
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(4000):
        chosen = rng.integers(400, size=400)
        drawn.append(a[chosen].mean() - b[chosen].mean())
    difference, low, high = paired_bootstrap([a], [b], apart([a]))
    assert difference == pytest.approx(30 / 400)
    np.testing.assert_allclose((low, high), np.percentile(drawn, [2.5, 97.5]), atol=0.006)


@pytest.mark.parametrize("shown", SHOWN)
def test_the_paired_interval_covers_the_truth_and_the_test_keeps_its_level(shown):
    """Two methods of equal accuracy: their skills vary apart from each other, what is difficult is so for both."""
    rng = np.random.default_rng(3)
    hits, rejected, trials = 0, 0, 400
    for trial in range(trials):
        state = int(rng.integers(2**31))
        a, images = seen(np.random.default_rng(state), 3, shown, 0.02)
        flipped = np.random.default_rng(trial)
        b = [np.where(flipped.random(len(x)) < 0.2, flipped.random(len(x)) < x.mean(), x) for x in a]
        (_, low, high), p = paired_test(a, b, images, seed=trial, resamples=400)
        hits += low <= 0 <= high
        rejected += p <= 0.05
    assert hits >= 0.93 * trials
    assert rejected <= 0.07 * trials


def test_p_is_no_smaller_than_mcnemars_and_follows_the_interval():
    a, b = paired(200, 18, 2, 180)
    (_, low, high), p = paired_test([a], [b], apart([a]))
    assert low > 0
    assert p == mcnemar(18, 2)
    shared, own = (paired_test([a] * 4, [b] * 4, images)[1] for images in ([np.arange(400)] * 4, apart([a] * 4)))
    assert mcnemar(72, 8) < own < shared < 0.01  # four times the same outcomes are no more evidence
    assert high > low


def test_pairing_narrows_the_interval_and_the_spread_over_seeds_widens_it():
    a, b = paired(300, 20, 10, 70)
    _, low, high = paired_bootstrap([a], [b], apart([a]))
    rolled = np.roll(b, 185)  # equally often right, on other examples
    _, low_apart, high_apart = paired_bootstrap([a], [rolled], apart([a]))
    assert high - low < 0.6 * (high_apart - low_apart)
    alike = [paired(300, 20, 10, 70)] * 4
    mixed = [paired(300, only, 40 - only, 60) for only in (0, 15, 30, 40)]
    tight, wide = (
        paired_bootstrap(*zip(*pairs, strict=True), apart([pair[0] for pair in pairs])) for pairs in (alike, mixed)
    )
    assert wide[2] - wide[1] > 1.5 * (tight[2] - tight[1])


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4).filter(any), min_size=1, max_size=3), st.integers(0, 5))
def test_paired_bootstrap_changes_sign_with_the_order(joint, seed):
    a, b = zip(*(paired(*counts) for counts in joint), strict=True)
    forth = paired_bootstrap(a, b, apart(a), seed=seed, resamples=50)
    back = paired_bootstrap(b, a, apart(a), seed=seed, resamples=50)
    assert forth[0] == -back[0]
    if forth[0]:
        assert forth[1:] == pytest.approx((-back[2], -back[1]))
    assert forth[0] == pytest.approx(np.mean([x.mean() - y.mean() for x, y in zip(a, b, strict=True)]))
    assert -1 <= forth[1] <= forth[2] <= 1
    assert paired_bootstrap(a, a, apart(a), seed=seed, resamples=50) == (0, 0, 0)
    assert paired_bootstrap(a, b, apart(a), seed=seed, resamples=50) == forth


def test_paired_bootstrap_refuses_other_seeds():
    a, b = paired(1, 2, 3, 4)
    with pytest.raises(ValueError, match="shorter"):
        paired_bootstrap([a, a], [b], apart([a, a]))


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
    found = spread(outcomes, apart(outcomes))
    assert found.test_sd == pytest.approx(np.sqrt(0.2 * 0.8 / 10))
    assert found.seed_sd == pytest.approx(np.sqrt(0.18 - 0.016))
    # on the same images: the two share a covariance of (0.2 − 0.2·0.8)/10, which is no spread between them
    shared = spread(outcomes, [np.arange(10)] * 2)
    assert shared.seed_sd == pytest.approx(np.sqrt(0.18 - (0.016 - 0.004)))
    alone = spread(outcomes[:1], apart(outcomes[:1]))
    assert alone.test_sd == pytest.approx(found.test_sd)
    assert np.isnan(alone.seed_sd)
    assert spread([outcomes[0]] * 3, apart([outcomes[0]] * 3)).seed_sd == 0


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("truth", [0.0, 0.06])
def test_spread_recovers_the_seeds_share(truth, shown):
    """Averaged as variances: that of few seeds is uncertain."""
    rng = np.random.default_rng(4)
    found = [spread(*seen(rng, 10, shown, truth)) for _ in range(200)]
    between = np.mean([one.seed_sd**2 for one in found])
    assert np.sqrt(between) == pytest.approx(truth, abs=0.004 if truth else 0.012)  # cut off at 0, it is above 0
    assert found[0].test_sd == pytest.approx(np.sqrt(TRUTH * (1 - TRUTH) / 300), rel=0.15)


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
