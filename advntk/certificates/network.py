"""What certificates need to know of a predictor, and which predictors have none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from advntk.foundation.errors import InputError
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import Norm
from advntk.ingredients.kernels.numba_mlp import BoundNumbaMlp

TILE = 2048
"""Training images at a time: temporaries are (TILE, d)."""
HALF_ULP = 2.0**-53
"""Relative error of one float64 operation."""
SINGLE = 2.0**-24
"""Relative error of one float32 operation."""


def gamma(operations: float) -> float:
    """Bound on the relative error of so many float64 operations in a row."""
    return operations * HALF_ULP / (1.0 - operations * HALF_ULP)


@dataclass(frozen=True)
class InfiniteMlp:
    """f(x) = Σ_i Θ(x, x_i) P_i of an infinitely wide ReLU MLP.

    Attributes:
        rows: training images minus 0.5, (n, d) float32, as the predictor holds them.
        coef: P, (n, c).
        hidden: activations L; the network has L + 1 dense layers.
        w2: σ_w².
        b2: σ_b².
        squares: |x_i|², (n,).
    """

    rows: np.ndarray
    coef: np.ndarray
    hidden: int
    w2: float
    b2: float
    squares: np.ndarray

    @property
    def pixels(self) -> int:
        """Number of pixels d."""
        return int(self.rows.shape[1])

    @property
    def constants(self) -> np.ndarray:
        """σ_w², σ_b², and bounds of α = σ_w²/d."""
        alpha = self.w2 / self.pixels
        return np.array([self.w2, self.b2, np.nextafter(alpha, 0.0), np.nextafter(alpha, 1.0)])

    def tiles(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Slices of the training images, and those in float64."""
        for start in range(0, len(self.rows), TILE):
            part = slice(start, start + TILE)
            yield part, self.rows[part].astype(np.float64)

    def variances(self) -> np.ndarray:
        """Bounds of α|x_i|² + β, (n, 2)."""
        middle = self.w2 / self.pixels * self.squares + self.b2
        error = gamma(self.pixels + 8) * middle
        return np.stack([middle - error, middle + error], axis=1)

    def diagonal(self, squares: np.ndarray) -> np.ndarray:
        """√Θ(x, x) of images with these |x|², to float64 rounding."""
        variance = self.w2 / self.pixels * np.asarray(squares, dtype=np.float64) + self.b2
        theta = variance
        for _ in range(self.hidden):
            variance = self.w2 / 2 * variance + self.b2
            theta = self.w2 / 2 * theta + variance
        return np.asarray(np.sqrt(theta))

    def float32_error(self, square: float) -> np.ndarray:
        """Allowance for the error of the predictor's float32 Θ(x', x_i).

        Not proven: docs/certificates.md says where it is from. Most of it is the float32 product x'·x_i of BLAS, whose
        roundings have one sign where the pixels have.

        Args:
            square: bound of |x'|².

        Returns:
            Its size, (n,).
        """
        operations = 8.0 + 6.0 * self.hidden + self.pixels / 8 * (1 + self.hidden / 3)
        return np.asarray(operations * SINGLE * self.diagonal(np.array(square)) * self.diagonal(self.squares))


def without_certificate(predictor: Predictor, norm: Norm = "linf") -> str:
    """Why no certificate is known here, in words; empty where there is one."""
    kernel = getattr(predictor, "kernel", None)
    if norm == "l1":
        return "there is none in l1"
    if kernel is None or not vars(type(predictor)).get("sums_kernels", False):  # a subclass may change the logits
        return f"{type(predictor).__name__} is no kernel predictor"
    if not isinstance(kernel, BoundNumbaMlp):
        what = {"BoundNumbaConv": "a convolutional network", "BoundJaxKernel": "a kernel of neural-tangents"}
        return f"{what.get(type(kernel).__name__, type(kernel).__name__)} is no ReLU MLP of the numba engine"
    return ""


def infinite_mlp(predictor: Any) -> InfiniteMlp:
    """The network behind a predictor.

    Args:
        predictor: as ``advntk.load`` gives it.

    Returns:
        The network.

    Raises:
        InputError: it is no infinitely wide ReLU MLP evaluated by the numba engine, or its numbers are of no use.
    """
    where = "certify"
    if reason := without_certificate(predictor):
        raise InputError(
            f"no certificate: {reason}",
            where=where,
            remedy="give ntk, ridge_ntk, early_stopped_ntk or advntk on a ReLU MLP, on a CPU with kernel_engine numba",
        )
    engine, rows = predictor.kernel.engine, predictor.kernel.train.rows
    squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    if not np.isfinite(predictor.coef).all():
        raise InputError("the coefficients hold NaN or infinity", where=where, remedy="fit again; see its diagnostics")
    if engine.w2 <= 0:
        raise InputError("σ_w = 0: the network is constant", where=where, remedy="give a network with σ_w > 0")
    if engine.b2 == 0 and not squares.all():
        raise InputError(
            "a training image of mid-grey has no variance under σ_b = 0", where=where, remedy="take σ_b > 0"
        )
    return InfiniteMlp(rows, predictor.coef, engine.depth - 1, engine.w2, engine.b2, squares)
