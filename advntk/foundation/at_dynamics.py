"""Adversarial training (AT) of a linearised network: what its dynamics are made of.

Inner attack, for a time s in [0, S]: dx/ds = ∂ₓf(x)ᵀ η ∂_f L. Outer training: gradient flow in t on L = ½‖f(x_S) − y‖²,
summed over classes and over training points. With Jacobians frozen, ARK(x) = ∂ₓf(x) ∂ₓf(x)ᵀ and r_t = f_t(X) − Y,

    f_t(x_S) − y = exp(ARK(x) η(t) S) (f_t(x) − y)                      (the attack)
    Ξ'(t) = Diag_i(exp(ARK(x_i) η_i(t) S)),   Ξ(t) = ∫₀ᵗ Ξ'(τ) dτ        (n blocks of c×c)
    f_t(x) = f_0(x) − Θ(x, X) P(t),   P' = Ξ'(t) (r_0 − Θ P),   P(0) = 0   (the dynamics)
    P(t) = Θ⁻¹ (I − e^{−ΘΞ(t)}) r_0 = Ξ^½ φ(Ξ^½ΘΞ^½) Ξ^½ r_0              (the closed form)

with φ(z) = (1 − e^{−z})/z (Fu & Wang 2024, in a form without an inverse); ``at_solutions.py`` has both. Θ stands for
Θ ⊗ I_c where it meets Ξ. The closed form solves the dynamics where Ξ'(t) is a number g(t) times a constant matrix: for
constant η always, for a common η(t) where ARK is the same number for every point. :func:`turning` measures how far that
is from holding.

Units: images x in pixels (the range [0, 1] is 1), logits f in one. ARK: logits²/pixel². η S ("exposure"):
pixel²/logits², so that ARK η S has none. Θ: logits², training time t: 1/logits² (for the mean over points in L in place
of the sum, divide t by n). All arithmetic is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from scipy.integrate import quad_vec

from advntk.foundation.errors import InputError, NotPositiveDefinite, NumericalError

Exposure = float | Float[np.ndarray, " n"]
"""η S, one number or one a training point, >= 0, pixel²/logits²."""

LARGEST_EXPONENT = 700.0
"""Of exp(ARK η S): float64 ends at e^709."""
NEGATIVE = 1e-10
"""Eigenvalues below minus this share of the largest are more than float64 rounding."""
ASYMMETRY = 1e-9
QUADRATURE = 1e-12
"""Relative error asked of ∫ Ξ'."""
INTERVALS = 1000
"""Of the adaptive quadrature, at most; each holds about a period of an η(t) that swings."""


@dataclass(frozen=True, kw_only=True)
class LinearisedNetwork:
    """What training sees of a linearised network.

    Attributes:
        gram: Θ(X, X), (n, n), where classes share it; or the whole of a finite network's, (n, c, n, c). logits².
        targets: Y, (n, c).
        initial: f_0(X), (n, c); None: zero.
    """

    gram: Float[np.ndarray, "n n"] | Float[np.ndarray, "n c n c"]
    targets: Float[np.ndarray, "n c"]
    initial: Float[np.ndarray, "n c"] | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.targets)
        if len(shape) != 2 or np.shape(self.gram) not in {(shape[0], shape[0]), (*shape, *shape)}:
            raise InputError(
                f"a Gram matrix {np.shape(self.gram)} for targets {shape}",
                where="at_dynamics",
                remedy="give targets (n, c) and a Gram matrix (n, n) or (n, c, n, c)",
            )
        if self.initial is not None and np.shape(self.initial) != shape:
            raise InputError(
                f"initial outputs {np.shape(self.initial)} for targets {shape}",
                where="at_dynamics",
                remedy="give both as (n, c)",
            )
        if not (np.isfinite(self.flat_gram).all() and np.isfinite(self.residual).all()):
            raise InputError(
                "NaN or infinite entries in the Gram matrix, the targets or the initial outputs",
                where="at_dynamics",
                remedy="check the kernel's depth and σ_w",
            )
        off = float(np.abs(self.flat_gram - self.flat_gram.T).max())
        if off > ASYMMETRY * float(np.abs(self.flat_gram).max()):
            raise InputError(
                f"the Gram matrix is not symmetric, by {off:.1e}",
                where="at_dynamics",
                remedy="give Θ(X, X) of one set of images, in float64",
            )

    @property
    def shared(self) -> bool:
        """Whether all classes have the same Θ, (n, n)."""
        return np.ndim(self.gram) == 2

    @property
    def flat_gram(self) -> np.ndarray:
        """Θ as a matrix, (n, n) or (n·c, n·c), float64."""
        side = round(np.size(self.gram) ** 0.5)
        return np.asarray(self.gram, dtype=np.float64).reshape(side, side)

    @property
    def residual(self) -> Float[np.ndarray, "n c"]:
        """r_0 = f_0(X) − Y, float64."""
        targets = np.asarray(self.targets, dtype=np.float64)
        return -targets if self.initial is None else np.asarray(self.initial, dtype=np.float64) - targets

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """Of Θ, ascending."""
        return np.linalg.eigvalsh(self.flat_gram)

    def require_semidefinite(self) -> None:
        """Refuse a Θ that is indefinite beyond rounding, with a ``NotPositiveDefinite``."""
        require_semidefinite(self.eigenvalues, "Θ")


