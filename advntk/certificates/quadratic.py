"""Minima of separable and of general quadratics over a threat set (docs/certificates.md, lemmas 6 and 7)."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from advntk.certificates.geometry import ThreatSet
from advntk.certificates.network import gamma

ITERATIONS = 60
"""Of the search for v."""


def separable_minimum(linear: np.ndarray, square: np.ndarray, *, ball: bool) -> float:
    """Lower bound of min Σ_j l_j Y_j + s_j Y_j² over |Y_j| ≤ 1, or over |Y| ≤ 1 where all s_j are equal (``ball``).

    Exact but for rounding, which is taken off.

    Args:
        linear: l, (d,).
        square: s, (d,).
        ball: which set.

    Returns:
        The bound.
    """
    if ball:
        linear, square = np.array([np.linalg.norm(linear)]), square.min(keepdims=True)
    inside = 2 * square > np.abs(linear)
    values = square - np.abs(linear)
    values[inside] = -(linear[inside] ** 2) / (4 * square[inside])
    return float(values.sum()) - gamma(2 * len(linear) + 20) * float(np.abs(linear).sum() + np.abs(square).sum())


def minimiser(linear: np.ndarray, square: np.ndarray, *, ball: bool) -> np.ndarray:
    """A point near the minimum that :func:`separable_minimum` bounds."""
    if ball:
        length, curvature = float(np.linalg.norm(linear)), float(square.min())
        way = -linear / length if length > 0 else np.eye(len(linear))[0]
        return np.asarray(way * (length / (2 * curvature) if 2 * curvature > length else 1.0))
    corner = np.where(linear > 0, -1.0, 1.0)
    inside = 2 * square > np.abs(linear)
    corner[inside] = -linear[inside] / (2 * square[inside])
    return corner


def convexified(form: np.ndarray) -> tuple[np.ndarray, float]:
    """The matrix M + μI, positive semidefinite beyond doubt, and μ.

    A Cholesky factorisation of M + μI − cI that runs to its end proves it: its backward error is below c.

    Args:
        form: M, symmetric.

    Returns:
        M + μI and a bound of μ, from above.
    """
    size = len(form)
    scale = float(np.abs(form).sum(axis=1).max())
    least = float(scipy.linalg.eigh(form, eigvals_only=True, subset_by_index=[0, 0], check_finite=False)[0])
    pad = 1e-11 * scale + 1e-290
    while True:
        mu = max(0.0, -least) + pad
        raised = form.copy()
        raised[np.diag_indices(size)] += mu
        reserve = 2 * gamma(size + 2) * float(np.abs(np.diag(raised)).sum())
        lowered = raised.copy()
        lowered[np.diag_indices(size)] -= reserve
        try:
            scipy.linalg.cholesky(lowered, lower=True, overwrite_a=True, check_finite=False)
        except scipy.linalg.LinAlgError:
            pad = 4 * pad + reserve
            continue
        return raised, mu + 4 * gamma(1) * (mu + scale)


def quadratic_minimum(form: np.ndarray, linear: np.ndarray, place: ThreatSet) -> float:
    """Lower bound of min l·Y + ½ Yᵀ M Y over the threat set (lemma 7).

    With N = M + μI ⪰ 0, any v gives ½ YᵀMY ≥ (Nv)·Y − ½ vᵀNv − ½ μ ΣY_j², which is separable. Frank and Wolfe's steps
    look for a good one; each that is better counts.

    Args:
        form: M, symmetric, (d + 1, d + 1).
        linear: l, (d + 1,).
        place: the set.

    Returns:
        The bound.
    """
    raised, mu = convexified(form)
    ball, weights = place.ball, place.weights
    rounding = gamma(3 * len(linear) + 40)
    total = float(np.abs(raised).sum())
    linear, last = linear[:-1], float(linear[-1])

    def lifted(y: np.ndarray) -> np.ndarray:
        return np.append(y, min(max(float(weights @ y**2) - 1.0, -1.0), 1.0))

    v = lifted(minimiser(linear, np.zeros(len(linear)), ball=ball))
    best = -math.inf
    for step in range(ITERATIONS):
        product = raised @ v
        slope, lift = linear + product[:-1], last + float(product[-1])
        square = lift * weights - mu / 2
        value = separable_minimum(slope, square, ball=ball) - lift - float(v @ product) / 2 - mu / 2
        best = max(best, value - rounding * (2 * total + np.abs(lift) + mu))
        corner = lifted(minimiser(slope, square, ball=ball))
        way = corner - v
        curvature = float(way @ (raised @ way))
        descent = -float(slope @ way[:-1] + lift * way[-1])
        length = 1.0 if curvature <= 0 else min(1.0, max(descent / curvature, 0.4 / (step + 2)))
        if float(np.abs(way).max()) < 1e-9:
            break
        v = v + length * way
    return best
