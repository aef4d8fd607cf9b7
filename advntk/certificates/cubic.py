"""Lemma 8: bounds of the cubic terms of Σ_i β_i p_i after their cancellation over the training images."""

from __future__ import annotations

import math

import numpy as np

from advntk.certificates.geometry import Scene
from advntk.certificates.network import gamma
from advntk.certificates.quadratic import convexified


def cubic_terms(scene: Scene, w: dict[tuple[int, int], np.ndarray]) -> float:
    """Upper bound of |Σ w₃₀ (U_i·Y)³ + w₂₁ x²y + w₁₂ xy² + w₀₃ y³| over the threat set.

    Args:
        scene: the coordinates.
        w: β_i p_i by the exponents of x and y, each (n,).

    Returns:
        The bound.
    """
    size = scene.network.pixels + 1
    length2 = scene.place.length2
    squares = np.zeros((size, size))
    flat = np.zeros((size, size))
    across, twice = np.zeros(size), np.zeros(size)
    norms = scene.norms
    for part, tile in scene.network.tiles():
        u = scene.directions(part, tile)
        squares += (u * w[2, 1][part, None]).T @ u
        across += w[1, 2][part] @ u
        twice += (w[2, 1] * scene.shift_x)[part] @ u
        weighted = u * w[3, 0][part, None]
        for other, second in scene.network.tiles():
            if other.start > part.start:
                continue
            v = scene.directions(other, second)
            block = weighted.T @ ((u @ v.T) ** 2 @ (v * w[3, 0][other, None]))
            flat += block if other.start == part.start else block + block.T
    rounding = gamma(4 * len(norms) + 4 * size + 100)
    flat = (flat + flat.T) / 2
    cube = np.abs(w[3, 0]) @ norms**3
    found = length2**1.5 * math.sqrt(convexified(-flat)[1] + rounding * cube**2)
    found += length2 * (
        max(convexified(squares)[1], convexified(-squares)[1]) + rounding * float(np.abs(w[2, 1]) @ norms**2)
    )
    for side in (2 * twice, across):
        found += math.sqrt(length2) * float(np.linalg.norm(side)) if scene.place.ball else float(np.abs(side).sum())
    e = scene.shift_x
    found += abs(float(w[2, 1] @ e**2)) + abs(float(w[1, 2] @ e)) + abs(float(w[0, 3].sum()))
    absolute = np.abs(w[2, 1]) * (norms + np.abs(e)) ** 2 + np.abs(w[1, 2]) * (norms + np.abs(e)) + np.abs(w[0, 3])
    return float(found * (1 + 1e-10) + rounding * length2**1.5 * absolute.sum())
