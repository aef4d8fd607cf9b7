"""Adversarial training of a JAX network as a gradient flow: θ' = −∂_θ f(x_S)ᵀ (f(x_S) − y), x_S the attacked images.

The loss is ½‖f(x_S) − y‖², summed over classes and over images, as in ``foundation/at_dynamics.py``, and x_S counts as
given where θ moves. The flow is integrated by small Runge–Kutta steps: an Euler step's own error can be larger than the
effects that are measured with it. The same function trains a network and its linearisations (``linearisations.py``), so
that what is left of a step's error is the same for all of them. Float64 only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from advntk.foundation.errors import InputError, NumericalError
from advntk.ingredients.networks.jacobians import Apply
from advntk.theory.inner_attacks import InnerAttack, Tree, no_attack, runge_kutta


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network along training.

    Attributes:
        times: t, ascending, 1/logits².
        parameters: at each time.
    """

    times: list[float]
    parameters: list[Any]


@partial(jax.jit, static_argnames=("apply", "attack"))
def _advance(
    parameters: Tree,
    images: jax.Array,
    targets: jax.Array,
    begin: jax.Array,
    size: jax.Array,
    steps: jax.Array,
    *,
    apply: Apply,
    attack: InnerAttack,
) -> Tree:
    """Parameters after a number of steps of equal size; the number is an argument, so one program serves all."""

    def slope(state: Tree, time: jax.Array) -> Tree:
        attacked = jax.lax.stop_gradient(attack(apply, state, images, targets, time))
        outputs, pullback = jax.vjp(lambda leaves: apply(leaves, attacked), state)
        return pullback(targets - outputs)[0]

    def step(index: jax.Array, state: Tree) -> Tree:
        return runge_kutta(slope, state, begin + index * size, size)

    return jax.lax.fori_loop(0, steps, step, parameters)


def train(
    apply: Apply,
    parameters: Tree,
    images: Float[np.ndarray, "n H W C"],
    targets: Float[np.ndarray, "n c"],
    *,
    times: Sequence[float],
    step: float,
    attack: InnerAttack = no_attack,
) -> Trained:
    """Train by gradient flow and keep the parameters at some times.

    Args:
        apply: the network, or a linearisation of it.
        parameters: θ_0, float64 (``foundation.device.enable_float64`` before they are drawn).
        images: X in [0, 1].
        targets: Y.
        times: t >= 0, ascending, 1/logits².
        step: longest step. Below 2.78/λmax(Ξ'^½ΘΞ'^½) it is stable (``at_solutions.spectrum`` at time 1); halve it to
            see its error, which falls by 16.
        attack: the inner one.

    Returns:
        Parameters at all times.

    Raises:
        InputError: times, step, targets or the parameters' precision.
        NumericalError: the parameters became infinite.
    """
    moments = [float(time) for time in times]
    ascending = all(early <= late for early, late in zip([0.0, *moments], moments, strict=False))
    if not moments or not ascending or not math.isfinite(moments[-1]) or not step > 0:
        raise InputError(
            f"training times {moments} with steps of {step}",
            where="gradient flow",
            remedy="give finite times >= 0 that ascend, and a step > 0",
        )
    if any(leaf.dtype != np.float64 for leaf in jax.tree_util.tree_leaves(parameters)):
        raise InputError(
            "parameters are not float64", where="gradient flow", remedy="call enable_float64() before drawing them"
        )
    points, goals = jnp.asarray(images, jnp.float64), jnp.asarray(targets, jnp.float64)
    if (found := jax.eval_shape(apply, parameters, points).shape) != goals.shape:
        raise InputError(f"targets {goals.shape} for outputs {found}", where="gradient flow", remedy="give (n, c)")
    state, begin, kept = parameters, 0.0, []
    for moment in moments:
        count = math.ceil((moment - begin) / step)
        if count:
            size = (moment - begin) / count
            state = _advance(state, points, goals, begin, size, count, apply=apply, attack=attack)
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree_util.tree_leaves(state)):
            raise NumericalError(
                f"parameters became infinite between t = {begin:g} and {moment:g}",
                where="gradient flow",
                remedy="take smaller steps, or a weaker attack",
            )
        kept.append(state)
        begin = moment
    return Trained(times=moments, parameters=kept)


def outputs_along(apply: Apply, trained: Trained, images: Float[np.ndarray, "m H W C"]) -> Float[np.ndarray, "T m c"]:
    """Logits of some images at all times.

    Returns:
        float64.
    """
    points, logits = jnp.asarray(images, jnp.float64), jax.jit(apply)
    return np.stack([np.asarray(logits(parameters, points)) for parameters in trained.parameters])
