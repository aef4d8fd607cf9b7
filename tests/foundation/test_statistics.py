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
    accuracy_interval,
    difference_interval,
    holm,
    mcnemar,
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


def simulated(seeds, shown, seed_sd, trials):
    """Intervals of accuracies of the same kind, drawn again and again."""
    rng = np.random.default_rng(0)
    return np.array([accuracy_interval(*seen(rng, seeds, shown, seed_sd)) for _ in range(trials)])


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize(
    ("seeds", "seed_sd", "least"),
    [(1, 0.0, 0.935), (2, 0.0, 0.935), (5, 0.0, 0.935), (2, 0.026, 0.885), (5, 0.026, 0.885)],
)
def test_the_interval_covers_the_truth_whatever_images_seeds_share(seeds, shown, seed_sd, least):
    """The standard deviation of a test set of 300 is 0.026: that of seeds is nothing, or as much."""
    _, low, high = simulated(seeds, shown, seed_sd, 1000).T
    assert least <= np.mean((low <= TRUTH) & (high >= TRUTH)) <= 0.98


@pytest.mark.parametrize(("seeds", "least"), [(2, 0.75), (3, 0.85), (5, 0.89)])
def test_few_seeds_that_differ_far_more_than_test_sets_are_covered_less(seeds, least):
    _, low, high = simulated(seeds, "shared", 0.1, 1000).T
    assert least <= np.mean((low <= TRUTH) & (high >= TRUTH)) <= 0.96


@pytest.mark.parametrize("shown", SHOWN)
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_the_interval_is_as_wide_as_means_vary(seeds, shown):
    """Where seeds do not differ: the median half-width over 1.96 is the standard deviation of the mean."""
    mean, low, high = simulated(seeds, shown, 0.0, 1500).T
    assert np.median(high - low) / 2 / 1.96 == pytest.approx(mean.std(), rel=0.12)


def test_images_that_all_seeds_share_are_no_larger_test_set():
    """Five seeds that agree on every image know no more than one; on images of their own, five times as much."""
    outcome = np.random.default_rng(1).random(400) < TRUTH
    alone, same, own = (
        accuracy_interval([outcome] * count, images)
        for count, images in ((1, [np.arange(400)]), (5, [np.arange(400)] * 5), (5, np.arange(2000).reshape(5, 400)))
    )
    assert same == pytest.approx(alone, rel=1e-3)
    assert (own[2] - own[1]) * np.sqrt(5) == pytest.approx(alone[2] - alone[1], rel=1e-3)


def test_the_estimate_is_that_of_the_analysis_of_variance():
    """Crossed, balanced: variance of the grand mean (MS_seeds + MS_images − MS_rest)/(k n)."""
    rng = np.random.default_rng(6)
    table = (rng.standard_normal(200) + 0.5 * rng.standard_normal((4, 1)) + rng.standard_normal((4, 200))) > 0
    k, n = table.shape
    rows, columns, whole = table.mean(axis=1), table.mean(axis=0), table.mean()
    ms_seeds, ms_images = n * rows.var(ddof=1), k * columns.var(ddof=1)
    rest = table - rows[:, None] - columns + whole
    ms_rest = (rest**2).sum() / ((k - 1) * (n - 1))
    found = spread(list(table), [np.arange(n)] * k)
    assert found.seed_sd**2 == pytest.approx((ms_seeds - ms_rest) / n, rel=2 / n)
    _, low, high = accuracy_interval(list(table), [np.arange(n)] * k)
    variance = (ms_seeds + ms_images - ms_rest) / (k * n)
    df = (k - 1) * (variance / (found.seed_sd**2 / k)) ** 2
    assert (high - low) / 2 == pytest.approx(scipy.stats.t.ppf(0.975, df) * np.sqrt(variance), rel=0.01)


def test_one_seed_is_the_usual_interval_of_a_mean():
    outcome = np.arange(400) < 100
    mean, low, high = accuracy_interval([outcome], apart([outcome]))
    wanted = scipy.stats.ttest_1samp(outcome.astype(float), 0.0).confidence_interval(0.95)
    np.testing.assert_allclose((mean, low, high), (0.25, wanted.low, wanted.high), rtol=1e-9)
    a, b = paired(200, 60, 30, 110)
    wanted = scipy.stats.ttest_rel(a.astype(float), b.astype(float)).confidence_interval(0.95)
    np.testing.assert_allclose(difference_interval([a], [b], apart([a]))[1:], (wanted.low, wanted.high), rtol=1e-9)


def test_an_accuracy_stays_one():
    outcomes = [np.arange(50) < 50, np.arange(50) < 49]
    mean, low, high = accuracy_interval(outcomes, apart(outcomes))
    assert (mean, high) == (0.99, 1.0)
    assert low < 0.98


