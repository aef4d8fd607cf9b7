"""Intervals of accuracies, paired comparisons of two methods, and where the spread of an accuracy comes from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from advntk.foundation.errors import InputError

Interval = tuple[float, float, float]
"""(value, low, high)."""

LEVEL = 0.95
RESAMPLES = 2000


def student_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of independent repetitions and its 95% interval by Student's t.

    Args:
        values: one number a seed, at least two.

    Returns:
        (mean, low, high).

    Raises:
        InputError: fewer than two: no spread, no interval.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        raise InputError("one repetition has no interval", where="student_interval", remedy="give more seeds")
    mean, half = (
        float(numbers.mean()),
        float(scipy.stats.sem(numbers) * scipy.stats.t.ppf(0.5 + LEVEL / 2, len(numbers) - 1)),
    )
    return mean, mean - half, mean + half


def geometric_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of independent repetitions, all > 0, and its 95% interval: Student's on their logarithms."""
    value, low, high = np.exp(student_interval(list(np.log(values))))
    return float(value), float(low), float(high)


def power_of(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent p of values ∝ sizes^p, by least squares between logarithms.

    Args:
        sizes: > 0, at least two different ones.
        values: > 0, one a size.

    Returns:
        p.
    """
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def wilson(correct: int, total: int) -> tuple[float, float]:
    """95% Wilson score interval of a proportion ``correct / total``."""
    interval = scipy.stats.binomtest(correct, total).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap_mean(
    outcomes: Sequence[np.ndarray], images: Sequence[np.ndarray], *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Mean accuracy and its 95% percentile interval, resampling seeds and images.

    Args:
        outcomes: one boolean array (n_test,) a seed.
        images: which test images these are, one integer array (n_test,) a seed.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Returns:
        (mean, low, high). With one seed only the images are resampled: the spread over seeds is then not in it.
    """
    drawn = _resampled(outcomes, images, seed, resamples)
    return float(np.mean([np.mean(outcome) for outcome in outcomes])), *_percentiles(drawn, 0.0)


def paired_bootstrap(
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean difference of two methods' accuracies and its 95% percentile interval, by resampling seeds and images.

    An image takes the outcomes of both methods along.

    Args:
        a: one boolean array (n_test,) a seed.
        b: the same of the other method, for the same seeds and images in the same order.
        images: which test images these are, one integer array (n_test,) a seed.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Returns:
        (accuracy of a − accuracy of b, low, high). With one seed only the images are resampled.
    """
    return paired_test(a, b, images, seed=seed, resamples=resamples)[0]


def paired_test(
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    images: Sequence[np.ndarray],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[Interval, float]:
    """As :func:`paired_bootstrap`, and whether the two methods are equally accurate.

    Returns:
        The interval, and p, two-sided: the larger of McNemar's exact test on the outcomes of all seeds, which takes
        them for outcomes on independent images and knows no spread over seeds, and of a normal test with the
        bootstrap's standard error, which is approximate where few outcomes differ.
    """
    differences = [np.subtract(x, y, dtype=float) for x, y in zip(a, b, strict=True)]
    mean = float(np.mean([np.mean(difference) for difference in differences]))
    sign = -1.0 if mean < 0 else 1.0  # the order of the methods turns the sign and changes no draw
    drawn = sign * _resampled([sign * difference for difference in differences], images, seed, resamples)
    only_a, only_b = (sum(int(np.sum(one == side)) for one in differences) for side in (1, -1))
    error = float(drawn.std())
    normal = float(2 * scipy.stats.norm.sf(abs(mean) / error)) if error > 0 else 1.0
    return (mean, *_percentiles(drawn, -1.0)), max(mcnemar(only_a, only_b), normal)


def _resampled(values: Sequence[np.ndarray], images: Sequence[np.ndarray], seed: int, resamples: int) -> np.ndarray:
    """Means over seeds of resampled seeds and images; an image that is drawn is drawn for all seeds that were shown it.

    Where all seeds share their images, seeds and images are crossed (Owen 2007, "The pigeonhole bootstrap"); where none
    does, images are nested in seeds; digits lie between. Draws from k seeds have (k − 1)/k of their variance: the
    deviation from the mean of all is drawn out by √(k/(k − 1)).

    Returns:
        One mean a bootstrap sample, (resamples,).
    """
    names, places = np.unique(np.concatenate(images), return_inverse=True)
    seeds = len(values)
    table = np.zeros((len(names), 2 * seeds))  # of each image what it gave each seed, and whether it was shown to it
    ends = np.cumsum([len(one) for one in images])
    for index, (value, place) in enumerate(zip(values, np.split(places, ends[:-1]), strict=True)):
        table[place, index], table[place, seeds + index] = value, 1
    # images that gave all seeds the same are alike: how often each kind is drawn is all that counts
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(names), counts / len(names), size=resamples) @ kinds
    rates = drawn[:, :seeds] / np.maximum(drawn[:, seeds:], 1)
    chosen = generator.integers(seeds, size=(resamples, seeds))
    middle, picked = rates.mean(axis=1), np.take_along_axis(rates, chosen, axis=1).mean(axis=1)
    return np.asarray(middle + np.sqrt(seeds / max(seeds - 1, 1)) * (picked - middle))


def _percentiles(drawn: np.ndarray, least: float) -> tuple[float, float]:
    """Ends of the interval; values beyond ``least`` and 1, which the drawing out can give, are cut off."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail]).clip(least, 1.0)
    return float(low), float(high)


def mcnemar(only_a: int, only_b: int) -> float:
    """McNemar's exact test, two-sided, of whether two methods are equally often right on the same examples.

    Args:
        only_a: examples that only the first gets right.
        only_b: examples that only the second gets right.

    Returns:
        Its p; 1 where no example tells the two apart.
    """
    discordant = only_a + only_b
    return float(scipy.stats.binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p of a family of tests, in the order given; rejecting those ≤ α errs with probability ≤ α."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum((len(p) - np.arange(len(p))) * p[order], 1.0))
    return [float(value) for value in adjusted]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Where the spread of an accuracy over seeds comes from, as standard deviations of the accuracy of one seed.

    Attributes:
        seed_sd: of training and split, beyond what the finite test set explains; NaN with one seed.
        test_sd: of the finite test set, binomial.
    """

    seed_sd: float
    test_sd: float


def spread(outcomes: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> Spread:
    """Split the variance of the accuracy between seeds by the method of moments.

    Test images make accuracies vary by v = a (1 − a)/n; those that two seeds share move both alike, by the covariance c
    of their outcomes, and so show only v − c between seeds: seed_sd² = observed − (v − c), at least 0.

    Args:
        outcomes: one boolean array (n_test,) a seed.
        images: which test images these are, one integer array (n_test,) a seed.

    Returns:
        Both standard deviations.
    """
    rates = np.array([float(np.mean(outcome)) for outcome in outcomes])
    noise = float(np.mean([rate * (1 - rate) / len(outcome) for rate, outcome in zip(rates, outcomes, strict=True)]))
    if len(rates) == 1:
        return Spread(seed_sd=float("nan"), test_sd=float(np.sqrt(noise)))
    offs = [outcome - rate for outcome, rate in zip(outcomes, rates, strict=True)]
    pairs = list(itertools.combinations(range(len(rates)), 2))
    common = float(np.mean([_covariance(offs[one], offs[other], images[one], images[other]) for one, other in pairs]))
    between = float(np.sqrt(max(0.0, rates.var(ddof=1) - max(0.0, noise - common))))
    return Spread(seed_sd=between, test_sd=float(np.sqrt(noise)))


def _covariance(a: np.ndarray, b: np.ndarray, images_a: np.ndarray, images_b: np.ndarray) -> float:
    """Covariance of the means of two seeds by the images that both saw, from their deviations."""
    _, left, right = np.intersect1d(images_a, images_b, assume_unique=True, return_indices=True)
    return float(np.sum(a[left] * b[right]) / (len(a) * len(b)))
