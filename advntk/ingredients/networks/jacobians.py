"""Jacobians of a finite JAX network and their products: the empirical ARK and the empirical tangent kernel by class.

A network here is ``apply(parameters, images)`` → logits, images (m, H, W, C) → (m, c), as
:func:`advntk.ingredients.kernels.neural_tangents_wall.finite_network` gives it, or a linearisation of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Apply = Callable[[Any, jax.Array], jax.Array]


def _gram(a: jax.Array, b: jax.Array) -> jax.Array:
    """A Bᵀ of Jacobians with the inputs of the derivative flat, in the last axis."""
    return jnp.matmul(a, b.T, precision="highest")


def input_jacobian(apply: Apply) -> Callable[[Any, jax.Array], jax.Array]:
    """∂ₓf(x) of a network.

    Returns:
        A function of parameters and images (m, H, W, C) that gives (m, c, H·W·C), logits/pixel; to be jitted.
    """

    def of_one(parameters: Any, image: jax.Array) -> jax.Array:
        slope = jax.jacrev(lambda x: apply(parameters, x[None])[0])(image)
        rows: jax.Array = slope.reshape(slope.shape[0], -1)
        return rows

    return jax.vmap(of_one, in_axes=(None, 0))


def empirical_ark(apply: Apply) -> Callable[[Any, jax.Array], jax.Array]:
    """ARK(x) = ∂ₓf(x) ∂ₓf(x)ᵀ of a finite network; its mean over random wide networks is κ(x) I_c.

    Returns:
        A function of parameters and images (m, H, W, C) that gives (m, c, c), logits²/pixel²; to be jitted.
    """
    jacobian = input_jacobian(apply)

    def ark(parameters: Any, images: jax.Array) -> jax.Array:
        rows = jacobian(parameters, images)
        return jax.vmap(_gram)(rows, rows)

    return ark


def empirical_gram(apply: Apply) -> Callable[[Any, jax.Array, jax.Array], jax.Array]:
    """Θ of a finite network with its classes apart, ∂_θ f_j(x) · ∂_θ f_k(x'); at infinite width it is Θ ⊗ I_c.

    Returns:
        A function of parameters, images (m, H, W, C) and (n, H, W, C) that gives (m, c, n, c), logits². It holds the
        Jacobians, (m + n)·c numbers a parameter; to be jitted.
    """

    def of_one(parameters: Any, image: jax.Array) -> Any:
        return jax.jacrev(lambda leaves: apply(leaves, image[None])[0])(parameters)

    # image by image: the Jacobian of the whole batch would pull each logit back through all images
    jacobian = jax.vmap(of_one, in_axes=(None, 0))

    def rows(parameters: Any, images: jax.Array) -> tuple[jax.Array, tuple[int, int]]:
        leaves = jax.tree_util.tree_leaves(jacobian(parameters, images))
        count, classes = leaves[0].shape[:2]
        return jnp.concatenate([leaf.reshape(count * classes, -1) for leaf in leaves], axis=1), (count, classes)

    def gram(parameters: Any, a: jax.Array, b: jax.Array) -> jax.Array:
        (left, left_shape), (right, right_shape) = rows(parameters, a), rows(parameters, b)
        return _gram(left, right).reshape(*left_shape, *right_shape)

    return gram