def test_the_interval_sees_the_spread_over_seeds():
    tight = [np.arange(100) < 70] * 4
    wide = [np.arange(100) < k for k in (50, 65, 75, 90)]
    mean, low, high = accuracy_interval(tight, apart(tight))
    wide_mean, wide_low, wide_high = accuracy_interval(wide, apart(wide))
    assert mean == wide_mean == pytest.approx(0.7)
    assert wide_high - wide_low > 1.5 * (high - low)


@pytest.mark.parametrize("shown", SHOWN)
def test_the_paired_test_keeps_its_level_and_finds_what_is_there(shown):
    """Two methods on the same images whose skills differ by nothing, or by 8 points, and vary over seeds by 2."""
    rejected = {0.0: 0, 0.24: 0}
    hits, trials = 0, 400
    for trial in range(trials):
        for gain in rejected:
            rng = np.random.default_rng(trial)
            pool = int(300 * (SHOWN[shown] or 3))
            easiness = 1.5 * rng.standard_normal(pool)
            images = [rng.permutation(pool)[:300] if SHOWN[shown] else np.arange(300) + 300 * seed for seed in range(3)]
            a, b = (
                [easiness[i] + 0.06 * rng.standard_normal() + more + rng.standard_normal(300) > 0 for i in images]
                for more in (gain, 0.0)
            )
            (_, low, high), p = paired_test(a, b, images)
            rejected[gain] += p <= 0.05
            hits += not gain and low <= 0 <= high
    assert hits >= 0.91 * trials
    assert rejected[0.0] <= 0.07 * trials
    assert rejected[0.24] >= 0.6 * trials


def test_p_is_no_smaller_than_mcnemars_and_follows_the_interval():
    a, b = paired(200, 18, 2, 180)
    (_, low, high), p = paired_test([a], [b], apart([a]))
    assert 0 < low < high
    assert p == mcnemar(18, 2)
    shared, own = (paired_test([a] * 4, [b] * 4, images)[1] for images in ([np.arange(400)] * 4, apart([a] * 4)))
    assert mcnemar(72, 8) <= own < shared < 0.01  # four times the same outcomes are no more evidence
    everywhere = np.ones(40, bool)
    assert paired_test([everywhere], [~everywhere], apart([everywhere])) == ((1, 1, 1), mcnemar(40, 0))


def test_pairing_narrows_the_interval_and_the_spread_over_seeds_widens_it():
    a, b = paired(300, 20, 10, 70)
    _, low, high = difference_interval([a], [b], apart([a]))
    rolled = np.roll(b, 185)  # equally often right, on other examples
    _, low_apart, high_apart = difference_interval([a], [rolled], apart([a]))
    assert high - low < 0.6 * (high_apart - low_apart)
    alike = [paired(300, 20, 10, 70)] * 4
    mixed = [paired(300, only, 40 - only, 60) for only in (0, 15, 30, 40)]
    tight, wide = (
        difference_interval(*zip(*pairs, strict=True), apart([pair[0] for pair in pairs])) for pairs in (alike, mixed)
    )
    assert wide[2] - wide[1] > 1.5 * (tight[2] - tight[1])


@given(st.lists(st.tuples(*[st.integers(0, 9)] * 4).filter(any), min_size=1, max_size=3))
def test_the_paired_interval_changes_sign_with_the_order(joint):
    a, b = zip(*(paired(*counts) for counts in joint), strict=True)
    (forth, p), (back, p_back) = paired_test(a, b, apart(a)), paired_test(b, a, apart(a))
    assert (forth, p) == ((-back[0], -back[2], -back[1]), p_back)
    assert forth[0] == pytest.approx(np.mean([x.mean() - y.mean() for x, y in zip(a, b, strict=True)]))
    assert -1 <= forth[1] <= forth[2] <= 1
    assert paired_test(a, a, apart(a)) == ((0, 0, 0), 1)
    assert difference_interval(a, b, apart(a)) == forth


def test_the_paired_interval_refuses_other_seeds():
    a, b = paired(1, 2, 3, 4)
    with pytest.raises(ValueError, match="shorter"):
        difference_interval([a, a], [b], apart([a, a]))


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
    assert found.test_sd == pytest.approx(np.sqrt(0.2 * 0.8 / 9))
    assert found.seed_sd == pytest.approx(np.sqrt(0.18 - 0.16 / 9))
    # on the same images: the two share a covariance of (0.2 − 0.2·0.8)/10, which is no spread between them
    shared = spread(outcomes, [np.arange(10)] * 2)
    assert shared.seed_sd == pytest.approx(np.sqrt(0.18 - (0.16 / 9 - 0.004)))
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
