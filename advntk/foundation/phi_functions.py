"""φ(z) = (1 − e^{−z})/z and its relatives, stable near 0, and a quadrature for products of them."""

from __future__ import annotations

import functools

import numpy as np

SERIES = 1e-3
"""Arguments below which a series is more exact than the closed form."""


def alpha(s: float | np.ndarray, eigenvalues: np.ndarray) -> np.ndarray:
    """α_s(λ) = (1 − e^{−sλ})/λ for λ ≥ 0, with α_s(0) = s."""
    safe = np.where(eigenvalues > 0, eigenvalues, 1.0)
    return np.where(eigenvalues > 0, -np.expm1(-s * safe) / safe, s)


def mean_alpha(s: float, eigenvalues: np.ndarray) -> np.ndarray:
    """The mean of α_t(λ) over 0 ≤ t ≤ s: (1 − φ(sλ))/λ for λ ≥ 0, s/2 at 0."""
    scaled = s * np.asarray(eigenvalues, dtype=np.float64)
    safe = np.where(scaled > SERIES, scaled, 1.0)
    exact = (1 + np.expm1(-safe) / safe) / safe
    return s * np.where(scaled > SERIES, exact, 0.5 - scaled / 6 + scaled**2 / 24 - scaled**3 / 120)


def phi(eigenvalues: np.ndarray) -> np.ndarray:
    """φ(λ) = (1 − e^{−λ})/λ, with φ(0) = 1."""
    return alpha(1.0, eigenvalues)


def graded_rule(rate: float, order: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1] for products of e^{−sλ} and e^{−(1−s)μ} with 0 ≤ λ, μ ≤ rate.

    Gauss-Legendre on panels that halve towards both ends down to 1/rate, so that the boundary layers of fast modes
    are resolved; the error is at rounding level.

    Returns:
        Nodes and weights.
    """
    panels = max(int(np.ceil(np.log2(max(rate, 1.0)))), 1)
    edges = np.concatenate([[0.0], 0.5 ** np.arange(panels, 0, -1)])
    edges = np.concatenate([edges, 1 - edges[-2::-1]])
    node, weight = _legendre(order)
    width = np.diff(edges)[:, None]
    return (edges[:-1, None] + width * (node + 1) / 2).ravel(), (width * weight / 2).ravel()


@functools.cache
def _legendre(order: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [−1, 1]; an eigenvalue problem each, so kept."""
    return np.polynomial.legendre.leggauss(order)
