"""Adversarial training of a linearised network under cross-entropy, by an ODE solver in output space.

L = −Σ_k y_k log p_k with p = softmax(f), so ∂_f L = p − y. With Jacobians frozen and ARK = κ(x) I_c, an inner attack
moves the logits of a training image in the direction of ∂_f L only:

    flow   f' = κ η (softmax(f) − y) for a time S                              dx/ds = ∂ₓfᵀ η ∂_f L
    ball   f_S = f + √κ ε (softmax(f) − y)/‖softmax(f) − y‖                    one steepest step of ℓ2 length ε

(x_S − x = ε ∂ₓfᵀ g/‖∂ₓfᵀ g‖ moves f by ε κ g/(√κ ‖g‖).) The outer flow has another residual than the squared loss's:

    f_t(x) = Θ(x, X) A(t),    A' = y − softmax(f_S),    A(0) = 0

The flow's perturbation fades where softmax(f) → y; under the squared loss it multiplies any residual by e^{κηS}. The
ball's does not fade. No closed form is known. Units: κηS in logits here (∂_f L has none), √κ ε in logits, t in units of
the caller's Θ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp

from advntk.foundation.errors import InputError, NumericalError

Logits = Float[np.ndarray, "n c"]
Attack = Callable[[Logits, Logits], Logits]
"""Logits and targets of the training images to the logits at the end of the inner attack."""


def softmax(logits: Logits) -> Logits:
    """Class probabilities, (n, c)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def no_attack(logits: Logits, targets: Logits) -> Logits:
    """Clean training."""
    return logits


def flow(reach: Float[np.ndarray, " n"] | float, *, steps: int = 4) -> Attack:
    """The inner gradient flow, by Runge–Kutta steps of fourth order.

    Args:
        reach: κ(x_i) η S, one number or one an image.
        steps: for the whole flow. Its rate in the logits is at most half of ``reach``: 4 serve a reach of 4, with an
            error of about 1e-3 logits; halve them to see it.

    Returns:
        The attack.
    """
    weight = np.reshape(np.asarray(reach, dtype=np.float64), (-1, 1)) / steps

    def attack(logits: Logits, targets: Logits) -> Logits:
        def slope(at: Logits) -> Logits:
            return np.asarray(weight * (softmax(at) - targets))

        for _ in range(steps):
            first = slope(logits)
            second = slope(logits + first / 2)
            third = slope(logits + second / 2)
            logits = logits + (first + 2 * second + 2 * third + slope(logits + third)) / 6
        return logits

    return attack


def ball(reach: Float[np.ndarray, " n"] | float) -> Attack:
    """One steepest step of fixed length.

    Args:
        reach: √κ(x_i) ε, logits, one number or one an image.

    Returns:
        The attack.
    """
    length = np.reshape(np.asarray(reach, dtype=np.float64), (-1, 1))

    def attack(logits: Logits, targets: Logits) -> Logits:
        slope = softmax(logits) - targets
        return np.asarray(logits + length * slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-300))

    return attack


def trained(
    gram: Float[np.ndarray, "n n"],
    targets: Logits,
    times: Sequence[float] | np.ndarray,
    *,
    attack: Attack = no_attack,
    tolerance: float = 1e-6,
) -> Float[np.ndarray, "T n c"]:
    """A(t) of A' = y − softmax(f_S), f = Θ A, from A(0) = 0, by DOP853.

    Args:
        gram: Θ(X, X), symmetric.
        targets: Y, one-hot.
        times: t > 0, ascending, 1/logits².
        attack: the inner one.
        tolerance: relative, of a step.

    Returns:
        A at all times: f_t(x) = Θ(x, X) A(t).

    Raises:
        InputError: times.
        NumericalError: the solver gave up.
    """
    moments = np.asarray(times, dtype=np.float64)
    if moments.ndim != 1 or not len(moments) or not (np.diff(moments, prepend=0.0) > 0).all():
        raise InputError(f"training times {times}", where="cross_entropy_flow", remedy="give times > 0 that ascend")
    goals = np.asarray(targets, dtype=np.float64)

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        logits = gram @ state.reshape(goals.shape)
        return np.asarray(goals - softmax(attack(logits, goals))).ravel()

    solution = solve_ivp(
        slope,
        (0.0, float(moments[-1])),
        np.zeros(goals.size),
        method="DOP853",
        t_eval=moments,
        rtol=tolerance,
        atol=tolerance * float(moments[0]),
    )
    if not solution.success or not np.isfinite(solution.y).all():
        raise NumericalError(
            f"the ODE solver stopped: {solution.message}",
            where="cross_entropy_flow",
            remedy="shorten training, or weaken the attack",
        )
    return np.asarray(solution.y.T.reshape(len(moments), *goals.shape))


def direction(logits: Float[np.ndarray, "*T m c"]) -> Float[np.ndarray, "*T m c"]:
    """Logits less their mean over classes, which softmax does not see, at unit norm over images and classes.

    Returns:
        For each leading index a matrix of norm 1.
    """
    centred = logits - logits.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.linalg.norm(centred, axis=(-2, -1), keepdims=True))
