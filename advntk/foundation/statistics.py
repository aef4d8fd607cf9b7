"""Intervals of accuracies, paired comparisons of two methods, and where the spread of an accuracy comes from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advntk.foundation.errors import InputError

Interval = tuple[float, float, float]
"""(value, low, high)."""

LEVEL = 0.95
_NORMAL = 1.9599639845400538
"""Upper end of the interval of a standard normal variable."""


def student_interval(values: Sequence[float], least_sd: float = 0.0) -> Interval:
    """Mean of independent repetitions and its 95% interval by Student's t.

    Args:
        values: one number a seed, at least two.
        least_sd: the standard deviation between seeds is taken to be at least this.

    Returns:
        (mean, low, high).

    Raises:
        InputError: fewer than two: no spread, no interval.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2:
        raise InputError("one repetition has no interval", where="student_interval", remedy="give more seeds")
    sd = max(float(numbers.std(ddof=1)), least_sd)
    mean, half = float(numbers.mean()), sd / math.sqrt(len(numbers)) * _quantile(len(numbers) - 1)
    return mean, mean - half, mean + half


def seed_interval(values: Sequence[float], images: int, bounds: tuple[float, float] = (-1.0, 1.0)) -> Interval:
    """Student's interval over seeds of what is computed from accuracies, where outcomes of images are not kept.

    Seeds that agree by chance must not have an interval of no width. The standard error over k seeds is taken to be at
    least √2 r/(k n + 2), r half the range of values: that of a mean over k n + 2 images of which all have the same
    value but two, one at either bound (the pseudo-counts of Bonett and Price 2012).

    Args:
        values: one number a seed, at least two: a difference of two accuracies, say.
        images: test images n of each seed.
        bounds: the least and the largest value possible; the interval is cut off there.

    Returns:
        (mean, low, high). It holds for these test images where all seeds share them.
    """
    (least, largest), seeds = bounds, len(values)
    least_sd = math.sqrt(2 * seeds) * (largest - least) / 2 / (seeds * images + 2)
    mean, low, high = student_interval(values, least_sd)
    return mean, max(low, least), min(high, largest)


def _quantile(df: float) -> float:
    """Student's t at the upper end of an interval; that of the normal distribution where ``df`` is infinite."""
    if math.isinf(df):
        return _NORMAL
    from scipy.special import stdtrit

    return float(stdtrit(df, 0.5 + LEVEL / 2))


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
    p, z2 = correct / total, _quantile(math.inf) ** 2 / total
    centre, half = (p + z2 / 2) / (1 + z2), math.sqrt(z2 * (p * (1 - p) + z2 / 4)) / (1 + z2)
    return centre - half if correct else 0.0, centre + half if correct < total else 1.0


@dataclass(frozen=True, kw_only=True)
class _Estimate:
    """A mean over seeds and test images.

    Attributes:
        mean: mean over seeds of each seed's mean.
        square: the same of the squared values.
        images: how many independent images of one seed would leave the mean as uncertain.
        df: degrees of freedom of that uncertainty; infinite with one seed.
        seed_variance: between seeds, beyond what the finite test set explains; NaN with one seed.
        test_variance: of one seed's mean, by the finite test set.
    """

    mean: float
    square: float
    images: float
    df: float
    seed_variance: float
    test_variance: float

    def proportion(self) -> Interval:
        """Clopper and Pearson's interval at the effective number of images, of an accuracy.

        The number is lowered by (z/t)² for few degrees of freedom (Korn and Graubard 1998).

        Returns:
            (mean, low, high).
        """
        from scipy.special import betaincinv

        total = self.images * (_quantile(math.inf) / _quantile(self.df)) ** 2
        right, tail = self.mean * total, (1 - LEVEL) / 2
        low = float(betaincinv(right, total - right + 1, tail)) if self.mean > 0 else 0.0
        high = float(betaincinv(right + 1, total - right, 1 - tail)) if self.mean < 1 else 1.0
        return self.mean, low, high

    def difference(self) -> tuple[Interval, float]:
        """The adjusted Wald interval of Bonett and Price (2012) at the effective number of images, of differences.

        It is that of two images more, of which each method gets another right alone.

        Returns:
            (mean, low, high), and p, two-sided, of the t test that the mean is 0: below 0.05 where the interval leaves
            out 0.
        """
        from scipy.special import stdtr

        total = self.images + 2
        centre = self.mean * self.images / total
        error = math.sqrt(((self.square * self.images + 2) / total - centre**2) / total)
        half = _quantile(self.df) * error
        p = float(2 * stdtr(self.df, -abs(centre) / error))
        return (self.mean, max(centre - half, -1.0), min(centre + half, 1.0)), p


