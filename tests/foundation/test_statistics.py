"""Intervals, paired tests and spreads: width, agreement with the textbook, determinism. Coverage: test_coverage.py."""

from __future__ import annotations

import itertools
import subprocess
import sys
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
    discordant,
    holm,
    mcnemar,
    paired_test,
    power_of,
    seed_interval,
    spread,
    student_interval,
    wilson,
)
from tests.foundation.outcomes import SHOWN, apart, paired, pools, seen, skill_of

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_is_that_of_scipy(counts):
    wanted = scipy.stats.binomtest(*counts).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(*counts), (wanted.low, wanted.high), rtol=1e-12, atol=1e-15)


def test_statistics_do_without_scipy_stats():
    """Every job imports them, and it takes seconds."""
    code = "import sys, advntk.foundation.statistics; print('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


TRUTH = 0.7
COUNTS = st.lists(st.tuples(*[st.one_of(st.just(0), st.integers(0, 9))] * 4).filter(any), min_size=1, max_size=5)
"""Joint counts of two methods' outcomes by seed; often all outcomes are equal, and no pair differs."""


@given(COUNTS, st.booleans())
def test_every_interval_has_width_and_holds_the_mean(joint, alike):
    joint = [joint[0]] * len(joint) if alike else joint
    a, b = zip(*(paired(*counts) for counts in joint), strict=True)
    for images in (apart(a), [np.arange(len(one)) for one in a]):
        mean, low, high = accuracy_interval(a, images)
        assert mean == pytest.approx(np.mean([one.mean() for one in a]))
        assert 0 <= low <= mean <= high <= 1
        assert high - low > 0.9 / (len(a) * max(map(len, a)) + 3)
        (mean, low, high), p = paired_test(a, b, images)
        assert -1 <= low <= mean <= high <= 1
        assert high - low > 0.9 / (len(a) * max(map(len, a)) + 3)
        assert 0 < p <= 1


@given(COUNTS)
def test_the_interval_of_errors_mirrors_that_of_accuracy(joint):
    outcomes = [paired(*counts)[0] for counts in joint]
    mean, low, high = accuracy_interval(outcomes, apart(outcomes))
    wrong = accuracy_interval([~one for one in outcomes], apart(outcomes))
    assert wrong == pytest.approx((1 - mean, 1 - high, 1 - low), abs=1e-9)


@given(COUNTS)
def test_p_is_below_the_level_where_the_interval_leaves_out_0(joint):
    a, b = zip(*(paired(*counts) for counts in joint), strict=True)
    (_, low, high), p = paired_test(a, b, apart(a))
    if mcnemar(*discordant(a, b)) < 0.05:
        assert (p < 0.05) == (low > 0 or high < 0)
    else:
        assert p >= 0.05


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_more_seeds_that_agree_know_no_more_of_other_images(seeds):
    """Where all seeds are right on all of the same images, the interval is about that of one."""
    everything = [np.ones(40, bool)] * seeds
    _, low, high = accuracy_interval(everything, [np.arange(40)] * seeds)
    assert 0.8 < low < accuracy_interval(everything[:1], [np.arange(40)])[1] < high == 1


def test_images_that_all_seeds_share_are_no_larger_test_set():
    """Five seeds that agree on every image know no more than one; on images of their own, five times as much."""
    outcome = np.random.default_rng(1).random(400) < TRUTH
    alone, same, own = (
        accuracy_interval([outcome] * count, images)
        for count, images in ((1, [np.arange(400)]), (5, [np.arange(400)] * 5), (5, np.arange(2000).reshape(5, 400)))
    )
    widths = [high - low for _, low, high in (alone, same, own)]
    assert 1 < widths[1] / widths[0] < 1.2  # what five seeds leave open of the spread over seeds
    assert 1 / np.sqrt(5) < widths[2] / widths[0] < 0.7


def test_the_estimate_is_that_of_the_analysis_of_variance():
    """Crossed, balanced: MS_seeds/n between seeds, (MS_images − MS_rest)/(k n) in common, MS_rest/n the rest."""
    rng = np.random.default_rng(6)
    table = (rng.standard_normal(600) + 0.3 * rng.standard_normal((4, 1)) + rng.standard_normal((4, 600))) > 0
    k, n = table.shape
    rows, columns, whole = table.mean(axis=1), table.mean(axis=0), table.mean()
    ms_seeds, ms_images = n * rows.var(ddof=1), k * columns.var(ddof=1)
    rest = table - rows[:, None] - columns + whole
    ms_rest = (rest**2).sum() / ((k - 1) * (n - 1))
    found = spread(list(table), [np.arange(n)] * k)
    assert found.seed_sd**2 == pytest.approx((ms_seeds - ms_rest) / n, rel=2 / n)
    between, common, rest = ms_seeds / n, (ms_images - ms_rest) / (k * n), ms_rest / n
    between = max(between, ((k - 1) * between + 2 * 1.5 * (common + rest)) / (k + 1))
    variance = between / k + common
    df = (k + 1) * (variance / (between / k)) ** 2
    _, low, high = difference_interval(list(table), [np.zeros(n, bool)] * k, [np.arange(n)] * k)
    assert (high - low) / 2 == pytest.approx(scipy.stats.t.ppf(0.975, df) * np.sqrt(variance), rel=0.03)


