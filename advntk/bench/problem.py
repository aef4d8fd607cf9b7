"""Problems made on the spot under a seed: smooth images, their Gram matrix, a diagonal, targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import LinearOperator, eigsh

from advntk.foundation import krylov
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.foundation.options import validated
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.ingredients.networks.layers import layers_of

CLASSES = 10
LEAST_N = 20
ZEROS = 0.05
"""Share of zeros in D: training can leave ϖ there, and formulas with D^{−½} break."""

_SMOOTHING = 1 / 14
"""Standard deviation of the smoothing, as a share of the side."""

CHANNELS = {"mlp": 1, "cnn": 3, "resnet": 3}
SIDES = {"mlp": 28, "cnn": 32, "resnet": 32}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What the solver is given.

    Attributes:
        theta: Θ, (n, n) float32.
        diagonal: D ≥ 0, (n,).
        targets: Y, one-hot, (n, c).
        cotangent: G = ∂L/∂P, (n, c).
    """

    theta: np.ndarray
    diagonal: np.ndarray
    targets: np.ndarray
    cotangent: np.ndarray


def check_n(n: int) -> None:
    """Refuse problems with too few images.

    Raises:
        ConfigError: fewer than two images a class.
    """
    if n < LEAST_N:
        raise ConfigError(f"{n} images are too few", where="--n", remedy=f"give at least {LEAST_N}")


def architecture(family: str, depth: int) -> Architecture:
    """The paper's network of a family and depth.

    Returns:
        Its spec.

    Raises:
        ConfigError: a family that has no bench, or a depth below one.
    """
    spec = validated(Architecture, {"family": family, "depth": depth}, "architecture")
    layers_of(spec)
    if family not in CHANNELS:
        raise ConfigError(f"no bench of '{family}'", where="--family", remedy=f"use {' or '.join(CHANNELS)}")
    return spec


def shape_of(family: str, size: int | None) -> tuple[int, int, int]:
    """(H, W, C) of a family's images: side ``size`` or the family's own; grey for mlp, else three colours."""
    side = size or SIDES[family]
    return side, side, CHANNELS[family]


def smooth_images(count: int, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Gaussian noise smoothed over two pixels or so, each image stretched to [0, 1].

    Args:
        count: n.
        shape: (H, W, C).
        seed: of the noise.

    Returns:
        Images (n, H, W, C), float32.
    """
    noise = np.random.default_rng([seed, 0]).standard_normal((count, *shape), dtype=np.float32)
    sigma = _SMOOTHING * shape[0]
    smooth = gaussian_filter(noise, sigma=(0, sigma, sigma, 0), mode="reflect")
    low, high = (end(axis=(1, 2, 3), keepdims=True) for end in (smooth.min, smooth.max))
    return np.asarray((smooth - low) / np.maximum(high - low, np.float32(1e-6)), dtype=np.float32)


def labels_of(count: int, seed: int) -> np.ndarray:
    """Random labels (n,)."""
    return np.random.default_rng([seed, 1]).integers(0, CLASSES, count)


def gram(spec: Architecture, images: np.ndarray) -> np.ndarray:
    """Θ of the images, (n, n) float32, by the engine that training uses on a CPU."""
    shape = (images.shape[1], images.shape[2], images.shape[3])
    return make_engine(spec, shape, device="cpu").tile_symmetric(images)


def largest_eigenvalue(theta: np.ndarray, diagonal: np.ndarray) -> float:
    """λmax of A = D^½ Θ D^½, by Lanczos in float64 to rounding.

    Args:
        theta: Θ, (n, n).
        diagonal: D ≥ 0, (n,).

    Returns:
        λmax(A).
    """
    root = np.sqrt(diagonal)
    operator = GramOperator(theta, device="cpu")

    def product(vector: np.ndarray) -> np.ndarray:
        return np.asarray(root * operator.product((root * vector.ravel())[:, None])[:, 0])

    n = len(theta)
    found = eigsh(
        LinearOperator((n, n), matvec=product, dtype=np.float64),
        k=1,
        which="LA",
        tol=1e-12,
        v0=root + 1e-3,
        return_eigenvectors=False,
    )
    return float(found[0])


def half_normal(count: int, seed: int) -> np.ndarray:
    """|N(0, 1)| with a share of zeros, (n,): the shape of a diagonal in training."""
    generator = np.random.default_rng([seed, 2])
    diagonal = np.abs(generator.standard_normal(count))
    diagonal[generator.permutation(count)[: round(ZEROS * count)]] = 0.0
    return diagonal


def one_hot_targets(labels: np.ndarray) -> np.ndarray:
    """One-hot Y, (n, c) float64."""
    return np.asarray(np.eye(CLASSES)[labels])


def make_problem(n: int, *, lambda_max: float, seed: int, size: int | None = None, depth: int = 5) -> Problem:
    """An MLP's Gram matrix, D with λmax(D^½ΘD^½) as wanted, one-hot Y and normal G.

    Args:
        n: images.
        lambda_max: λmax.
        seed: of everything.
        size: side of the images; None: 28.
        depth: of the MLP.

    Returns:
        The problem.

    Raises:
        ConfigError: n is too small, or λmax is not positive.
    """
    check_n(n)
    if not lambda_max > 0:
        raise ConfigError(f"{lambda_max} is not positive", where="--lambda-max", remedy="give a positive number")
    theta = gram(architecture("mlp", depth), smooth_images(n, shape_of("mlp", size), seed))
    diagonal = half_normal(n, seed)
    diagonal *= lambda_max / largest_eigenvalue(theta, diagonal)
    return Problem(
        theta=theta,
        diagonal=diagonal,
        targets=one_hot_targets(labels_of(n, seed)),
        cotangent=np.random.default_rng([seed, 3]).standard_normal((n, CLASSES)),
    )


def predictor_of(
    spec: Architecture, shape: tuple[int, int, int], n: int, *, lambda_max: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Training images and the P of gradient flow stopped early: D = t·I with λmax(tΘ) as wanted.

    Args:
        spec: the network.
        shape: (H, W, C).
        n: images.
        lambda_max: λmax(tΘ).
        seed: of images and labels.

    Returns:
        X (n, H, W, C), float32, and P (n, c).
    """
    train = smooth_images(n, shape, seed)
    theta = gram(spec, train)
    diagonal = np.full(n, lambda_max / largest_eigenvalue(theta, np.ones(n)))
    targets = one_hot_targets(labels_of(n, seed))
    product = GramOperator(theta, device="cpu").product
    return train, krylov.solve(product, diagonal, targets, tolerance=1e-8).coef