_PRIOR, _PRIOR_DF = 1.5, 2
"""The prior of the variance between seeds' means, in that of a test set; and the degrees of freedom it counts for."""


def _estimate(values: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> _Estimate:
    """Variance components by the method of moments, with a prior where there is little to estimate them from.

    The means of k seeds vary by σ² over seeds and by v over test sets; images that two seeds share move both alike, by
    the covariance c of their means. The variance s² between the means of seeds is then σ² + v − c, that of their mean
    s²/k + c.

    * v: where all outcomes are equal, that of outcomes of any variance, which the effective number does not depend on.
    * c: c/v is estimated as if all seeds had the same sum of squares of 1 more, on images that they share as they share
      the others. Where outcomes hardly vary, seeds so count as alike.
    * s²: few seeds say little about it. The mean of its estimate, which has k − 1 degrees of freedom, and of 1.5 v,
      which counts for two (as in Smyth 2004), is taken where it is larger than the estimate; and it is v − c at least.
    * Degrees of freedom: Satterthwaite's (1946), those of s² being k + 1.

    Args:
        values: one array (n_test,) a seed, entries in {−1, 0, 1}.
        images: which test images these are, one integer array (n_test,) a seed, each image once.

    Returns:
        The estimate. With one seed the spread over seeds is not in it.
    """
    seeds, sizes = len(values), np.array([len(one) for one in values])
    means = np.array([float(np.mean(one)) for one in values])
    offs = [one - mean for one, mean in zip(values, means, strict=True)]
    sums = np.array([float(np.dot(off, off)) for off in offs])
    mean, square = float(means.mean()), float(np.mean([np.mean(np.square(one, dtype=float)) for one in values]))
    unit, share = (square - mean**2) or 1.0, float(np.mean(1 / sizes))
    found, unbiased = float(np.mean(sums / sizes**2)), float(np.mean(sums / (sizes * np.maximum(sizes - 1, 1))))
    noise = found or unit * share
    variance, df, between = noise, math.inf, math.nan
    if seeds > 1:
        pairs = [_common(offs[i], offs[j], images[i], images[j]) for i, j in itertools.combinations(range(seeds), 2)]
        covariance, overlap = (max(float(part), 0.0) for part in np.mean(pairs, axis=0))
        one = 1 / float(sizes.mean())
        common = noise * min((covariance + one * overlap) / (found + one * share), 1.0)
        apart, known = float(means.var(ddof=1)), seeds - 1 + _PRIOR_DF
        between = max(apart - (unbiased - min(covariance, unbiased)), 0.0)
        varied = max(apart, ((seeds - 1) * apart + _PRIOR_DF * _PRIOR * noise) / known)
        variance = max(varied, noise - common) / seeds + common
        df = known * (variance / (varied / seeds)) ** 2
    return _Estimate(
        mean=mean,
        square=square,
        images=unit / variance,
        df=df,
        seed_variance=between,
        test_variance=unbiased,
    )


def _common(a: np.ndarray, b: np.ndarray, images_a: np.ndarray, images_b: np.ndarray) -> tuple[float, float]:
    """What the images that two seeds share do to both their means.

    Args:
        a: deviations of the first seed's outcomes from their mean, (n_test,).
        b: of the second's.
        images_a: which test images the first seed's are, (n_test,).
        images_b: the second's.

    Returns:
        The covariance of the two means; and what it were if all deviations were 1.
    """
    if np.array_equal(images_a, images_b):
        products, shared = float(np.dot(a, b)), len(a)
    else:
        _, left, right = np.intersect1d(images_a, images_b, assume_unique=True, return_indices=True)
        products, shared = float(np.dot(a[left], b[right])), len(left)
    return products / (len(a) * len(b)), shared / (len(a) * len(b))


def accuracy_interval(outcomes: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> Interval:
    """Mean accuracy and its 95% interval over seeds and test images, of some width whatever the outcomes.

    Args:
        outcomes: one boolean array (n_test,) a seed.
        images: which test images these are, one integer array (n_test,) a seed.

    Returns:
        (mean, low, high). With one seed the spread over seeds is not in it.
    """
    return _estimate(outcomes, images).proportion()


def difference_interval(a: Sequence[np.ndarray], b: Sequence[np.ndarray], images: Sequence[np.ndarray]) -> Interval:
    """Mean difference of two methods' accuracies and its 95% interval over seeds and test images, paired.

    It has some width whatever the outcomes.

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
    interval, p = _estimate(differences, images).difference()
    return interval, max(p, mcnemar(*discordant(a, b)))


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
    from scipy.special import bdtr

    discordant = only_a + only_b
    return min(2 * float(bdtr(min(only_a, only_b), discordant, 0.5)), 1.0)


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
