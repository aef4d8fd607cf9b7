"""Lengths, steps and projections of the balls of a threat model, for arrays of any library.

Images are (m, H, W, C), or rows (m, d) in ℓ1.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import array_namespace


def per_image_l2(difference: Any) -> Any:
    """ℓ2 norm of each image's difference, shape (m, 1, …, 1)."""
    xp = array_namespace(difference)
    axes = tuple(range(1, difference.ndim))
    return xp.sqrt(xp.sum(difference * difference, axis=axes, keepdims=True))


def unit_l2(gradient: Any) -> Any:
    """Each image's gradient at unit ℓ2 length; zero where it is zero."""
    xp = array_namespace(gradient)
    largest = xp.max(xp.abs(gradient), axis=tuple(range(1, gradient.ndim)), keepdims=True)
    # entries to one first: squares of a small gradient's entries would be zero, those of a large one's infinite
    scaled = gradient / xp.where(largest > 0, largest, xp.ones_like(largest))
    return scaled / xp.clip(per_image_l2(scaled), 1.0, None)


def sparse_sign(gradient: Any, share: float) -> Any:
    """Signs of the largest entries of each row (m, d) at unit ℓ1 length; ties with the last of them move too."""
    xp = array_namespace(gradient)
    size = xp.abs(gradient)
    count = max(1, math.ceil(share * gradient.shape[1]))
    least = xp.sort(size, axis=1)[:, -count:][:, :1]
    # a product, not a choice: NaN must stay NaN
    step = xp.sign(gradient) * xp.astype(size >= least, gradient.dtype)
    return step / xp.clip(xp.sum(xp.abs(step), axis=1, keepdims=True), 1.0, None)


def nearest_l1(images: Any, clean: Any, radius: float) -> Any:
    """Euclidean projection onto {x' in [0, 1]: ‖x' − x‖₁ ≤ ε} of images (m, d) around clean images x (m, d).

    The Karush–Kuhn–Tucker conditions give x'(λ) = clip(x + sign(v) max(|v| − λ, 0), 0, 1) with v = images − x and, for
    each image, the least λ ≥ 0 that lets x'(λ) into the ball. ‖x'(λ) − x‖₁ falls with λ, so bisection finds it.

    Returns:
        Projected images (m, d).
    """
    xp = array_namespace(images, clean)
    difference = images - clean
    length, direction = xp.abs(difference), xp.sign(difference)
    precision = xp.finfo(difference.dtype)
    # sums round differently from one library to the next: the ball is taken smaller by that much
    bound = radius * (1 - 8 * float(precision.eps))

    def shrunk(threshold: Any) -> Any:
        return xp.clip(clean + direction * xp.clip(length - threshold, 0.0, None), 0.0, 1.0)

    def fits(threshold: Any) -> Any:
        return xp.sum(xp.abs(shrunk(threshold) - clean), axis=1, keepdims=True) <= bound

    outside = xp.zeros_like(length[:, :1])
    inside = xp.where(fits(outside), outside, xp.max(length, axis=1, keepdims=True))
    for _ in range(precision.bits):
        middle = (outside + inside) / 2
        fit = fits(middle)
        inside, outside = xp.where(fit, middle, inside), xp.where(fit, outside, middle)
    return shrunk(inside)
