"""Problems made on the spot under a seed: smooth images, their Gram matrix, a diagonal, targets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import LinearOperator, eigsh

from advntk.foundation.architecture import Architecture
from advntk.foundation.losses import one_hot
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine

CLASSES = 10
ZEROS = 0.05  # share of zeros in D: training can leave ϖ there, and formulas with D^{−½} break
_SMOOTHING = 1 / 14  # standard deviation of the smoothing, as a share of the side

Shape = tuple[int, int, int]


class Problem(NamedTuple):
    """What the solver is given: D ≥ 0 (n,), Θ (n, n) float32, one-hot Y (n, c), G = ∂L/∂P (n, c)."""

    diagonal: np.ndarray
    theta: np.ndarray
    targets: np.ndarray
    cotangent: np.ndarray


def shape_of(family: str, size: int | None) -> Shape:
    """(H, W, C) of a family's images: side ``size`` or the family's own; grey for mlp, else three colours."""
    side, channels = (28, 1) if family == "mlp" else (32, 3)
    return size or side, size or side, channels


def smooth_images(count: int, shape: Shape, seed: int) -> np.ndarray:
    """Gaussian noise smoothed over two pixels or so, each image stretched to [0, 1], (n, H, W, C) float32."""
    noise = np.random.default_rng([seed, 0]).standard_normal((count, *shape), dtype=np.float32)
    sigma = _SMOOTHING * shape[0]
    smooth = gaussian_filter(noise, sigma=(0, sigma, sigma, 0), mode="reflect")
    low, high = (end(axis=(1, 2, 3), keepdims=True) for end in (smooth.min, smooth.max))
    return np.asarray((smooth - low) / np.maximum(high - low, np.float32(1e-6)), dtype=np.float32)


def labels_of(count: int, seed: int) -> np.ndarray:
    """Random labels (n,)."""
    return np.random.default_rng([seed, 1]).integers(0, CLASSES, count)


def targets_of(labels: np.ndarray) -> np.ndarray:
    """One-hot Y, (n, c) float64."""
    return np.asarray(one_hot(labels, CLASSES, np.float64))


def gram(spec: Architecture, images: np.ndarray) -> np.ndarray:
    """Θ of the images, (n, n) float32, by the engine that training uses on a CPU."""
    _, height, width, channels = images.shape
    return make_engine(spec, (height, width, channels), device="cpu").tile_symmetric(images)


def largest_eigenvalue(theta: np.ndarray, diagonal: np.ndarray) -> float:
    """λmax of D^½ΘD^½, by Lanczos in float64 to rounding."""
    root, product = np.sqrt(diagonal), GramOperator(theta, device="cpu").product
    operator = LinearOperator(
        theta.shape, matvec=lambda vector: root * product((root * vector.ravel())[:, None])[:, 0], dtype=np.float64
    )
    found = eigsh(operator, k=1, which="LA", tol=1e-12, v0=root + 1e-3, return_eigenvectors=False)
    return float(found[0])


def diagonal_of(theta: np.ndarray, lambda_max: float, seed: int) -> np.ndarray:
    """D as in training, |N(0, 1)| with a share of zeros, scaled to the given λmax(D^½ΘD^½), (n,)."""
    generator = np.random.default_rng([seed, 2])
    diagonal = np.abs(generator.standard_normal(len(theta)))
    diagonal[generator.permutation(len(theta))[: round(ZEROS * len(theta))]] = 0.0
    return np.asarray(diagonal * (lambda_max / largest_eigenvalue(theta, diagonal)))


def make_problem(n: int, *, lambda_max: float, seed: int, size: int = 28, depth: int = 5) -> Problem:
    """An MLP's Gram matrix, D with the given λmax(D^½ΘD^½), one-hot Y and normal G."""
    theta = gram(Architecture(family="mlp", depth=depth), smooth_images(n, shape_of("mlp", size), seed))
    return Problem(
        theta=theta,
        diagonal=diagonal_of(theta, lambda_max, seed),
        targets=targets_of(labels_of(n, seed)),
        cotangent=np.random.default_rng([seed, 3]).standard_normal((n, CLASSES)),
    )
