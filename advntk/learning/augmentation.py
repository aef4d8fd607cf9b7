"""Training images and changed copies of them, as more rows of Θ."""

from __future__ import annotations

import numpy as np

from advntk.ingredients.gram_sizes import TILE_ROWS
from advntk.ingredients.kernels.engine import KernelEngine


def with_copies(
    images: np.ndarray, *, copies: int, pixels: int, flip: bool, noise: float, generator: np.random.Generator
) -> np.ndarray:
    """Images, then copies of all of them, each copy shifted, flipped and blurred by noise of its own.

    Args:
        images: float32 (n, H, W, C) in [0, 1].
        copies: of each image.
        pixels: largest shift along each axis; zeros move in.
        flip: whether half of the copies are flipped left to right.
        noise: standard deviation of normal noise, on the [0, 1] pixel scale.
        generator: of all that is drawn.

    Returns:
        float32 ((1 + copies) n, H, W, C) in [0, 1].
    """
    found = [images]
    for _ in range(copies):
        corners = generator.integers(0, 2 * pixels + 1, (len(images), 2))
        flipped = generator.random(len(images)) < 0.5
        changed = np.empty_like(images)
        height, width = images.shape[1:3]
        padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
        for index, (down, across) in enumerate(corners):
            one = padded[index, down : down + height, across : across + width]
            changed[index] = one[:, ::-1] if flip and flipped[index] else one
        changed += (noise * generator.standard_normal(images.shape)).astype(np.float32)
        found.append(changed.clip(0, 1))
    return np.concatenate(found)


def dense_gram(engine: KernelEngine, images: np.ndarray) -> np.ndarray:
    """Θ(X, X) in memory, float32 (n, n), tile row by tile row of its lower half."""
    n = len(images)
    gram = np.empty((n, n), np.float32)
    for low in range(0, n, TILE_ROWS):
        rows = slice(low, min(low + TILE_ROWS, n))
        gram[rows, rows] = engine.tile_symmetric(images[rows])
        if low:
            gram[rows, :low] = engine.tile(images[rows], images[:low])
            gram[:low, rows] = gram[rows, :low].T
    return gram
