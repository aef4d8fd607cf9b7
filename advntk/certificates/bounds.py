"""Lower bounds of a margin Σ_i β_i Θ(x', x_i) over a threat set, by a polynomial p_i that is kept of each Θ(·, x_i).

Σ β_i p_i is minimised as a whole, so that what cancels between training images is gone, and Θ − p_i is bounded for each
of them alone: p affine (bound b), quadratic (c) or cubic (d). See docs/certificates.md, lemmas 6 to 9.
"""

from __future__ import annotations

import math

import numpy as np

from advntk.certificates.cubic import cubic_terms
from advntk.certificates.enclosures import Cells, Enclosure, central_jets, economised, enclosure
from advntk.certificates.geometry import Scene, ThreatSet
from advntk.certificates.network import InfiniteMlp, gamma
from advntk.certificates.quadratic import quadratic_minimum, separable_minimum

COARSE: Cells = (2, 1)
FINE: Cells = (4, 2)
"""Cells for bound b, and for c and d."""
SPREAD = 2.0
"""Largest |U_i| max |Y|, at least 1, of a training image whose cubic terms are kept in bound d."""
CUBES = 6
"""Place of the first cubic coefficient."""
PLACES = {(1, 0): 1, (0, 1): 2, (2, 0): 3, (1, 1): 4, (0, 2): 5, (3, 0): 6, (2, 1): 7, (1, 2): 8, (0, 3): 9}


