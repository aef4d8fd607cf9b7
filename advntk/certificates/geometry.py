"""A threat set around one image, and the coordinates of each training image over it (docs/certificates.md, lemma 1).

Everything is said in scaled coordinates Y = (Y_1 … Y_d, Y_0): δ_j = r_j Y_j is the perturbation from the centre, and
Y_0 = Σ_j ω_j Y_j² − 1 = 2|δ|²/R² − 1 with R² the largest |δ|². All of them lie in [−1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from advntk.certificates.network import InfiniteMlp, gamma
from advntk.certificates.numba_coordinates import coordinate_ranges
from advntk.foundation import threads
from advntk.foundation.threat import ThreatModel

PIXEL = 2.0**-23
"""Rounding of an attacked pixel: of image + perturbation in float32, and of x − 0.5 in the predictor."""
STRETCH = 1.0 + 2.0**-20
"""Rounding of an ℓ2 length in float32."""
ANGLE = 1e-13
"""Error of the few angles that are computed here: arccos, arcsin, cos to 4 ulp."""


@dataclass(frozen=True)
class ThreatSet:
    """Centre and extent.

    Attributes:
        centre: x_0, minus 0.5, (d,).
        radii: r, (d,): of the box, or of the ball in every pixel.
        ball: whether Σ Y_j² ≤ 1, else |Y_j| ≤ 1 each.
        reach: R², bound of |δ|².
    """

    centre: np.ndarray
    radii: np.ndarray
    ball: bool
    reach: float

    @property
    def length2(self) -> int:
        """Bound of |Y|², Y_0 included."""
        return 2 if self.ball else len(self.radii) + 1

    @property
    def weights(self) -> np.ndarray:
        """ω, (d,)."""
        return np.asarray(2.0 * self.radii**2 / self.reach)


def threat_set(image: np.ndarray, threat: ThreatModel) -> ThreatSet:
    """All images that the predictor may be shown, float32 rounding included.

    Args:
        image: in [0, 1], (d,).
        threat: ball in ℓ∞, which is cut by the box, or in ℓ2, which is not.

    Returns:
        The set.
    """
    image = np.clip(image.astype(np.float64) - 0.5, -0.5, 0.5)
    if threat.norm == "linf":
        radius = threat.radius + PIXEL
        low, high = np.maximum(image - radius, -0.5), np.minimum(image + radius, 0.5)
        centre = (low + high) / 2
        radii = np.maximum(np.maximum(high - centre, centre - low), PIXEL / 2) * (1 + 1e-15)
        return ThreatSet(centre, radii, False, float(radii @ radii) * (1 + gamma(len(image) + 4)))
    radius = threat.radius * STRETCH + math.sqrt(len(image)) * PIXEL
    return ThreatSet(image, np.full(len(image), radius), True, radius**2 * (1 + 1e-15))


class Scene:
    """The coordinates (x, y) of all training images over a threat set: t = t_mid + h x, q = q_mid + g y.

    x = U_i·Y − e_i and y = ξ·Y − e in scaled coordinates.

    Args:
        network: the predictor.
        place: the threat set.

    Attributes:
        kappa: κ, (n,).
        t_mid: (n,).
        h: (n,).
        t_error: bound of the rounding of t_mid, (n,).
        q_mid: centre of q.
        g: half-width of q.
        q_error: bound of the rounding of q_mid.
        cosine: bound of c_0 over the set, (n,).
        shift_x: e_i, (n,).
        shift_y: e.
        xi: ξ, (d + 1,).
        last: U_i0, the entries of Y_0, (n,).
        norms: |U_i|, (n,).
        size_x: bound of Σ|terms| of x, (n,); lemma 9.
        size_y: the same of y.
        q_most: bound of q.
    """

    def __init__(self, network: InfiniteMlp, place: ThreatSet) -> None:
        threads.start("numba")
        self.network, self.place = network, place
        centre, radii, d = place.centre, place.radii, network.pixels
        alpha = network.w2 / d
        q_0 = float(centre @ centre)
        s_0 = np.concatenate([tile @ centre for _, tile in network.tiles()])
        absolute = np.sqrt(network.squares * q_0)  # bounds Σ|x_0j x_ij|
        rounding = gamma(2 * d + 40)
        variance = alpha * q_0 + network.b2
        self.kappa = (alpha * s_0 + network.b2) / (2.0 * variance) if variance > 0 else np.zeros(len(s_0))
        low, high, size, norm = (np.empty(len(s_0)) for _ in range(4))
        coordinate_ranges(network.rows, centre, radii, self.kappa, place.ball, place.reach, low, high, size, norm)
        middle = (low + high) / 2
        self.t_mid = s_0 - self.kappa * q_0 + middle
        self.t_error = rounding * (absolute + np.abs(self.kappa) * q_0 + size)
        self.h = (high - low) / 2 + rounding * size
        self.last = -self.kappa * (place.reach / 2) / self.h
        self.norms = np.hypot(norm / self.h, self.last)

        if place.ball:
            reach = math.sqrt(q_0 * place.reach)
            down, up = (place.reach - 2 * reach if reach >= place.reach else -q_0), 2 * reach + place.reach
            size_y = 2 * reach + place.reach
        else:
            near = np.abs(centre)
            down = float(np.where(near >= radii, radii * (radii - 2 * near), -(near**2)).sum())
            up = float((radii * (radii + 2 * near)).sum())
            size_y = up
        self.q_mid = q_0 + (down + up) / 2
        self.g = (up - down) / 2 + rounding * (size_y + q_0)
        self.q_error = rounding * (q_0 + size_y)
        self.q_most = self.q_mid + self.g + self.q_error
        self.least_variance = alpha * max(q_0 + down - self.q_error, 0.0) + network.b2

        half = place.reach / 2
        self.shift_x = (middle + self.kappa * half) / self.h
        self.shift_y = ((down + up) / 2 - half) / self.g
        self.xi = np.append(2 * centre * radii, half) / self.g
        self.size_x = (size + np.abs(middle) + np.abs(self.kappa) * place.reach) / self.h
        self.size_y = (size_y + abs(down + up) / 2 + place.reach) / self.g
        self.cosine = self._largest_cosines(s_0, absolute, q_0)

    def _largest_cosines(self, s_0: np.ndarray, absolute: np.ndarray, q_0: float) -> np.ndarray:
        """Bounds of c_0 from angles: those to x_i change at most as much as those to x_0 (lemma 5)."""
        network, d = self.network, self.network.pixels
        alpha, rounding = network.w2 / d, gamma(d + 20)
        norm = np.sqrt((alpha * q_0 + network.b2) * network.variances()[:, 0]) * (1 - rounding)
        if not norm.min() > 0:
            return np.ones(len(s_0))
        cosine = (alpha * s_0 + network.b2 + rounding * (alpha * absolute + network.b2)) / norm
        angle = np.arccos(np.clip(cosine + ANGLE, -1.0, 1.0)) - ANGLE
        ratio = math.sqrt(alpha * self.place.reach / ((alpha * q_0 + network.b2) * (1 - rounding))) * (1 + rounding)
        if ratio >= 1:
            return np.ones(len(s_0))
        left = angle - math.asin(ratio) - ANGLE
        return np.where(left > 0, np.minimum(np.cos(np.maximum(left, 0.0)) + ANGLE, 1.0), 1.0)

    def directions(self, part: slice, tile: np.ndarray) -> np.ndarray:
        """U of some of the training images, (k, d + 1)."""
        kappa = self.kappa[part, None]
        out = np.empty((len(tile), tile.shape[1] + 1))
        np.multiply(kappa, -2.0 * self.place.centre, out=out[:, :-1])
        out[:, :-1] += tile
        out[:, :-1] *= self.place.radii
        out[:, :-1] /= self.h[part, None]
        out[:, -1] = self.last[part]
        return out