def require_semidefinite(values: np.ndarray, name: str) -> None:
    """Refuse a symmetric matrix, by its ascending eigenvalues, that is indefinite beyond rounding.

    Raises:
        NotPositiveDefinite: it is.
    """
    if float(values[0]) < -NEGATIVE * max(float(values[-1]), 0.0) - 1e-300:
        raise NotPositiveDefinite(
            f"{name} has the eigenvalue {values[0]:.3g} beside the largest {values[-1]:.3g}",
            where="at_dynamics",
            remedy="compute the kernel in float64, remove duplicate images, or add a ridge",
        )


def times_blocks(blocks: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A block-diagonal matrix, numbers (n,) or blocks (n, c, c), times (n, c)."""
    return np.asarray(blocks[:, None] * columns if blocks.ndim == 1 else np.einsum("iab,ib->ia", blocks, columns))


@dataclass(frozen=True, kw_only=True)
class InnerFlow:
    """The inner attack as training feels it: ARK of every training point and η S.

    Attributes:
        ark: ARK(x_i): a number each, (n,), κ(x_i) at infinite width; or a symmetric block each, (n, c, c). >= 0.
        exposure: η S, constant: one number or (n,); or a function of training time that gives either. 0 is clean
            training.
    """

    ark: Float[np.ndarray, " n"] | Float[np.ndarray, "n c c"]
    exposure: Exposure | Callable[[float], Exposure]

    def __post_init__(self) -> None:
        shape = np.shape(self.ark)
        if len(shape) not in (1, 3) or (len(shape) == 3 and shape[1] != shape[2]):
            raise InputError(f"ARK of shape {shape}", where="at_dynamics", remedy="give (n,) or (n, c, c)")
        if not np.isfinite(self.ark).all():
            raise InputError("NaN or infinite entries in ARK", where="at_dynamics", remedy="check κ or the Jacobians")
        ark = np.asarray(self.ark, dtype=np.float64)
        if len(shape) == 3 and np.abs(ark - ark.swapaxes(1, 2)).max() > ASYMMETRY * np.abs(ark).max():
            raise InputError("blocks of ARK are not symmetric", where="at_dynamics", remedy="give J Jᵀ in float64")
        lowest, highest = float(self._basis[0].min()), float(self._basis[0].max())
        if lowest < -NEGATIVE * max(highest, 0.0):
            raise NotPositiveDefinite(
                f"ARK has the eigenvalue {lowest:.3g}", where="at_dynamics", remedy="give J Jᵀ, or κ >= 0"
            )

    @property
    def constant(self) -> bool:
        """Whether η S does not change along training."""
        return not callable(self.exposure)

    @cached_property
    def _basis(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Eigenvalues of ARK (n, 1) or (n, c), and eigenvectors (n, c, c) or None for numbers."""
        ark = np.asarray(self.ark, dtype=np.float64)
        if ark.ndim == 1:
            return ark[:, None], None
        values, vectors = np.linalg.eigh(ark)
        return np.maximum(values, 0.0) if values.min() > -NEGATIVE * abs(values).max() else values, vectors

    def exponent(self, time: float) -> np.ndarray:
        """Eigenvalues of ARK η(t) S, (n, 1) or (n, c), without unit.

        Returns:
            Them, in the order of ARK's eigenvectors.

        Raises:
            InputError: η S is negative, not finite or of another shape.
            NumericalError: its exponential would overflow.
        """
        exposure = np.asarray(self.exposure(time) if callable(self.exposure) else self.exposure, dtype=np.float64)
        if exposure.shape not in {(), (len(self.ark),)} or not np.isfinite(exposure).all() or (exposure < 0).any():
            raise InputError(
                f"η S at t = {time:g} must be finite and >= 0, one number or one for each of {len(self.ark)} points",
                where="at_dynamics",
                remedy="check the strength of the inner attack",
            )
        out: np.ndarray = self._basis[0] * (exposure if exposure.ndim == 0 else exposure[:, None])
        if float(out.max()) > LARGEST_EXPONENT:
            worst = int(np.argmax(out.max(axis=1)))
            raise NumericalError(
                f"exp(ARK η S) overflows: ARK η S is {out.max():.4g} at training point {worst} and t = {time:g}, "
                f"float64 holds exponents up to {LARGEST_EXPONENT:g}",
                where="at_dynamics",
                remedy="lower η or S",
            )
        return out

    def assembled(self, values: np.ndarray) -> np.ndarray:
        """Numbers (n,), or blocks (n, c, c), with the given eigenvalues in ARK's eigenbasis."""
        vectors = self._basis[1]
        return values[:, 0] if vectors is None else np.einsum("iak,ik,ibk->iab", vectors, values, vectors)

    def rate(self, time: float) -> np.ndarray:
        """Ξ'(t) = exp(ARK η(t) S), (n,) or (n, c, c), without unit; errors are those of :meth:`exponent`."""
        return self.assembled(np.exp(self.exponent(time)))

    def xi_spectrum(self, time: float) -> np.ndarray:
        """Eigenvalues of Ξ(t), (n, 1) or (n, c), in the order of ARK's eigenvectors; units of training time.

        Returns:
            Them.

        Raises:
            NumericalError: the exponential overflows, or the integral does not converge.
        """
        if self.constant or time == 0:
            return np.asarray(np.exp(self.exponent(0.0)) * time)

        def rates(at: float) -> Float[np.ndarray, "n k"]:
            return np.asarray(np.exp(self.exponent(at)))

        total, error, report = quad_vec(
            rates, 0.0, time, epsrel=QUADRATURE, epsabs=0.0, norm="max", limit=INTERVALS, full_output=True
        )
        # at rounding level the estimate may miss its goal and the value is as good as it gets
        if not report.success and error > 1e3 * QUADRATURE * float(np.abs(total).max()):
            raise NumericalError(
                f"∫ exp(ARK η S) up to t = {time:g} was found to {error:.1e} only",
                where="at_dynamics",
                remedy="make η(t) smoother, or split training where it jumps",
            )
        return np.asarray(total)

    def xi(self, time: float) -> np.ndarray:
        """Ξ(t) = ∫₀ᵗ exp(ARK η(τ) S) dτ, (n,) or (n, c, c), in units of training time.

        Returns:
            Numbers or blocks; errors are those of :meth:`exponent` and :meth:`xi_spectrum`.
        """
        return self.assembled(self.xi_spectrum(time))

    def attacked(
        self, outputs: Float[np.ndarray, "n c"], targets: Float[np.ndarray, "n c"], *, time: float = 0.0
    ) -> Float[np.ndarray, "n c"]:
        """f_t(x_S) = y + exp(ARK(x) η(t) S) (f_t(x) − y): outputs at the end of the inner attack.

        Args:
            outputs: f_t(x) of the points that ``ark`` belongs to.
            targets: y.
            time: t, where η changes with it.

        Returns:
            Outputs (n, c).
        """
        targets = np.asarray(targets, dtype=np.float64)
        return np.asarray(targets + times_blocks(self.rate(time), outputs - targets))


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """P(t) along training.

    Attributes:
        times: t, (T,), 1/logits².
        coefficients: P(t), (T, n, c): f_t(x) = f_0(x) − Θ(x, X) P(t); see :func:`outputs`.
        error: relative error of P to be expected, (T,): by rounding in the closed form; the solver's tolerance.
    """

    times: Float[np.ndarray, " T"]
    coefficients: Float[np.ndarray, "T n c"]
    error: Float[np.ndarray, " T"]


def outputs(
    rows: Float[np.ndarray, "m n"] | Float[np.ndarray, "m c n c"],
    coefficients: Float[np.ndarray, "*T n c"],
    initial: Float[np.ndarray, "m c"] | float = 0.0,
) -> Float[np.ndarray, "*T m c"]:
    """f_t(x) = f_0(x) − Θ(x, X) P(t).

    Args:
        rows: Θ(x, X); Θ(X, X) itself gives the outputs on training points.
        coefficients: P(t), for one or for many t.
        initial: f_0(x).

    Returns:
        Logits.
    """
    moved = "mn,...nc->...mc" if np.ndim(rows) == 2 else "mand,...nd->...ma"
    return np.asarray(initial - np.einsum(moved, rows, coefficients, optimize=True))


def checked_times(times: Sequence[float] | np.ndarray, *, infinite: bool) -> np.ndarray:
    """Training times as an array (T,); anything but numbers >= 0 is an ``InputError``."""
    out = np.asarray(times, dtype=np.float64)
    fine = out.ndim == 1 and out.size > 0 and not np.isnan(out).any() and (out >= 0).all()
    if not fine or (not infinite and not np.isfinite(out).all()):
        raise InputError(
            f"training times {out.tolist()} must be a list of numbers >= 0{'' if infinite else ', finite'}",
            where="at_dynamics",
            remedy="give times in units of 1/Θ",
        )
    return out


def turning(flow: InnerFlow, times: Sequence[float] | np.ndarray) -> float:
    """How far Ξ'(t) is from a number g(t) times a constant matrix, over some times.

    Returns:
        max over t of ‖Ξ'(t)/‖Ξ'(t)‖ − Ξ'(t₀)/‖Ξ'(t₀)‖‖ in the Frobenius norm, t₀ the first time: 0 to rounding where
        the closed form solves the dynamics, up to √2.
    """
    moments = checked_times(times, infinite=False)
    exponents = [flow.exponent(float(time)) for time in moments]
    shapes = [np.exp(exponent - exponent.max()) for exponent in exponents]
    shapes = [shape / np.linalg.norm(shape) for shape in shapes]
    return max(float(np.linalg.norm(shape - shapes[0])) for shape in shapes)
