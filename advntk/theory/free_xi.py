"""A regularisation matrix Ξ as free as one likes: P(Ξ) = Θ⁻¹ (I − e^{−ΘΞ}) Y and its gradient, dense, in float64.

With any factor L of Ξ = L Lᵀ and φ(z) = (1 − e^{−z})/z,

    P = L φ(LᵀΘL) Lᵀ Y

needs neither an inverse nor a symmetric root, and Ξ is positive semi-definite whatever L is. For images n and classes c
the shape of L says how free Ξ is:

    (n,)       Diag ⊗ I_c, the paper's diagonal shared by all classes; equal entries make a number times I
    (n, c)     a diagonal for each class
    (n, c, c)  a block for each image: what exp(ARK η S) is at finite width
    (n, n)     any Ξ ⊗ I_c, images coupled

:func:`fit` learns Ξ by gradient descent on a loss of val images that are attacked anew at each step.

Dense: O(n³), for blocks O((n·c)³). Float64 only (``foundation.device.enable_float64``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

Freedom = Literal["scalar", "diagonal", "per_class", "blocks", "full"]
FREEDOMS: tuple[Freedom, ...] = ("scalar", "diagonal", "per_class", "blocks", "full")
"""From the least free; blocks (within images) and full (between images) do not contain one another."""
_NEAR = 1e-5
"""Relative distance of two eigenvalues below which a difference quotient is a derivative."""
_SERIES = 0.05


def phi(z: jax.Array) -> jax.Array:
    """φ(z) = (1 − e^{−z})/z for z >= 0, with φ(0) = 1."""
    safe = jnp.where(z > 0, z, 1.0)
    return jnp.where(z > 0, -jnp.expm1(-safe) / safe, 1.0)


def phi_slope(z: jax.Array) -> jax.Array:
    """φ'(z) for z >= 0, to 1e-12: a series near 0, where the closed form cancels."""
    safe = jnp.where(z > _SERIES, z, 1.0)
    far = (jnp.exp(-safe) * (1 + safe) - 1) / safe**2
    near, factor = jnp.zeros_like(z), jnp.ones_like(z)
    for k in range(1, 9):  # φ = Σ (−z)^k / (k+1)!, so φ' = −Σ k (−z)^{k−1} / (k+1)!
        near -= k * factor / float(np.prod(np.arange(1.0, k + 2)))
        factor *= -jnp.minimum(z, _SERIES)
    return jnp.where(z > _SERIES, far, near)


@jax.custom_vjp
def phi_action(matrix: jax.Array, columns: jax.Array) -> jax.Array:
    """φ(A) B for a symmetric positive semi-definite A, (n, n), and B, (n, k).

    Its gradient is that of Daleckii and Krein, right for equal eigenvalues too, where that of the eigenvectors is not.

    Returns:
        (n, k).
    """
    return _forward(matrix, columns)[0]


