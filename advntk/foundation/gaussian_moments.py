"""Moments of an activation of a Gaussian, from which kernels and their derivatives at x' = x are made.

For u = √q z with z ~ N(0, 1):

    second = E φ(u)²            growth = d second / dq = E φ(u)φ'(u)u / q
    slope  = E φ'(u)²           bend   = E φ'(u)² (z² − 1)

In closed form for ReLU, by quadrature otherwise: Gauss–Legendre on panels that halve towards z = 0 down to where u is
about 1. So an activation that bends near u = 0 is resolved however large q is. (Gauss–Hermite nodes are not enough: in
a ResNet-18 with GELU, where q reaches thousands, κ still changes by 1e-2 from 512 of them to 1,024.) A kink elsewhere
is not resolved; κ (``ingredients/kernels/ark.py``) doubles the order until nothing changes, and refuses what does not
converge.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import erf, ndtr

from advntk.foundation.architecture import SIGMOID_LIKE_SCALE
from advntk.foundation.errors import ConfigError, nearest

if TYPE_CHECKING:
    from jaxtyping import Float

Elementwise = Callable[[np.ndarray], np.ndarray]

CHUNK = 1 << 20
"""Numbers that one array of values at nodes holds."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Each of the shape of q; see above.

    Attributes:
        second: E φ².
        growth: d E φ² / dq.
        slope: E φ'².
        bend: E φ'² (z² − 1); 0 for ReLU.
    """

    second: np.ndarray
    growth: np.ndarray
    slope: np.ndarray
    bend: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Nonlinearity:
    """An activation φ, elementwise on float64 arrays.

    Attributes:
        value: φ.
        slope: φ'.
        exact: the moments in closed form, for activations that have one or are not smooth; None: by quadrature.
        straight: whether φ' depends on the sign of its argument only, so that ``bend`` is 0 for every q.
    """

    value: Elementwise
    slope: Elementwise
    exact: Callable[[np.ndarray], Moments] | None = None
    straight: bool = False

    def moments(self, variance: Float[np.ndarray, ...], *, order: int) -> Moments:
        """The moments at variances q >= 0, by quadrature of an order on each panel where they are not exact.

        Returns:
            Moments; at q = 0 ``growth`` is 0: it only ever multiplies ∂q, which is 0 there.
        """
        if self.exact is not None:
            return self.exact(variance)
        flat = np.sqrt(np.asarray(variance, dtype=np.float64).ravel())
        node, weight = _rule(order, max(0, math.ceil(math.log2(max(1.0, flat.max(initial=0.0))))) + 1)
        rows = max(1, CHUNK // len(node))
        out = np.empty((4, flat.size))
        for start in range(0, flat.size, rows):
            root = flat[start : start + rows, None]
            value, slope = self.value(root * node), self.slope(root * node)
            squares = slope * slope
            pulled = (value * slope * node) @ weight
            out[:, start : start + rows] = [
                (value * value) @ weight,
                np.divide(pulled, root[:, 0], out=np.zeros(len(root)), where=root[:, 0] > 0),
                squares @ weight,
                (squares * (node * node - 1)) @ weight,
            ]
        second, growth, steep, bend = (row.reshape(np.shape(variance)) for row in out)
        return Moments(second=second, growth=growth, slope=steep, bend=bend)


@functools.cache
def _rule(order: int, halvings: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of E h(z), z ~ N(0, 1): panels [0, 2^−k], [2^−k, 2^{1−k}] … [8, 16] and their mirror images."""
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-halvings, 5)])
    node, weight = np.polynomial.legendre.leggauss(order)
    width = np.diff(edges)[:, None]
    place = (edges[:-1, None] + width * (node + 1) / 2).ravel()
    share = (width * weight / 2).ravel() * _density(place)
    return np.concatenate([-place, place]), np.concatenate([share, share])


def _relu_moments(variance: np.ndarray) -> Moments:
    half = np.full(np.shape(variance), 0.5)
    return Moments(second=variance / 2, growth=half, slope=half, bend=np.zeros(np.shape(variance)))


def _density(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-values * values / 2) / np.sqrt(2 * np.pi))


NONLINEARITIES: Mapping[str, Nonlinearity] = {
    "relu": Nonlinearity(
        value=lambda u: np.maximum(u, 0.0),
        slope=lambda u: (u > 0).astype(np.float64),
        exact=_relu_moments,
        straight=True,
    ),
    "erf": Nonlinearity(value=erf, slope=lambda u: 2 / np.sqrt(np.pi) * np.exp(-u * u)),
    "gelu": Nonlinearity(value=lambda u: u * ndtr(u), slope=lambda u: ndtr(u) + u * _density(u)),
    "sigmoid_like": Nonlinearity(
        value=lambda u: 0.5 * erf(u / SIGMOID_LIKE_SCALE) + 0.5,
        slope=lambda u: np.exp(-((u / SIGMOID_LIKE_SCALE) ** 2)) / (SIGMOID_LIKE_SCALE * np.sqrt(np.pi)),
    ),
}
"""The activations of an architecture, by name."""


def nonlinearity(name: str, known: Mapping[str, Nonlinearity] = NONLINEARITIES) -> Nonlinearity:
    """The activation of that name.

    Returns:
        It.

    Raises:
        ConfigError: it is not known.
    """
    if name not in known:
        raise ConfigError(
            f"no Gaussian moments of the activation {name!r}{nearest(name, known)}",
            where="κ",
            remedy=f"use one of {', '.join(known)}, or add φ and φ' to gaussian_moments.py",
        )
    return known[name]
