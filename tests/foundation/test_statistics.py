"""Intervals: coverage on simulated data, agreement with the textbook, determinism."""

from __future__ import annotations

import numpy as np

from advntk.foundation.statistics import bootstrap_mean, wilson


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
