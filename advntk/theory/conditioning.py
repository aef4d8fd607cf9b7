"""How well a symmetric positive definite matrix is conditioned, and where float64 ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Conditioning:
    """Of a symmetric matrix.

    Attributes:
        smallest: smallest eigenvalue over the largest; negative where the matrix is indefinite.
        floor: side × float64's rounding: smaller values count as 0.
    """

    smallest: float
    floor: float


def conditioning(matrix: np.ndarray) -> Conditioning:
    """Eigenvalues of a symmetric matrix, (n, n) or (n, c, n, c)."""
    side = round(matrix.size**0.5)
    values = np.linalg.eigvalsh(matrix.reshape(side, side))
    return Conditioning(smallest=float(values[0] / values[-1]), floor=float(side * np.finfo(np.float64).eps))


def weighted(gram: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Ξ^½ Θ Ξ^½ for Θ shared by classes, (n, n).

    Args:
        gram: Θ.
        rate: Ξ at time 1: numbers (n,) or symmetric positive definite blocks (n, c, c).

    Returns:
        (n, n) or (n, c, n, c).
    """
    if rate.ndim == 1:
        root = np.sqrt(rate)
        return np.asarray(root[:, None] * gram * root)
    values, vectors = np.linalg.eigh(rate)
    root = np.einsum("iak,ik,ibk->iab", vectors, np.sqrt(values), vectors)
    found = np.asarray(np.einsum("ij,iab,jbd->iajd", gram, root, root, optimize=True))
    return np.asarray((found + found.transpose(2, 3, 0, 1)) / 2)
