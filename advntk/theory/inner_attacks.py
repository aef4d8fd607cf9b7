"""The inner maximisation of adversarial training of a JAX network, as the theory has it and as practice has it.

An inner attack is a function of (apply, parameters, images, targets, time) that gives perturbed images and that JAX can
trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from advntk.attacks.gradient import ascend
from advntk.foundation.errors import InputError
from advntk.foundation.losses import LossName, value_and_logit_gradient
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.networks.jacobians import Apply

InnerAttack = Callable[[Apply, Any, jax.Array, jax.Array, jax.Array], jax.Array]
Tree = Any
"""A nest of arrays, such as the parameters of a network."""


def moved(tree: Tree, slope: Tree, size: Any) -> Tree:
    """A tree plus size · slope, leaf by leaf."""
    return jax.tree_util.tree_map(lambda value, change: value + size * change, tree, slope)


def runge_kutta(slope: Callable[[Tree, Any], Tree], state: Tree, time: Any, size: Any) -> Tree:
    """One step of the classical fourth-order method for state' = slope(state, time).

    Args:
        slope: of the shape of the state.
        state: at ``time``.
        time: where the step starts.
        size: of the step; error O(size⁵), stable on decaying modes of rate λ for size · λ < 2.78.

    Returns:
        The state at ``time`` + ``size``.
    """

    # a loop over the stages, so that the slope is compiled once and not four times, in nested flows sixteen
    def stage(carried: tuple[Tree, Tree], weights: jax.Array) -> tuple[tuple[Tree, Tree], None]:
        last, total = carried
        share, weight = weights
        new = slope(moved(state, last, share * size), time + share * size)
        return (new, moved(total, new, weight * size)), None

    shares, weights = (0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    still = jax.tree_util.tree_map(jnp.zeros_like, state)
    (_, after), _ = jax.lax.scan(stage, (still, state), jnp.stack([jnp.asarray(shares), jnp.asarray(weights)], axis=1))
    return after


def no_attack(apply: Apply, parameters: Tree, images: jax.Array, targets: jax.Array, time: jax.Array) -> jax.Array:
    """Clean training: the images themselves."""
    return images


def flow_attack(exposure: Any | Callable[[jax.Array], Any], *, steps: int = 10) -> InnerAttack:
    """Gradient flow dx/ds = ∂ₓf(x)ᵀ η (f(x) − y) for a time s from 0 to S, neither ball nor box.

    Args:
        exposure: η S, pixel²/logits², one number or one an image, (n,); or a function of training time that JAX can
            trace and that gives either.
        steps: Runge–Kutta steps for the whole flow.

    Returns:
        The attack. Each call makes a new one, for which training is compiled anew.

    Raises:
        InputError: no steps.
    """
    if steps < 1:
        raise InputError(f"{steps} steps of the inner flow", where="flow_attack", remedy="take at least one")

    def attack(apply: Apply, parameters: Tree, images: jax.Array, targets: jax.Array, time: jax.Array) -> jax.Array:
        strength = jnp.asarray(exposure(time) if callable(exposure) else exposure, dtype=targets.dtype)
        weight = jnp.broadcast_to(strength, (len(targets),))[:, None]

        def slope(points: jax.Array, _: Any) -> jax.Array:
            outputs, pullback = jax.vjp(lambda x: apply(parameters, x), points)
            change: jax.Array = pullback(weight * (outputs - targets))[0]
            return change

        def step(_: Any, points: jax.Array) -> jax.Array:
            after: jax.Array = runge_kutta(slope, points, 0.0, 1.0 / steps)
            return after

        last: jax.Array = jax.lax.fori_loop(0, steps, step, images)
        return last

    return attack


def pgd_attack(
    threat: ThreatModel, *, steps: int = 10, step_ratio: float = 0.2, loss: LossName = "squared_error"
) -> InnerAttack:
    """PGD from the clean image, in ball and box; no random start, so that training is a flow.

    Args:
        threat: ball and box.
        steps: of the attack.
        step_ratio: α/ε.
        loss: that it raises: ½‖f − y‖² in training; the margin judges, since it is as strong where logits are small.

    Returns:
        The attack.
    """

    def attack(apply: Apply, parameters: Tree, images: jax.Array, targets: jax.Array, time: jax.Array) -> jax.Array:
        def oracle(points: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            outputs, pullback = jax.vjp(lambda x: apply(parameters, x), points)
            value, slope = value_and_logit_gradient(loss, outputs, targets)
            return outputs, value, pullback(slope)[0]

        size = step_ratio * threat.radius
        last: jax.Array = ascend(oracle, images, images, threat=threat, steps=steps, step_size=size)
        return last

    return attack
