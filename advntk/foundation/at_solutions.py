"""P(t) of adversarial training of a linearised network: by the closed form, and by an ODE solver beside it.

Definitions and units are those of ``at_dynamics.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.integrate import solve_ivp

from advntk.foundation.at_dynamics import (
    InnerFlow,
    LinearisedNetwork,
    Trajectory,
    checked_times,
    require_semidefinite,
    times_blocks,
)
from advntk.foundation.errors import InputError, NotPositiveDefinite, NumericalError
from advntk.foundation.phi_functions import alpha


@dataclass(frozen=True)
class _Spectral:
    """A = Ξ^½ΘΞ^½ = V Λ Vᵀ with Ξ^½, in whichever size the blocks ask for."""

    root: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    floor: float

    def coefficients(self, residual: np.ndarray, time: float) -> tuple[np.ndarray, float]:
        """Ξ^½ α_time(A) Ξ^½ r with α_t(λ) = (1 − e^{−tλ})/λ, and its relative error by rounding."""
        start = times_blocks(self.root, residual).reshape(len(self.values), -1)
        moved = self.vectors @ (alpha(time, self.values)[:, None] * (self.vectors.T @ start))
        reach = min(time, 1 / max(float(self.values[0]), self.floor))
        return times_blocks(self.root, moved.reshape(residual.shape)), self.floor * reach


def _spectral(net: LinearisedNetwork, root: np.ndarray) -> _Spectral:
    """The eigendecomposition of Ξ^½ΘΞ^½.

    Args:
        net: Θ, (n, n) or (n, c, n, c).
        root: Ξ^½, (n,) or (n, c, c).

    Returns:
        It.

    Raises:
        InputError: n or c of the two differ.
        NumericalError: the product overflows.
    """
    (points, classes), gram = net.targets.shape, np.asarray(net.gram, dtype=np.float64)
    if root.shape not in {(points,), (points, classes, classes)}:
        raise InputError(
            f"ARK of shape {root.shape} for targets {net.targets.shape}",
            where="at_dynamics",
            remedy="give ARK as (n,) or (n, c, c)",
        )
    net.require_semidefinite()  # an uneven Ξ could hide it in A
    with np.errstate(over="ignore", invalid="ignore"):
        if net.shared and root.ndim == 1:
            matrix = root[:, None] * gram * root
        elif net.shared:
            matrix = np.einsum("ij,iab,jbd->iajd", gram, root, root, optimize=True)
        elif root.ndim == 1:
            matrix = root[:, None, None, None] * gram * root[:, None]
        else:
            matrix = np.einsum("iab,ibjd,jde->iaje", root, gram, root, optimize=True)
    if not np.isfinite(matrix).all():
        raise NumericalError("Ξ^½ΘΞ^½ overflows", where="at_dynamics", remedy="lower η or S, or train for less time")
    side = round(matrix.size**0.5)
    values, vectors = np.linalg.eigh(matrix.reshape(side, side))
    require_semidefinite(values, "Ξ^½ΘΞ^½")
    floor = max(side * np.finfo(np.float64).eps * float(values[-1]), np.finfo(np.float64).tiny)
    return _Spectral(root, np.maximum(values, 0.0), vectors, floor)


def spectrum(net: LinearisedNetwork, flow: InnerFlow, time: float) -> np.ndarray:
    """Eigenvalues of Ξ(t)^½ Θ Ξ(t)^½, ascending, (n,) or (n·c,), without unit.

    Their quotient says how far the closed form can be trusted, and the small ones how slowly training goes.

    Returns:
        Eigenvalues >= 0 (negative ones by rounding are set to 0).
    """
    return _spectral(net, flow.assembled(np.sqrt(flow.xi_spectrum(time)))).values


def closed_form(net: LinearisedNetwork, flow: InnerFlow, times: Sequence[float] | np.ndarray) -> Trajectory:
    """P(t) = Ξ^½ φ(Ξ^½ΘΞ^½) Ξ^½ (f_0(X) − Y) (Fu & Wang 2024), by dense eigendecompositions.

    One serves all times where η is constant; else each time takes one. For n too large for that and numbers as ARK,
    ``krylov.solve(product, flow.xi(t), f_0 − y).coef`` is the same. Where η changes with time this is the paper's
    formula, not in general the solution of the dynamics: see :func:`at_dynamics.turning`.

    Args:
        net: Θ, f_0 and Y.
        flow: ARK and η S.
        times: t >= 0; ``inf`` where η is constant and Θ is positive definite: Θ⁻¹ r_0, whatever the attack was.

    Returns:
        P at all times.

    Raises:
        InputError: shapes or values.
        NotPositiveDefinite: Θ has a negative eigenvalue, or t is infinite and Θ is singular.
    """
    moments = checked_times(times, infinite=flow.constant)
    residual = net.residual
    common = _spectral(net, flow.assembled(np.sqrt(np.exp(flow.exponent(0.0))))) if flow.constant else None
    parts = []
    for time in moments:
        if common is None:
            parts.append(_spectral(net, flow.assembled(np.sqrt(flow.xi_spectrum(time)))).coefficients(residual, 1.0))
            continue
        if np.isinf(time) and common.values[0] <= common.floor:
            raise NotPositiveDefinite(
                f"Ξ'^½ΘΞ'^½ is singular in float64: λmin is {common.values[0]:.3g}, λmax {common.values[-1]:.3g}",
                where="at_dynamics",
                remedy="ask for a finite time, remove duplicate images, or add a ridge",
            )
        parts.append(common.coefficients(residual, float(time)))
    coefficients, errors = zip(*parts, strict=True)
    return Trajectory(times=moments, coefficients=np.stack(coefficients), error=np.array(errors))


def integrate(
    net: LinearisedNetwork,
    flow: InnerFlow,
    times: Sequence[float] | np.ndarray,
    *,
    tolerance: float = 1e-11,
    method: Literal["DOP853", "Radau"] = "DOP853",
) -> Trajectory:
    """P' = Ξ'(t) (r_0 − Θ P) by an ODE solver: the dynamics themselves, whatever η(t) does.

    Args:
        net: Θ, f_0 and Y.
        flow: ARK and η S.
        times: t >= 0, finite, in any order.
        tolerance: relative, of a step; the error at the end is larger by a small factor.
        method: of scipy's ``solve_ivp``. The explicit one takes about λmax(Ξ^½ΘΞ^½)/6 steps of 12 products; the
            implicit one factorises matrices of side n·c, and pays off where that number is huge and n·c small.

    Returns:
        P at all times.

    Raises:
        InputError: shapes or values.
        NumericalError: the solver gave up.
    """
    moments, residual, gram = checked_times(times, infinite=False), net.residual, net.flat_gram
    net.require_semidefinite()  # or the solution would grow without bound
    points, classes = residual.shape
    if flow.rate(0.0).shape not in {(points,), (points, classes, classes)}:
        raise InputError(
            f"ARK of shape {np.shape(flow.ark)} for targets {residual.shape}",
            where="at_dynamics",
            remedy="give ARK as (n,) or (n, c, c)",
        )

    def slope(time: float, state: np.ndarray) -> np.ndarray:
        coefficients = state.reshape(points if net.shared else points * classes, -1)
        return times_blocks(flow.rate(time), residual - (gram @ coefficients).reshape(points, classes)).ravel()

    def jacobian(time: float, state: np.ndarray) -> np.ndarray:
        whole = np.kron(gram, np.eye(classes)) if net.shared else gram
        columns = whole.reshape(points, classes, -1)
        rate = flow.rate(time)
        out = rate[:, None, None] * columns if rate.ndim == 1 else np.einsum("iab,ibk->iak", rate, columns)
        return -np.asarray(out).reshape(state.size, state.size)

    if (end := float(moments.max())) == 0.0:
        return Trajectory(times=moments, coefficients=np.zeros((len(moments), points, classes)), error=0.0 * moments)
    tiny = float(np.finfo(np.float64).tiny)
    # P grows like t Ξ'r before it saturates at about r/Θ; what is far below both does not count
    early = end * np.abs(times_blocks(flow.rate(0.0), residual)).max()
    late = np.abs(residual).max() / max(np.abs(gram).max(), tiny)
    ordered, where = np.unique(moments, return_inverse=True)
    extra: dict[str, Any] = {"jac": jacobian} if method == "Radau" else {}
    state, begun, states = np.zeros(residual.size), 0.0, []
    for moment in ordered:  # the solver ends at each time: in between it interpolates, which costs digits
        if moment > begun:
            solution = solve_ivp(
                slope,
                (begun, moment),
                state,
                method=method,
                t_eval=[moment],
                rtol=tolerance,
                atol=max(1e-3 * tolerance * min(early, late), tiny),
                **extra,
            )
            if not solution.success or not np.isfinite(solution.y).all():
                raise NumericalError(
                    f"the ODE solver stopped: {solution.message}",
                    where="at_dynamics",
                    remedy="use method Radau, a shorter time, or a weaker attack",
                )
            state, begun = solution.y[:, -1], moment
        states.append(state)
    coefficients = np.stack(states)[where].reshape(len(moments), points, classes)
    return Trajectory(times=moments, coefficients=coefficients, error=np.full(len(moments), tolerance))
