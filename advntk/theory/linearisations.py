"""Linearisations of a JAX network at its initial parameters, and the closed form's ingredients from its Jacobians.

Three networks to be trained alike: the network itself; its linearisation in θ alone, whose input Jacobian ∂ₓf moves
with θ; and the one with both Jacobians frozen, which the closed form of ``foundation/at_solutions.py`` solves exactly.
At a fixed input dimension ∂ₓf moves however wide the network is, so the last is not the limit of the first in the width
alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from advntk.foundation.at_dynamics import LinearisedNetwork
from advntk.foundation.errors import InputError
from advntk.ingredients.networks.jacobians import Apply, empirical_ark, empirical_gram
from advntk.theory.inner_attacks import Tree, moved


class Expanded(NamedTuple):
    """Parameters of a linearisation: a nest of arrays, of which training moves the first only.

    The point of expansion is an argument of the network and no constant of it, so that networks of one architecture
    share one compiled program.

    Attributes:
        state: θ.
        centre: θ_0.
        clean: x, (n, H, W, C), for :func:`linear_in_both`.
    """

    state: Tree
    centre: Tree
    clean: jax.Array | None = None


def expanded(parameters: Tree, clean: Float[np.ndarray, "n H W C"] | None = None) -> Expanded:
    """Where the training of a linearisation starts: θ = θ_0.

    Args:
        parameters: θ_0.
        clean: the training images, where both Jacobians are to be frozen.

    Returns:
        Parameters for :func:`linear_in_parameters` or :func:`linear_in_both`.
    """
    return Expanded(parameters, parameters, None if clean is None else jnp.asarray(clean))


def linear_in_parameters(apply: Apply) -> Apply:
    """f(θ_0, x) + ∂_θ f(θ_0, x) (θ − θ_0).

    Args:
        apply: f.

    Returns:
        A network of :class:`Expanded` parameters, for any images.
    """

    def linear(parameters: Expanded, images: jax.Array) -> jax.Array:
        centre = jax.lax.stop_gradient(parameters.centre)
        direction = moved(parameters.state, centre, -1.0)
        value, change = jax.jvp(lambda leaves: apply(leaves, images), (centre,), (direction,))
        total: jax.Array = value + change
        return total

    return linear


def linear_in_both(apply: Apply) -> Apply:
    """f(θ_0, x) + ∂_θ f(θ_0, x) (θ − θ_0) + ∂ₓf(θ_0, x) (x' − x): both Jacobians frozen at the clean images x.

    Args:
        apply: f.

    Returns:
        A network of :class:`Expanded` parameters, for perturbed images x' of its clean ones, in their order.
    """

    def linear(parameters: Expanded, images: jax.Array) -> jax.Array:
        if parameters.clean is None or parameters.clean.shape != images.shape:
            raise InputError(
                f"images {images.shape} for another set of clean ones",
                where="linear_in_both",
                remedy="give the clean images to expanded(), and perturbed ones of them, in the same order, here",
            )
        centre, clean = jax.lax.stop_gradient((parameters.centre, parameters.clean))
        directions = (moved(parameters.state, centre, -1.0), images - clean)
        value, change = jax.jvp(apply, (centre, clean), directions)
        total: jax.Array = value + change
        return total

    return linear


@dataclass(frozen=True, kw_only=True)
class FrozenNetwork:
    """What the closed form takes, from a finite network's own Jacobians; float64.

    Attributes:
        net: Θ(X, X) by class (n, c, n, c), f_0(X) and Y.
        ark: ARK of the training images, (n, c, c).
        rows: Θ(x, X) of the test images, (m, c, n, c).
        initial: f_0(x), (m, c).
    """

    net: LinearisedNetwork
    ark: Float[np.ndarray, "n c c"]
    rows: Float[np.ndarray, "m c n c"]
    initial: Float[np.ndarray, "m c"]


@lru_cache(maxsize=16)
def _programs(apply: Apply) -> tuple[Any, Any, Any]:
    """Θ, ARK and logits of a network, compiled once for all its parameters."""
    return jax.jit(empirical_gram(apply)), jax.jit(empirical_ark(apply)), jax.jit(apply)


def freeze(
    apply: Apply,
    parameters: Any,
    images: Float[np.ndarray, "n H W C"],
    targets: Float[np.ndarray, "n c"],
    test_images: Float[np.ndarray, "m H W C"],
) -> FrozenNetwork:
    """Empirical Θ and ARK of a finite network at its parameters.

    Args:
        apply: the network.
        parameters: θ_0, float64.
        images: X in [0, 1].
        targets: Y.
        test_images: x.

    Returns:
        Them; ``closed_form(frozen.net, InnerFlow(ark=frozen.ark, exposure=…), times)`` solves its training.
    """
    gram, ark, logits = _programs(apply)
    train, test = (jnp.asarray(points, jnp.float64) for points in (images, test_images))
    theta, blocks = np.asarray(gram(parameters, train, train)), np.asarray(ark(parameters, train))
    return FrozenNetwork(
        net=LinearisedNetwork(gram=theta, targets=targets, initial=np.asarray(logits(parameters, train))),
        ark=blocks,
        rows=np.asarray(gram(parameters, test, train)),
        initial=np.asarray(logits(parameters, test)),
    )
