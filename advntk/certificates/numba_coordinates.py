"""The exact range of t over a threat set, for every training image (docs/certificates.md, lemma 1)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange

from advntk.certificates.compilation import compiled


@compiled(parallel=True)
def coordinate_ranges(
    rows: Any, centre: Any, radii: Any, kappa: Any, ball: bool, reach: float, low: Any, high: Any, size: Any, norm: Any
) -> None:
    """Ranges of t − t_0 = Σ_j ζ_j δ_j − κ δ_j², ζ = x_i − 2κ x_0, and sums of absolute values that bound its terms.

    Args:
        rows: training images, (n, d).
        centre: x_0.
        radii: r.
        kappa: κ, (n,).
        ball: whether the set is a ball.
        reach: R².
        low: filled, (n,).
        high: filled, (n,).
        size: filled, (n,): of Σ_j (|x_j| + 2|κ x_0j|) |δ_j| + |κ| R².
        norm: filled, (n,): √Σ_j (ζ_j r_j)².
    """
    for i in prange(rows.shape[0]):
        k = kappa[i]
        bend = abs(k)
        wide, tight, total, length, absolute, scaled = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for j in range(rows.shape[1]):
            x, r = np.float64(rows[i, j]), radii[j]
            slope, most = abs(x - 2.0 * k * centre[j]), abs(x) + 2.0 * abs(k * centre[j])
            length += slope * slope
            absolute += most * most
            total += most * r
            scaled += (slope * r) ** 2
            wide += slope * r
            curve = bend * r * r
            tight += slope * r - curve if slope * r >= 2.0 * curve else slope * slope / (4.0 * bend)
        if ball:
            total, wide = math.sqrt(absolute * reach), math.sqrt(length * reach)
            tight = wide - bend * reach if wide >= 2.0 * bend * reach else length / (4.0 * bend)
        size[i], norm[i] = total + bend * reach, math.sqrt(scaled)
        wide += bend * reach
        low[i], high[i] = (-wide, tight) if k >= 0.0 else (-tight, wide)
