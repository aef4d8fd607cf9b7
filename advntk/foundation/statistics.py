"""Intervals of accuracies, paired comparisons of two methods, and where the spread of an accuracy comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from advntk.foundation.errors import InputError

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
    outcomes: Sequence[np.ndarray], *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean accuracy and its 95% percentile interval, resampling seeds and, within each, examples.

    Args:
        outcomes: one boolean array (n_test,) a seed.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Returns:
        (mean, low, high). With one seed only the examples are resampled: the spread over seeds is then not in it.
    """
    # within a seed the mean of n resampled outcomes is binomial: no need to draw the examples one by one
    generator = np.random.default_rng(seed)
    rates = np.array([float(np.mean(outcome)) for outcome in outcomes])
    sizes = np.array([len(outcome) for outcome in outcomes])
    chosen = generator.integers(len(rates), size=(resamples, len(rates)))
    means = (generator.binomial(sizes[chosen], rates[chosen]) / sizes[chosen]).mean(axis=1)
    return float(rates.mean()), *_percentiles(means)


def paired_bootstrap(
    a: Sequence[np.ndarray], b: Sequence[np.ndarray], *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Mean difference of two methods' accuracies and its 95% percentile interval, by resampling pairs.

    Seeds are resampled and, within each, examples; an example takes the outcomes of both methods along.

    Args:
        a: one boolean array (n_test,) a seed.
        b: the same of the other method, for the same seeds and examples in the same order.
        seed: of the resampling.
        resamples: number of bootstrap samples.

    Returns:
        (accuracy of a − accuracy of b, low, high). With one seed only the examples are resampled.
    """
    # the joint outcomes of n resampled examples are multinomial; examples that both get right or both get wrong move
    # nothing and share the last place
    generator = np.random.default_rng(seed)
    sizes = np.array([len(outcome) for outcome in a])
    pairs = list(zip(a, b, strict=True))
    rates = np.array([(np.mean(x & ~y), np.mean(y & ~x), np.mean(x == y)) for x, y in pairs], dtype=float)
    chosen = generator.integers(len(rates), size=(resamples, len(rates)))
    counts = generator.multinomial(sizes[chosen], rates[chosen])
    differences = ((counts[..., 0] - counts[..., 1]) / sizes[chosen]).mean(axis=1)
    return float(np.mean(rates[:, 0] - rates[:, 1])), *_percentiles(differences)


def _percentiles(resampled: np.ndarray) -> tuple[float, float]:
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
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
        seed_sd: of training and split, beyond what the finite test set explains; NaN with one seed. A lower bound
            where all seeds share their test images, whose noise then moves all seeds alike.
        test_sd: of the finite test set, binomial.
    """

    seed_sd: float
    test_sd: float


def spread(outcomes: Sequence[np.ndarray]) -> Spread:
    """Split the variance of the accuracy between seeds by the method of moments: observed − binomial, at least 0.

    Args:
        outcomes: one boolean array (n_test,) a seed.

    Returns:
        Both standard deviations.
    """
    rates = np.array([float(np.mean(outcome)) for outcome in outcomes])
    noise = float(np.mean([rate * (1 - rate) / len(outcome) for rate, outcome in zip(rates, outcomes, strict=True)]))
    between = float(np.sqrt(max(0.0, rates.var(ddof=1) - noise))) if len(rates) > 1 else float("nan")
    return Spread(seed_sd=between, test_sd=float(np.sqrt(noise)))
