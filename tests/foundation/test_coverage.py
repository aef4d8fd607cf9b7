"""Do 95% intervals hold the truth, and at what width: exactly for one seed, simulated for more."""

import math

import numpy as np
import pytest
import scipy.stats

from advntk.foundation.statistics import accuracy_interval, difference_interval, seed_interval
from tests.foundation.outcomes import paired, seen, seen_by_two, skill_of

ENOUGH = 0.93
"""Coverage that intervals of 95% must reach."""
SIZES = (40, 100, 1000)
CORNERS = ((40, 0.5), (100, 0.01), (1000, 0.5))
"""Test images and accuracies that are hard to cover."""
PAIRS = ((0.01, 0.0), (0.01, 0.01), (0.05, 0.02), (0.3, 0.3))
"""Probabilities that only the first method is right, and only the second."""
SHARED = (("own", 0.0), ("shared", 0.0), ("shared", 0.8), ("some", 0.8))
"""Whether seeds share images, and how much an outcome is the image's own."""
TRIALS = 1000
ERROR = math.sqrt(0.05 * 0.95 / TRIALS)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("truth", [0.0, 0.001, 0.01, 0.1, 0.5, 0.99, 1.0])
def test_one_seed_covers_an_accuracy(n, truth):
    """Every number of right images, by its probability."""
    intervals = np.array([accuracy_interval([np.arange(n) < right], [np.arange(n)]) for right in range(n + 1)])
    held = (intervals[:, 1] <= truth) & (truth <= intervals[:, 2])
    assert held @ scipy.stats.binom.pmf(np.arange(n + 1), n, truth) >= 0.95


@pytest.mark.parametrize("n", [40, 100])
@pytest.mark.parametrize("only", [(0.0, 0.0), (0.001, 0.0), (0.05, 0.0), *PAIRS[:3], (0.97, 0.0), (0.98, 0.01)])
def test_one_seed_covers_a_difference(n, only):
    """Every pair of numbers of images that only one method gets right, by its probability."""
    counts = [(a, b) for a in range(n + 1) for b in range(n + 1 - a)]
    chance = scipy.stats.multinomial.pmf([(a, b, n - a - b) for a, b in counts], n, (*only, 1 - sum(only)))
    held = 0.0
    for (a, b), weight in zip(counts, chance, strict=True):
        if weight > 1e-7:
            _, low, high = difference_interval(*([one] for one in paired(0, a, b, n - a - b)), [np.arange(n)])
            held += weight * (low <= only[0] - only[1] <= high)
    assert held >= ENOUGH


def accuracies(trials, n, truth, seeds, shown, ratio, common=0.5):
    """Share of intervals that hold the truth, and their mean width.

    Args:
        trials: how many.
        n: test images of a seed.
        truth: accuracy.
        seeds: how many.
        shown: key of ``SHOWN``.
        ratio: standard deviation of seeds over that of a test set.
        common: as in ``seen``.
    """
    rng, skill = np.random.default_rng(0), skill_of(truth, ratio * math.sqrt(truth * (1 - truth) / n))
    found = [accuracy_interval(*seen(rng, seeds, shown, truth, n, skill, common)) for _ in range(trials)]
    _, low, high = np.array(found).T
    return np.mean((low <= truth) & (truth <= high)), np.mean(high - low)


def differences(trials, n, only, seeds, shown, ratio, common=0.5):
    """The same of two methods' difference."""
    rng, truth = np.random.default_rng(0), only[0] - only[1]
    seed_sd = ratio * math.sqrt((sum(only) - truth**2) / n)
    found = [difference_interval(*seen_by_two(rng, seeds, shown, only, n, seed_sd, common)) for _ in range(trials)]
    _, low, high = np.array(found).T
    return np.mean((low <= truth) & (truth <= high)), np.mean(high - low)


@pytest.mark.parametrize("shown", ["shared", "own"])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("n", "truth"), CORNERS)
def test_few_seeds_cover_an_accuracy(n, truth, seeds, shown):
    """Seeds differ as much as test sets do."""
    assert accuracies(250, n, truth, seeds, shown, 1.0)[0] >= ENOUGH


@pytest.mark.parametrize("shown", ["shared", "own"])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(("only", "ratio"), [(PAIRS[0], 0.0), (PAIRS[2], 0.0), (PAIRS[3], 1.0)])
def test_few_seeds_cover_a_difference(only, ratio, seeds, shown):
    assert differences(250, 100, only, seeds, shown, ratio)[0] >= ENOUGH


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(("shown", "common"), SHARED)
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("truth", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("n", SIZES)
def test_seeds_cover_an_accuracy(n, truth, seeds, shown, ratio, common):
    """Seeds that differ by twice as much as test sets do are not promised 93%."""
    least = 0.9 if ratio > 1 else ENOUGH
    assert accuracies(TRIALS, n, truth, seeds, shown, ratio, common)[0] >= least - 2 * ERROR


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize(("shown", "common"), SHARED)
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("only", PAIRS)
@pytest.mark.parametrize("n", SIZES)
def test_seeds_cover_a_difference(n, only, seeds, shown, ratio, common):
    if ratio and min(only) < math.sqrt(sum(only) / n):
        ratio = 0.0  # a probability would fall below 0 in some seeds
    assert differences(TRIALS, n, only, seeds, shown, ratio, common)[0] >= ENOUGH - 2 * ERROR


@pytest.mark.parametrize(("seeds", "least"), [(2, 0.8), (3, 0.87), (5, 0.9)])
def test_seeds_that_differ_far_more_than_test_sets_are_covered_less(seeds, least):
    assert least <= accuracies(500, 300, 0.7, seeds, "shared", 4.0)[0] <= 0.97


@pytest.mark.parametrize(("shown", "most"), [("shared", (1.06, 1.7, 1.3, 1.2)), ("own", (1.06, 2.4, 1.9, 1.6))])
def test_intervals_are_no_wider_than_need_be(shown, most):
    """Over 2·1.96 standard deviations of means, where seeds do not differ; few seeds cannot know that."""
    for seeds, bound in zip((1, 2, 3, 5), most, strict=True):
        rng = np.random.default_rng(0)
        found = np.array([accuracy_interval(*seen(rng, seeds, shown, 0.5, 1000, 0.0)) for _ in range(300)])
        assert 0.95 <= np.mean(found[:, 2] - found[:, 1]) / (2 * 1.96 * found[:, 0].std()) <= bound


def test_seeds_that_agree_by_chance_are_covered():
    """Differences of two accuracies where only these are known; one image in 50 makes one."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(500):
        gains = (rng.binomial(50, 0.02, 3) - rng.binomial(50, 0.02, 3)) / 50
        _, low, high = seed_interval(gains, 50)
        covered += low <= 0 <= high
    assert covered >= ENOUGH * 500
