"""P(D) and its gradient in float64 from one eigendecomposition: what the fast forms are held to.

With A = D^½ΘD^½ = UΛUᵀ, B = ΘD^½U, y = UᵀD^½Y and g = UᵀD^½G,

    P = D^½ U φ(Λ) y,                      e^{−sΘD}Y = Y − B α_s(Λ) y,    α_s(λ) = ∫₀ˢ e^{−rλ} dr,
    ∂L/∂D_i = Σ_k [G∘Y − G∘(B ψ(Λ) y) − (B ψ(Λ) g)∘Y]_ik + [B (K ∘ g yᵀ) Bᵀ]_ii,

where ψ(λ) = ∫₀¹ α_s(λ) ds = (e^{−λ} − 1 + λ)/λ². K(λ, μ) = ∫₀¹ α_{1−s}(λ) α_s(μ) ds is a convolution of four
exponentials, that is, the divided difference of exp at 0, 0, −λ, −μ: K = (ψ(λ) − ψ(μ))/(μ − λ). No D^{−½} appears, so
zeros in D are fine. Nothing here is shared with the code under test, which works with
e^{−sA} and divides by D^½ where it can.
"""

from __future__ import annotations

import numpy as np

LARGEST_N = 3000
"""Above this the O(n³) forms take too long, and errors are not measured."""

_SMALL = 0.5
_TERMS = 16
_ROWS = 256


def _phi(values: np.ndarray) -> np.ndarray:
    """φ(λ) = (1 − e^{−λ})/λ."""
    safe = np.where(values == 0, 1.0, values)
    return np.where(values == 0, 1.0, -np.expm1(-safe) / safe)


def psi(values: np.ndarray) -> np.ndarray:
    """ψ(λ) = (e^{−λ} − 1 + λ)/λ² = Σ_k (−λ)^k/(k + 2)!."""
    small = np.abs(values) < _SMALL
    series, term = np.zeros_like(values), np.full_like(values, 0.5)
    bounded = np.where(small, values, 0.0)
    for k in range(_TERMS):
        series += term
        term = -term * bounded / (k + 3)
    safe = np.where(small, 1.0, values)
    return np.where(small, series, (np.expm1(-safe) + safe) / safe**2)


def psi_slope(values: np.ndarray) -> np.ndarray:
    """ψ'(λ) = ((1 − e^{−λ})/λ − 2ψ(λ))/λ = −Σ_k (k + 1)(−λ)^k/(k + 3)!."""
    small = np.abs(values) < _SMALL
    series, term = np.zeros_like(values), np.full_like(values, -1 / 6)
    bounded = np.where(small, values, 0.0)
    for k in range(_TERMS):
        series += (k + 1) * term
        term = -term * bounded / (k + 4)
    safe = np.where(small, 1.0, values)
    return np.where(small, series, (_phi(safe) - 2 * psi(safe)) / safe)


def crossed(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """K(λ, μ) = (ψ(λ) − ψ(μ))/(μ − λ), as −∫₀¹ ψ'(λ + t(μ − λ)) dt where the difference would cancel.

    Args:
        left: λ, (a,).
        right: μ, (b,).

    Returns:
        K, (a, b).
    """
    lam, mu = np.broadcast_arrays(left[:, None], right[None, :])
    gap = mu - lam
    near = np.abs(gap) <= 0.5 * np.maximum(1.0, np.minimum(lam, mu))
    out = np.empty(lam.shape)
    far = ~near
    out[far] = (psi(left)[:, None] - psi(right)[None, :])[far] / gap[far]
    nodes, weights = np.polynomial.legendre.leggauss(12)
    start, length, total = lam[near], gap[near], np.zeros(int(near.sum()))
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        total -= weight * psi_slope(start + node * length)
    out[near] = total
    return out


def exact(
    theta: np.ndarray, diagonal: np.ndarray, targets: np.ndarray, cotangent: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """P(D) = Θ⁻¹(I − e^{−ΘD})Y and ∂(Σ P∘G)/∂D, dense, in float64.

    Args:
        theta: Θ as stored, (n, n).
        diagonal: D ≥ 0, (n,).
        targets: Y, (n, c).
        cotangent: G, (n, c).

    Returns:
        P (n, c) and the gradient (n,).
    """
    wide, root = theta.astype(np.float64), np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(root[:, None] * wide * root[None, :])
    images = wide @ (root[:, None] * vectors)
    del wide
    y, g = (vectors.T @ (root[:, None] * block) for block in (targets, cotangent))
    coef = root[:, None] * (vectors @ (_phi(values)[:, None] * y))
    mean = psi(values)[:, None]
    slope = (cotangent * (targets - images @ (mean * y)) - (images @ (mean * g)) * targets).sum(axis=1)
    for low in range(0, len(values), _ROWS):
        part = slice(low, low + _ROWS)
        weighted = crossed(values[part], values) * (g[part] @ y.T)
        slope += np.einsum("ia,ia->i", images[:, part], images @ weighted.T)
    return coef, slope


def relative_error(found: np.ndarray, wanted: np.ndarray) -> float | None:
    """‖found − wanted‖₂/‖wanted‖₂; None where it is not finite."""
    error = float(np.linalg.norm(np.asarray(found, np.float64) - wanted) / np.linalg.norm(wanted))
    return error if np.isfinite(error) else None