def _forward(matrix: jax.Array, columns: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    values, vectors = jnp.linalg.eigh(matrix)
    values = jnp.maximum(values, 0.0)
    turned = vectors.T @ columns
    return vectors @ (phi(values)[:, None] * turned), (values, vectors, turned)


def _backward(kept: tuple[jax.Array, ...], cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, vectors, turned = kept
    slope = vectors.T @ cotangent
    distance, middle = values[:, None] - values, (values[:, None] + values) / 2
    near = jnp.abs(distance) <= _NEAR * (1 + middle)
    quotient = (phi(values)[:, None] - phi(values)) / jnp.where(near, 1.0, distance)
    inner = jnp.where(near, phi_slope(middle), quotient) * (slope @ turned.T)
    of_matrix = vectors @ ((inner + inner.T) / 2) @ vectors.T
    return of_matrix, vectors @ (phi(values)[:, None] * slope)


phi_action.defvjp(_forward, _backward)


def coefficients(factor: jax.Array, gram: jax.Array, targets: jax.Array) -> jax.Array:
    """P = L φ(LᵀΘL) Lᵀ Y.

    Args:
        factor: L, (n,), (n, c), (n, c, c) or (n, n); see above. With n = c, a square factor is one of images.
        gram: Θ, (n, n); or (n, c, n, c) of a finite network, for a factor of blocks.
        targets: Y, (n, c).

    Returns:
        P, (n, c).
    """
    points, classes = targets.shape
    if factor.ndim == 3:
        if gram.ndim == 2:
            matrix = jnp.einsum("iba,ij,jbd->iajd", factor, gram, factor)
        else:
            matrix = jnp.einsum("iba,ibjd,jde->iaje", factor, gram, factor)
        side = points * classes
        turned = jnp.einsum("iba,ib->ia", factor, targets)
        moved = phi_action(matrix.reshape(side, side), turned.reshape(side, 1)).reshape(points, classes)
        return jnp.einsum("iab,ib->ia", factor, moved)
    if factor.shape == (points, points):
        return factor @ phi_action(factor.T @ gram @ factor, factor.T @ targets)
    if factor.ndim == 1:
        return factor[:, None] * phi_action(factor[:, None] * gram * factor, factor[:, None] * targets)

    def of_class(root: jax.Array, goal: jax.Array) -> jax.Array:
        moved: jax.Array = phi_action(root[:, None] * gram * root, (root * goal)[:, None])
        return root * moved[:, 0]

    classwise: jax.Array = jax.vmap(of_class)(factor.T, targets.T)
    return classwise.T


def start(freedom: Freedom, points: int, classes: int) -> np.ndarray:
    """Parameters at which Ξ is a number times I: zeros, of the shape that the freedom asks for."""
    shapes = {
        "scalar": (),
        "diagonal": (points,),
        "per_class": (points, classes),
        "blocks": (points, classes, classes),
        "full": (points, points),
    }
    return np.zeros(shapes[freedom])


def count(freedom: Freedom, points: int, classes: int) -> int:
    """Free numbers in Ξ."""
    pairs = {"blocks": points * classes * (classes + 1) // 2, "full": points * (points + 1) // 2}
    return pairs.get(freedom) or int(start(freedom, points, classes).size)


def factor_of(freedom: Freedom, parameters: jax.Array, time: float, points: int) -> jax.Array:
    """L of parameters: √time times their exponential, or a Cholesky factor with the exponential on its diagonal.

    Args:
        freedom: of Ξ.
        parameters: of the shape of :func:`start`; above the diagonal they do nothing.
        time: Ξ = time · I where the parameters are 0.
        points: n.

    Returns:
        L as :func:`coefficients` takes it.
    """
    root = jnp.sqrt(time)
    if freedom == "scalar":
        return jnp.full(points, root * jnp.exp(parameters))
    if freedom in {"diagonal", "per_class"}:
        return root * jnp.exp(parameters)
    eye = jnp.eye(parameters.shape[-1])
    return root * (jnp.tril(parameters, -1) + eye * jnp.exp(jnp.diagonal(parameters, axis1=-2, axis2=-1))[..., None])


def as_blocks(factor: jax.Array, classes: int) -> jax.Array:
    """A factor (n,) or (n, c) as blocks (n, c, c), for a Θ whose classes differ; blocks remain as they are."""
    if factor.ndim == 3:
        return factor
    wide = jnp.broadcast_to(factor[:, None], (len(factor), classes)) if factor.ndim == 1 else factor
    return wide[:, :, None] * jnp.eye(classes)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What Ξ is fitted on.

    Attributes:
        gram: Θ(X, X), (n, n) or (n, c, n, c).
        targets: Y, (n, c).
        goals: targets of val, (m, c).
        attacked: (P, step) → images of val attacked against P, in the form that ``read`` takes.
        read: (P, attacked) → logits (m, c); traced by JAX.
    """

    gram: np.ndarray
    targets: np.ndarray
    goals: np.ndarray
    attacked: Callable[[np.ndarray, int], Any]
    read: Callable[[jax.Array, Any], jax.Array]

    def solved(self, freedom: Freedom, parameters: jax.Array, time: float) -> jax.Array:
        """P, (n, c), of parameters of a freedom; see :func:`factor_of`."""
        factor = factor_of(freedom, parameters, time, len(self.targets))
        if self.gram.ndim == 4:
            factor = as_blocks(factor, self.targets.shape[1])
        return coefficients(factor, jnp.asarray(self.gram), jnp.asarray(self.targets))


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Ξ along its training.

    Attributes:
        coefs: P after 0 … steps updates, (steps + 1, n, c).
        losses: (1/2m) Σ ‖f(x') − y‖² on val before each update, (steps,).
    """

    coefs: np.ndarray
    losses: np.ndarray


def fit(problem: Problem, freedom: Freedom, *, time: float, steps: int, rate: float) -> Fitted:
    """Learn Ξ of some freedom by Adam (β 0.9 and 0.999) on all of val, attacked anew before each update.

    Args:
        problem: Θ, Y and val.
        freedom: of Ξ.
        time: Ξ starts at time · I; 1/logits².
        steps: updates.
        rate: of each; parameters have no unit, see :func:`factor_of`.

    Returns:
        P of all steps.
    """

    @jax.jit
    def solve(parameters: jax.Array) -> tuple[jax.Array, Any]:
        # the pullback comes along, so that one eigendecomposition serves attack and gradient
        return jax.vjp(lambda inner: problem.solved(freedom, inner, time), parameters)

    @jax.jit
    def slope(coef: jax.Array, pullback: Any, attacked: Any) -> tuple[jax.Array, jax.Array]:
        def loss(inner: jax.Array) -> jax.Array:
            return 0.5 * ((problem.read(inner, attacked) - problem.goals) ** 2).sum(axis=1).mean()

        value, cotangent = jax.value_and_grad(loss)(coef)
        return value, pullback(cotangent)[0]

    parameters = jnp.asarray(start(freedom, *problem.targets.shape))
    mean, square = jnp.zeros_like(parameters), jnp.zeros_like(parameters)
    coef, pullback = solve(parameters)
    coefs, losses = [np.asarray(coef)], []
    for step in range(1, steps + 1):
        loss, gradient = slope(coef, pullback, problem.attacked(coefs[-1], step - 1))
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        parameters -= rate * (mean / (1 - 0.9**step)) / (jnp.sqrt(square / (1 - 0.999**step)) + 1e-12)
        coef, pullback = solve(parameters)
        coefs.append(np.asarray(coef))
        losses.append(float(loss))
    return Fitted(coefs=np.stack(coefs), losses=np.asarray(losses))
