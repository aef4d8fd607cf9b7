"""Small predictors, and a plain float64 kernel with its gradient, written apart from the package's own."""

from __future__ import annotations

import functools

import numpy as np
from sklearn.datasets import load_digits

from advntk.certificates.network import InfiniteMlp, infinite_mlp
from advntk.ingredients.kernels.numba_mlp import NumbaMlp
from advntk.learning.kernel_predictor import KernelPredictor
from tests.conftest import relu_kernel


def mlp_predictor(
    images: np.ndarray, coef: np.ndarray, depth: int, sigma_w: float = 1.76, sigma_b: float = 0.18
) -> KernelPredictor:
    shape = images.shape[1:]
    engine = NumbaMlp(depth=depth, sigma_w=sigma_w, sigma_b=sigma_b, input_shape=shape)
    return KernelPredictor(engine.bind(images.astype(np.float32), memory_mb=100), coef, shape)


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.data))
    return (np.rint(bunch.images[order] / 16 * 255) / 255)[..., None].astype(np.float32), bunch.target[order]


@functools.cache
def trained(depth: int, n: int = 100, stop: float = np.inf) -> KernelPredictor:
    """An NTK of n digits; ``stop`` is the training time in units of 1 over the mean diagonal."""
    images, labels = digits()
    theta = relu_kernel(images[:n], depth)
    values, vectors = np.linalg.eigh(theta)
    scale = 1 / values if np.isinf(stop) else -np.expm1(-values * stop / np.trace(theta) * n) / values
    return mlp_predictor(images[:n], vectors @ (scale[:, None] * (vectors.T @ np.eye(10)[labels[:n]])), depth)


def network_of(depth: int, n: int = 100, stop: float = np.inf) -> InfiniteMlp:
    return infinite_mlp(trained(depth, n, stop))


def theta_and_slopes(network: InfiniteMlp, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Θ(x', X) of points minus 0.5, (m, n), and its derivatives by x'·x_i and by |x'|²."""
    rows, alpha = network.rows.astype(np.float64), network.w2 / network.pixels
    w2, b2 = network.w2, network.b2
    cov, a, b = alpha * points @ rows.T + b2, alpha * (points**2).sum(1)[:, None] + b2, alpha * (rows**2).sum(1) + b2
    by_s, by_q, growth = np.full_like(cov, alpha), np.zeros_like(cov), alpha
    theta, theta_s, theta_q = cov, by_s, by_q
    for _ in range(network.hidden):
        scale = np.sqrt(a * b)
        cosine = np.clip(cov / scale, -1, 1)
        sine = np.sqrt(np.maximum(1 - cosine**2, 1e-14))
        zeroth = (np.pi - np.arccos(cosine)) / (2 * np.pi)
        slope_k, slope_a = 1 / (2 * np.pi * scale * sine), -cosine / (4 * np.pi * a * sine)
        zeroth_s, zeroth_q = slope_k * by_s, slope_k * by_q + slope_a * growth
        next_q = w2 * (zeroth * by_q + np.sqrt(b / a) * sine / (4 * np.pi) * growth)
        cov = w2 * scale * (sine / (2 * np.pi) + cosine * zeroth) + b2
        by_s, by_q = w2 * zeroth * by_s, next_q
        theta_s = w2 * (zeroth_s * theta + zeroth * theta_s) + by_s
        theta_q = w2 * (zeroth_q * theta + zeroth * theta_q) + by_q
        theta = w2 * zeroth * theta + cov
        a, b, growth = w2 * a / 2 + b2, w2 * b / 2 + b2, w2 * growth / 2
    return theta, theta_s, theta_q


def least_found(
    network: InfiniteMlp, beta: np.ndarray, starts: np.ndarray, low: np.ndarray, high: np.ndarray, *, steps: int
) -> np.ndarray:
    """Least margins that signed gradient steps find in a box, (k,), for β (n, k) and the same starts for each."""
    points = np.tile(starts, (beta.shape[1], 1))
    own = np.repeat(beta.T, len(starts), axis=0)
    least = np.full(len(points), np.inf)
    rows = network.rows.astype(np.float64)
    for step in range(steps + 1):
        theta, by_s, by_q = theta_and_slopes(network, points)
        least = np.minimum(least, (theta * own).sum(axis=1))
        gradient = (by_s * own) @ rows + 2 * (by_q * own).sum(axis=1)[:, None] * points
        points = np.clip(points - (high - low) * 0.3 * (1 - step / (steps + 1)) * np.sign(gradient), low, high)
    return least.reshape(beta.shape[1], -1).min(axis=1)


def box(image: np.ndarray, eps255: float) -> tuple[np.ndarray, np.ndarray]:
    image = image.ravel().astype(np.float64) - 0.5
    return np.maximum(image - eps255 / 255, -0.5), np.minimum(image + eps255 / 255, 0.5)


def extremes(
    network: InfiniteMlp, low: np.ndarray, high: np.ndarray, rng: np.random.Generator, count: int = 40
) -> np.ndarray:
    """Points of a box where bounds are tight: corners, those towards and away from training images, those nearest."""
    middle = (low + high) / 2
    rows = network.rows.astype(np.float64)
    near = rows[np.argsort(((rows - middle) ** 2).sum(1))[:15]]
    towards, away = np.where(near > middle, high, low), np.where(near > middle, low, high)
    corners = np.where(rng.random((count, len(low))) < 0.5, low, high)
    inside = rng.uniform(low, high, (count, len(low)))
    return np.concatenate([corners, inside, towards, away, np.clip(near, low, high), [low, high, middle]])
