"""P(D) and its gradient in float64 from one eigendecomposition: what the fast forms are held to.

With A = D^½ΘD^½ = UΛUᵀ, B = ΘD^½U, y = UᵀD^½Y, g = UᵀD^½G and α_s(λ) = ∫₀ˢ e^{−rλ} dr,

    P = D^½ U α₁(Λ) y,   e^{−sΘD}Y = Y − B α_s(Λ) y,   ∂L/∂D_i = Σ_k ∫₀¹ [(G − B α_{1−s}(Λ)g) ∘ (Y − B α_s(Λ)y)]_ik ds.

The integrand is made of exponentials that decay from either end with rates up to λmax. Panels halve towards both ends
down to 1/λmax, and 16 Gauss-Legendre nodes on each are exact to rounding. No D^{−½} appears, so zeros in D are fine.
Nothing here is shared with the code under test, which works with e^{−sA} and divides by D^½ where it can.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from scipy.special import exprel

LARGEST_N = 3000  # above this the O(n³) forms take too long, and errors are not measured
_NODES = 16


def _alpha(times: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """α_s(λ) = (1 − e^{−sλ})/λ, (rates, times)."""
    return np.asarray(times * exprel(-times * rates[:, None]))


def _panels(fastest: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Nodes and weights on [0, 1], panel by panel, for exponentials of rates up to ``fastest`` from either end."""
    halvings = max(1, int(np.ceil(np.log2(max(fastest, 2.0)))))
    left = 0.5 ** np.arange(halvings + 1, 0, -1)
    edges = np.concatenate([[0.0], left, 1 - left[-2::-1], [1.0]])
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    for low, high in itertools.pairwise(edges):
        yield low + (high - low) * (nodes + 1) / 2, (high - low) * weights / 2


def exact(
    diagonal: np.ndarray, theta: np.ndarray, targets: np.ndarray, cotangent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P(D) (n, c) and ∂(Σ P∘G)/∂D (n,) for D ≥ 0, Θ as stored, Y and G: dense, in float64."""
    wide, root = theta.astype(np.float64), np.sqrt(diagonal)[:, None]
    values, vectors = np.linalg.eigh(root * wide * root.T)
    images = wide @ (root * vectors)
    y, g = (vectors.T @ (root * block) for block in (targets, cotangent))
    coef = root * (vectors @ (_alpha(np.ones(1), values) * y))
    slope = np.zeros(len(values))
    for times, weights in _panels(values[-1]):
        forward, backward = (
            block[:, None] - np.tensordot(images, _alpha(when, values)[:, :, None] * modes[:, None], axes=1)
            for block, modes, when in ((targets, y, times), (cotangent, g, 1 - times))
        )
        slope += np.einsum("isk,isk,s->i", forward, backward, weights)
    return coef, slope


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float | None:
    """‖found − wanted‖₂/‖wanted‖₂; None where it is not finite."""
    error = float(np.linalg.norm(np.asarray(found, np.float64) - wanted) / np.linalg.norm(wanted))
    return error if np.isfinite(error) else None