class Bounds:
    """Lower bounds of the margins of one image over its threat set.

    Args:
        network: the predictor.
        place: the threat set.
        label: y.
    """

    def __init__(self, network: InfiniteMlp, place: ThreatSet, label: int) -> None:
        self.network, self.place, self.label = network, place, label
        self.scene = Scene(network, place)
        self.weights = network.coef[:, [label]] - network.coef  # β of every class, (n, c)
        self.usable = self.scene.least_variance > 0
        self._jets: np.ndarray | None = None
        self._enclosures: dict[Cells, Enclosure] = {}
        self._parts: dict[tuple[int, Cells], tuple[np.ndarray, np.ndarray]] = {}
        single = network.float32_error(self.scene.q_most)
        # the sum in float64, and the float32 entries, of the margin that the predictor computes
        operations = gamma(2 * len(single) + 20)
        size = np.abs(network.coef) + np.abs(network.coef[:, [label]])
        entries = network.diagonal(np.array(self.scene.q_most)) * network.diagonal(network.squares) + single
        self.allowance = single @ np.abs(self.weights) + operations * (entries @ size)

    def _polynomial(self, degree: int, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients p (n, 10), and ranges of Θ − p (n, 2)."""
        if (degree, cells) not in self._parts:
            if self._jets is None:
                self._jets = central_jets(self.scene)
            if cells not in self._enclosures:
                self._enclosures[cells] = enclosure(self.scene, cells)
            p = economised(self._jets, degree)
            if degree == 3:  # of a training image nearby, x is mostly |δ|², and lemma 8 pays much for its cube
                near = self.scene.norms * math.sqrt(self.place.length2) > SPREAD
                p[near] = economised(self._jets, 2)[near]
            self._parts[degree, cells] = p, self._enclosures[cells].remainders(p)
        return self._parts[degree, cells]

    def _rest(self, p: np.ndarray, ranges: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Lower bounds of Σ β (Θ − p) less all rounding of Σ β p, for β (n, k)."""
        scene = self.scene
        size = sum(np.abs(p[:, place]) * scene.size_x**i * scene.size_y**j for (i, j), place in PLACES.items())
        size = size + np.abs(p[:, 0]) + np.abs(ranges).max(axis=1)
        rounding = gamma(2 * (len(p) + 2 * self.network.pixels) + 300)
        lowest = np.maximum(weights, 0).T @ ranges[:, 0] + np.minimum(weights, 0).T @ ranges[:, 1]
        return np.asarray(lowest - rounding * (np.abs(weights).T @ size))

    def affine(self, cells: Cells = COARSE) -> np.ndarray:
        """Bound b of every class, (c,); infinite for the label itself."""
        if not self.usable:
            return self._of_label(np.full(self.weights.shape[1], -np.inf))
        scene, beta = self.scene, self.weights
        p, ranges = self._polynomial(1, cells)
        slopes = beta * (p[:, [1]] / scene.h[:, None])
        linear = np.zeros((beta.shape[1], self.network.pixels))
        for part, tile in self.network.tiles():
            linear += slopes[part].T @ tile
        along_x, along_y = slopes * scene.kappa[:, None], p[:, 2] @ beta
        linear -= 2 * along_x.sum(axis=0)[:, None] * self.place.centre
        linear *= self.place.radii
        last = -along_x.sum(axis=0) * (self.place.reach / 2) + along_y * scene.xi[-1]
        linear += along_y[:, None] * scene.xi[:-1]
        constant = p[:, 0] @ beta - (p[:, 1] * scene.shift_x) @ beta - along_y * scene.shift_y
        rest = self._rest(p, ranges, beta)
        found = [
            constant[c] - last[c] + rest[c]
            + separable_minimum(linear[c], last[c] * self.place.weights, ball=self.place.ball)
            for c in range(beta.shape[1])
        ]  # fmt: skip
        return self._of_label(np.array(found) - self.allowance)

    def _of_label(self, bounds: np.ndarray) -> np.ndarray:
        bounds[self.label] = np.inf
        return bounds

    def quadratic(self, other: int, cells: Cells = FINE) -> float:
        """Bound c of one class."""
        return self._curved(other, 2, cells)

    def cubic(self, other: int, cells: Cells = FINE) -> float:
        """Bound d of one class."""
        return self._curved(other, 3, cells)

    def _curved(self, other: int, degree: int, cells: Cells) -> float:
        if not self.usable:
            return -math.inf
        p, ranges = self._polynomial(degree, cells)
        beta = self.weights[:, other]
        constant, linear, form, loss = self.expansion(p, beta)
        rest = float(self._rest(p, ranges, beta[:, None])[0]) - loss
        return constant + rest + quadratic_minimum(form, linear, self.place) - float(self.allowance[other])

    def expansion(self, p: np.ndarray, beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, float]:
        """Σ_i β_i p_i in scaled coordinates: within the last number of c + l·Y + ½ YᵀMY.

        Args:
            p: coefficients, (n, 10).
            beta: β, (n,).

        Returns:
            c, l, M and a bound of the cubic terms that are left out.
        """
        scene, size = self.scene, self.network.pixels + 1
        w = {powers: beta * p[:, place] for powers, place in PLACES.items()}
        e, f = scene.shift_x, scene.shift_y
        constant = float(beta @ p[:, 0] - w[1, 0] @ e - w[0, 1].sum() * f)
        constant += float(w[2, 0] @ e**2 + (w[1, 1] @ e) * f + w[0, 2].sum() * f * f - w[3, 0] @ e**3)
        along = w[1, 0] - 2 * w[2, 0] * e - w[1, 1] * f + 3 * w[3, 0] * e**2
        across = float(w[0, 1].sum() - w[1, 1] @ e - 2 * w[0, 2].sum() * f)
        bend = 2 * w[2, 0] - 6 * w[3, 0] * e
        linear, mixed = across * scene.xi, np.zeros(size)
        form = 2 * float(w[0, 2].sum()) * np.outer(scene.xi, scene.xi)
        for part, tile in self.network.tiles():
            u = scene.directions(part, tile)
            linear += along[part] @ u
            mixed += w[1, 1][part] @ u
            form += (u * bend[part, None]).T @ u
        form += np.outer(mixed, scene.xi) + np.outer(scene.xi, mixed)
        loss = cubic_terms(scene, w) if p[:, CUBES:].any() else 0.0
        return constant, linear, (form + form.T) / 2, loss