@given(st.integers(1, 200).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_one_seed_is_clopper_and_pearsons_interval(counts):
    right, total = counts
    wanted = scipy.stats.binomtest(right, total).proportion_ci(0.95, method="exact")
    found = accuracy_interval([np.arange(total) < right], [np.arange(total)])
    np.testing.assert_allclose(found, (right / total, wanted.low, wanted.high), rtol=1e-9, atol=1e-12)


@given(COUNTS)
def test_one_seed_is_bonett_and_prices_interval(joint):
    """Their section 2: one image more of each kind that only one method gets right, of n + 2."""
    a, b = paired(*joint[0])
    _, only_a, only_b, _ = joint[0]
    n = len(a)
    first, second = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = scipy.stats.norm.ppf(0.975) * np.sqrt((first + second - (first - second) ** 2) / (n + 2))
    mean, low, high = difference_interval([a], [b], [np.arange(n)])
    assert mean == pytest.approx((only_a - only_b) / n)
    assert (low, high) == pytest.approx((max(first - second - half, -1), min(first - second + half, 1)), abs=1e-12)


def test_the_interval_sees_the_spread_over_seeds():
    tight = [np.arange(100) < 70] * 4
    wide = [np.arange(100) < k for k in (50, 65, 75, 90)]
    mean, low, high = accuracy_interval(tight, apart(tight))
    wide_mean, wide_low, wide_high = accuracy_interval(wide, apart(wide))
    assert mean == wide_mean == pytest.approx(0.7)
    assert wide_high - wide_low > 1.5 * (high - low)


@pytest.mark.parametrize("shown", SHOWN)
def test_the_paired_test_keeps_its_level_and_finds_what_is_there(shown):
    """Two methods on the same images whose skills differ by nothing, or by 11 points, and vary over seeds by 2."""
    rejected = {0.0: 0, 0.32: 0}
    hits, trials = 0, 400
    for trial in range(trials):
        for gain in rejected:
            rng = np.random.default_rng(trial)
            images, pool = pools(rng, 3, shown, 300)
            easiness = 1.5 * rng.standard_normal(pool)
            a, b = (
                [easiness[i] + 0.06 * rng.standard_normal() + more + rng.standard_normal(300) > 0 for i in images]
                for more in (gain, 0.0)
            )
            (_, low, high), p = paired_test(a, b, images)
            rejected[gain] += p <= 0.05
            hits += not gain and low <= 0 <= high
    assert hits >= 0.91 * trials
    assert rejected[0.0] <= 0.07 * trials
    assert rejected[0.32] >= 0.6 * trials


def test_p_is_no_smaller_than_mcnemars_and_follows_the_interval():
    a, b = paired(200, 18, 2, 180)
    (_, low, high), p = paired_test([a], [b], apart([a]))
    assert 0 < low < high
    assert mcnemar(18, 2) <= p < 0.001
    shared, own = (paired_test([a] * 4, [b] * 4, images)[1] for images in ([np.arange(400)] * 4, apart([a] * 4)))
    assert mcnemar(72, 8) <= own < shared < 0.01  # four times the same outcomes are no more evidence
    everywhere = np.ones(40, bool)
    assert paired_test([everywhere], [~everywhere], apart([everywhere]))[1] == pytest.approx(mcnemar(40, 0), rel=1e-12)


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
    (same, low, high), p = paired_test(a, a, apart(a))
    assert (same, -low, p) == (0, high, 1)
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
    found = [spread(*seen(rng, 10, shown, TRUTH, 300, skill_of(TRUTH, truth))) for _ in range(200)]
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


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (0.0, 1.0), (-2.0, 2.0)])
def test_seeds_that_agree_have_an_interval_of_some_width(bounds):
    """As of k n + 2 images that all have one value but two, which have the least and the largest."""
    middle = sum(bounds) / 2
    images = np.array([*[middle] * 150, *bounds])
    wanted = scipy.stats.t.ppf(0.975, 2) * images.std() / np.sqrt(152)
    mean, low, high = seed_interval([middle] * 3, 50, bounds)
    assert mean == middle
    np.testing.assert_allclose((low, high), (middle - wanted, middle + wanted), rtol=1e-9)
    assert seed_interval([bounds[1]] * 3, 50, bounds)[2] == bounds[1]
    values = [middle - 0.1, middle, middle + 0.05]
    assert seed_interval(values, 50, bounds) == student_interval(values)
