"""Intervals of accuracies, paired comparisons of two methods, and where the spread of an accuracy comes from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from advntk.foundation.errors import InputError

Interval = tuple[float, float, float]
"""(value, low, high)."""

LEVEL = 0.95


def student_interval(values: Sequence[float]) -> Interval:
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


def geometric_interval(values: Sequence[float]) -> Interval:
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


@dataclass(frozen=True, kw_only=True)
class _Estimate:
    """A mean over seeds and test images.

    Attributes:
        mean: mean over seeds of each seed's mean.
        variance: of that mean, over seeds and over test images.
        df: degrees of freedom of ``variance``.
        seed_variance: between seeds, beyond what the finite test set explains.
        test_variance: of one seed's mean, by the finite test set.
    """

    mean: float
    variance: float
    df: float
    seed_variance: float
    test_variance: float

    def interval(self, least: float) -> Interval:
        """(mean, low, high), 95% by Student's t, cut off at ``least`` and 1."""
        half = float(scipy.stats.t.ppf(0.5 + LEVEL / 2, self.df)) * math.sqrt(self.variance)
        return self.mean, max(self.mean - half, least), min(self.mean + half, 1.0)

    @property
    def p(self) -> float:
        """Of the t test that the mean is 0, two-sided."""
        if self.mean == 0 or self.variance == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * scipy.stats.t.sf(abs(self.mean) / math.sqrt(self.variance), self.df))


def _estimate(values: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> _Estimate:
    """Variance components by the method of moments.

    The means of k seeds vary by σ² over seeds and by v over test sets; images that two seeds share move both alike, by
    the covariance c of their values. The variance between the means of seeds is then σ² + v − c, that of their mean
    σ²/k + v/k + (k − 1) c/k. Only σ² is known from few numbers: the degrees of freedom are those of its part
    (Satterthwaite 1946).

    Args:
        values: one array (n_test,) a seed.
        images: which test images these are, one integer array (n_test,) a seed, each image once.

    Returns:
        The estimate. With one seed the spread over seeds is not in it.
    """
    seeds, sizes = len(values), [len(one) for one in values]
    means = np.array([float(np.mean(one)) for one in values])
    offs = [one - mean for one, mean in zip(values, means, strict=True)]
    noise = float(np.mean([np.sum(off**2) / (n * max(n - 1, 1)) for off, n in zip(offs, sizes, strict=True)]))
    between = common = 0.0
    if seeds > 1:
        pairs = itertools.combinations(range(seeds), 2)
        found = np.mean([_covariance(offs[one], offs[other], images[one], images[other]) for one, other in pairs])
        common = min(max(float(found), 0.0), noise)
        between = max(float(means.var(ddof=1)) - (noise - common), 0.0)
    variance = (between + noise + (seeds - 1) * common) / seeds
    df = float(np.mean(sizes)) - 1
    if between > 0:
        df = min(df, (seeds - 1) * (variance / (between / seeds)) ** 2)
    return _Estimate(
        mean=float(means.mean()),
        variance=variance,
        df=max(df, 1.0),
        seed_variance=between if seeds > 1 else math.nan,
        test_variance=noise,
    )


def _covariance(a: np.ndarray, b: np.ndarray, images_a: np.ndarray, images_b: np.ndarray) -> float:
    """Covariance of the means of two seeds by the images that both saw, from their deviations."""
    _, left, right = np.intersect1d(images_a, images_b, assume_unique=True, return_indices=True)
    return float(np.sum(a[left] * b[right]) / (len(a) * len(b)))


def accuracy_interval(outcomes: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> Interval:
    """Mean accuracy and its 95% interval over seeds and test images.

    Args:
        outcomes: one boolean array (n_test,) a seed.
        images: which test images these are, one integer array (n_test,) a seed.

    Returns:
        (mean, low, high). With one seed the spread over seeds is not in it.
    """
    return _estimate(outcomes, images).interval(0.0)


def difference_interval(a: Sequence[np.ndarray], b: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> Interval:
    """Mean difference of two methods' accuracies and its 95% interval over seeds and test images, paired.

    Args:
        a: one boolean array (n_test,) a seed.
        b: the same of the other method, for the same seeds and images in the same order.
        images: which test images these are, one integer array (n_test,) a seed.

    Returns:
        (accuracy of a − accuracy of b, low, high). With one seed the spread over seeds is not in it.
    """
    return paired_test(a, b, images)[0]


def paired_test(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], images: Sequence[np.ndarray]
) -> tuple[Interval, float]:
    """As :func:`difference_interval`, and whether the two methods are equally accurate.

    Returns:
        The interval, and p, two-sided: the larger of the t test that belongs to the interval, which is approximate
        where few outcomes differ, and of McNemar's exact test on the outcomes of all seeds, which takes them for
        outcomes on independent images and knows no spread over seeds.
    """
    differences = [np.subtract(x, y, dtype=float) for x, y in zip(a, b, strict=True)]
    found = _estimate(differences, images)
    return found.interval(-1.0), max(found.p, mcnemar(*discordant(a, b)))


def discordant(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> tuple[int, int]:
    """How many outcomes of all seeds only the first method gets right, and only the second."""
    pairs = list(zip(a, b, strict=True))
    return sum(int(np.sum(x & ~y)) for x, y in pairs), sum(int(np.sum(y & ~x)) for x, y in pairs)


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
        test_sd: of the finite test set.
    """

    seed_sd: float
    test_sd: float


def spread(outcomes: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> Spread:
    """Split the variance of the accuracy between seeds into that of seeds and that of test sets.

    Args:
        outcomes: one boolean array (n_test,) a seed.
        images: which test images these are, one integer array (n_test,) a seed.

    Returns:
        Both standard deviations.
    """
    found = _estimate(outcomes, images)
    return Spread(seed_sd=math.sqrt(found.seed_variance), test_sd=math.sqrt(found.test_variance))
