"""Enclosures of Θ over a scene, and of what a polynomial p leaves of it."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from advntk.certificates.geometry import Scene
from advntk.certificates.numba_enclosures import CUBIC, TAYLOR, enclose_cells, remainder_ranges
from advntk.certificates.numba_jets import AT, PLACE, POWERS, SIZE

Cells = tuple[int, int]
"""Cells along t and along q, powers of two."""


@functools.cache
def shifts(cells: Cells) -> np.ndarray:
    """From coefficients of a cubic in (x, y) to those in the units of each cell, (cells, CUBIC, CUBIC), exact."""
    columns, rows = cells
    out = np.zeros((columns * rows, CUBIC, CUBIC))
    for cell in range(columns * rows):
        x, y = -1 + (2 * (cell % columns) + 1) / columns, -1 + (2 * (cell // columns) + 1) / rows
        for column, (i, j) in enumerate(POWERS[:CUBIC]):
            for row, (a, b) in enumerate(POWERS[:CUBIC]):
                if a <= i and b <= j:
                    power = x ** (i - a) * y ** (j - b)
                    out[cell, row, column] = math.comb(i, a) * math.comb(j, b) * power / columns**a / rows**b
    return out


@dataclass(frozen=True)
class Enclosure:
    """Θ over the cells of all training images; see :func:`enclose_cells` for the arrays."""

    cells: Cells
    kinds: np.ndarray
    jets: np.ndarray
    values: np.ndarray

    def remainders(self, p: np.ndarray) -> np.ndarray:
        """Ranges of Θ − p over the scene, (n, 2), for coefficients p, (n, CUBIC)."""
        out = np.empty((len(p), 2))
        remainder_ranges(self.kinds, self.jets, self.values, shifts(self.cells), np.ascontiguousarray(p), out)
        return out


def enclosure(scene: Scene, cells: Cells, *, at: float | None = None) -> Enclosure:
    """Enclose Θ over a scene.

    Args:
        scene: the coordinates.
        cells: how finely.
        at: not over the whole scene but at this x and y = 0 alone, in the same units.

    Returns:
        The enclosure.
    """
    network, n, count = scene.network, len(scene.h), cells[0] * cells[1]
    kinds, jets, values = np.empty((n, count), np.int8), np.empty((n, count, 2, SIZE)), np.empty((n, count, 2))
    enclose_cells(
        network.hidden,
        network.constants,
        scene.t_mid if at is None else scene.t_mid + at * scene.h,
        scene.h,
        scene.t_error,
        scene.q_mid,
        scene.g,
        scene.q_error,
        scene.kappa,
        network.variances(),
        scene.cosine if at is None else np.ones(n),
        *cells,
        1.0 if at is None else 0.0,
        kinds,
        jets,
        values,
    )
    return Enclosure(cells, kinds, jets, values)


def central_jets(scene: Scene) -> np.ndarray:
    """Taylor coefficients of Θ at the centre, about which p is made; not enclosures.

    Where Θ has none that are of use, the parabola in x through its values at the centre and at both ends takes their
    place.

    Returns:
        Coefficients, (n, SIZE).
    """
    centre = enclosure(scene, (1, 1), at=0.0)
    values = centre.values[:, 0].mean(axis=1)
    jets = centre.jets[:, 0].mean(axis=1)
    rough = centre.kinds[:, 0] != TAYLOR
    if rough.any():
        left, right = (enclosure(scene, (1, 1), at=side).values[:, 0].mean(axis=1)[rough] for side in (-1.0, 1.0))
        jets[rough] = 0.0
        jets[rough, 0] = values[rough]
        jets[rough, PLACE[1, 0]] = (right - left) / 2
        jets[rough, PLACE[2, 0]] = (right + left) / 2 - values[rough]
    return np.asarray(jets)


def economised(jets: np.ndarray, degree: int) -> np.ndarray:
    """Coefficients of p, (n, CUBIC): Taylor's of some degree, with the next terms folded in as Chebyshev has them.

    x³ ≈ ¾x and x⁴ ≈ x² − ⅛ over [−1, 1], and each even power in a mixed term ≈ ½. Any p is sound; this one is close.

    Args:
        jets: of :func:`central_jets`.
        degree: 1, 2 or 3.

    Returns:
        The coefficients.
    """

    def of(i: int, j: int) -> np.ndarray:
        return np.asarray(jets[:, AT[i, j]])

    p = np.zeros((len(jets), CUBIC))
    kept = (degree + 1) * (degree + 2) // 2
    p[:, :kept] = jets[:, :kept]
    if degree < 3:
        p[:, PLACE[1, 0]] += 0.75 * of(3, 0) + 0.5 * of(1, 2)
        p[:, PLACE[0, 1]] += 0.75 * of(0, 3) + 0.5 * of(2, 1)
    if degree > 1:
        p[:, PLACE[2, 0]] += of(4, 0) + 0.5 * of(2, 2)
        p[:, PLACE[0, 2]] += of(0, 4) + 0.5 * of(2, 2)
        p[:, PLACE[1, 1]] += 0.75 * (of(3, 1) + of(1, 3))
        p[:, 0] -= 0.125 * (of(4, 0) + of(0, 4)) + 0.25 * of(2, 2)
    return p
