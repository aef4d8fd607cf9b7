"""κ(x) = Σ_a ∂_{x_a} ∂_{x'_a} K(x, x') at x' = x by central increments of the covariance K: any architecture, float64.

Automatic differentiation of K fails silently there for ReLU: K has a term in the cube of the angle between x and x',
whose second derivatives it makes of infinities. With K(±, ±) at x ± h e_a and x' ± h e_a,

    D(h) = Σ_a [K(+, +) − K(+, −) − K(−, +) + K(−, −)] / 4h² = κ + c₁ h + c₂ h² + …

c₁ is that cubed angle's; it is 0 for smooth activations. Three steps h, h/2, h/4 take c₁ and c₂ out.
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from advntk.foundation.architecture import Architecture
from advntk.foundation.device import float64_mode
from advntk.ingredients.kernels.neural_tangents_wall import Kernel, infinite_covariance

STEP = 4e-3
"""h, in pixels. At h/4, rounding of K is worth about 1e-10 of κ."""
TOGETHER = 8
"""Inputs whose increments are computed at once, where memory allows."""
MEMORY_MB = 512.0
"""Of what they take: with pooling, (H·W)² numbers for each of four pairs, in about six copies."""


_covariance = cache(infinite_covariance)
"""The same function for the same spec, so that it is compiled once."""


@partial(jax.jit, static_argnames=("covariance", "together"))
def _second_difference(image: jax.Array, step: jax.Array, *, covariance: Kernel, together: int) -> jax.Array:
    """D(h) at one image (H, W, C)."""

    def along(entry: jax.Array) -> jax.Array:
        direction = jax.nn.one_hot(entry, image.size, dtype=image.dtype).reshape(image.shape)
        pair = jnp.stack([image + step * direction, image - step * direction])
        corners = covariance(pair, pair)
        return (corners[0, 0] - corners[0, 1] - corners[1, 0] + corners[1, 1]) / (4 * step**2)

    total: jax.Array = jax.lax.map(along, jnp.arange(image.size), batch_size=together).sum()
    return total


def kappa_by_increments(
    spec: Architecture, images: Float[np.ndarray, "m H W C"], *, step: float = STEP
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """κ(x) of the infinitely wide network; 12 evaluations of K for each entry of each image.

    Args:
        spec: the architecture.
        images: in [0, 1]. Where a pixel and all around it are exactly 0.5 and σ_b = 0, K of a ReLU network has a kink
            at x, and the error is large.
        step: h, in pixels.

    Returns:
        κ, logits²/pixel², and an estimate of its relative error: the change that the last extrapolation made, and the
        rounding of K at the smallest step.
    """
    covariance = _covariance(spec)
    pairs_mb = 4 * 6 * 8 * (images.shape[1] * images.shape[2]) ** 2 / 2**20
    how = {"covariance": covariance, "together": int(np.clip(MEMORY_MB / pairs_mb, 1, TOGETHER))}
    values, error = np.empty(len(images)), np.empty(len(images))
    with float64_mode(True):
        for index, image in enumerate(images):
            point = jnp.asarray(image, jnp.float64)
            wide, middle, narrow = (
                float(_second_difference(point, jnp.asarray(step / scale, jnp.float64), **how)) for scale in (1, 2, 4)
            )
            values[index] = (wide - 6 * middle + 8 * narrow) / 3
            size = float(covariance(point[None], point[None])[0, 0])
            rounding = np.finfo(np.float64).eps * image.size * size / (step / 4) ** 2
            error[index] = (abs(values[index] - (2 * narrow - middle)) + rounding) / abs(values[index])
    return values, error
