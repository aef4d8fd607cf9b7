"""Intervals of accuracies: Wilson for one predictor, hierarchical bootstrap over seeds and examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.stats

LEVEL = 0.95
RESAMPLES = 2000


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
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(rates.mean()), float(low), float(high)
