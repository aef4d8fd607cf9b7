"""κ(x): the mean of the adversarial regularisation kernel (ARK) ∂ₓf(x) ∂ₓf(x)ᵀ of infinitely wide networks is κ(x) I_c.

With K the covariance of a logit over random networks (the NNGP kernel),

    κ(x) = Σ_a ∂_{x_a} ∂_{x'_a} K(x, x')  at x' = x  =  E ‖∂ₓ f_k(x)‖²,    logits²/pixel².

Without pooling, a recursion over the layers gives it. Each pixel of a layer carries the second moment v of its units,
g = ∂ₓ v, and κ = Σ_a E (∂_{x_a} unit)²:

    input       v = |x_p|²/C,   g = 2 x_p/C at the entries of the pixel p itself,   κ = 1
    Flatten     the mean over pixels, of all three;   Conv: first, a zero-padded 3×3 mean of all three
    Dense, Conv v ← σ_w² v + σ_b²,   g ← σ_w² g,   κ ← σ_w² κ
    activation  κ ← E φ'(u)² κ + E φ'(u)² (z² − 1) |g|²/4v,   g ← (d E φ(u)²/dv) g,   v ← E φ(u)²
                with u = √v z, z ~ N(0, 1)
    residual    v, g and κ of both paths add (their last weights are independent)

As ∂_a u given u has mean (∂_a v/2v) u, its square has the mean κ_aa + (∂_a v)²/4v · (z² − 1). For ReLU the second term
vanishes, g is not needed, and κ does not depend on x: σ_w² (σ_w²/2)^{L−1} for an MLP of L dense layers. With average
pooling pixels meet each other, and κ comes from central increments of K (``ark_increments.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from jaxtyping import Float

from advntk.foundation.architecture import Architecture, Padding
from advntk.foundation.errors import ConfigError, InputError, NumericalError
from advntk.foundation.gaussian_moments import NONLINEARITIES, Nonlinearity, nonlinearity
from advntk.ingredients.networks.layers import Activate, Conv, Dense, Flatten, Layer, Residual, flat, layers_of

TOLERANCE = 1e-12
"""Relative change of κ from one order of the quadrature to its double at which it is enough."""
LOWEST, HIGHEST = 8, 128
"""Orders."""
MEMORY_MB = 256.0
"""Of the gradients g of the images that are walked through together."""
GRADIENT_COPIES = 5


@dataclass(frozen=True, kw_only=True)
class Kappa:
    """κ of some images.

    Attributes:
        values: κ(x), (m,), logits²/pixel².
        error: its relative error as estimated, (m,): by the quadrature's last doubling, or by the last extrapolation of
            increments; 0 where every moment is exact. Rounding (about 1e-15 a layer) is not in it.
        method: how it was found.
    """

    values: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]
    method: Literal["recursion", "increments"]


@dataclass(frozen=True, kw_only=True)
class _Units:
    """The units of a layer: v and κ (m, H, W) or, flat, (m,); g with the d inputs behind, or None where not needed."""

    second: np.ndarray
    kappa: np.ndarray
    gradient: np.ndarray | None

    def linear(self, scale: float, shift: float) -> _Units:
        """After independent weights of variance ``scale`` and biases of variance ``shift``."""
        gradient = None if self.gradient is None else scale * self.gradient
        return _Units(second=scale * self.second + shift, kappa=scale * self.kappa, gradient=gradient)

    def through(self, change: Callable[[np.ndarray], np.ndarray]) -> _Units:
        """A linear map of pixels, applied to all three."""
        gradient = None if self.gradient is None else change(self.gradient)
        return _Units(second=change(self.second), kappa=change(self.kappa), gradient=gradient)

    def plus(self, other: _Units) -> _Units:
        """The sum of two independent paths."""
        gradient = None if self.gradient is None or other.gradient is None else self.gradient + other.gradient
        return _Units(second=self.second + other.second, kappa=self.kappa + other.kappa, gradient=gradient)

    def activated(self, function: Nonlinearity, order: int) -> _Units:
        """After an activation."""
        moments = function.moments(self.second, order=order)
        kappa = moments.slope * self.kappa
        if self.gradient is None:
            return _Units(second=moments.second, kappa=kappa, gradient=None)
        squared = np.einsum("...d,...d->...", self.gradient, self.gradient)
        # |∂v|² <= 4 v κ: where v is 0, so is the term
        share = np.divide(squared, 4 * self.second, out=np.zeros_like(squared), where=self.second > 0)
        return _Units(
            second=moments.second,
            kappa=kappa + moments.bend * share,
            gradient=moments.growth[..., None] * self.gradient,
        )


def _of_images(images: np.ndarray, *, with_gradient: bool) -> _Units:
    """The input layer: a unit is a channel of a pixel. Images (m, H, W, C), centred."""
    count, height, width, channels = images.shape
    gradient = None
    if with_gradient:
        own = np.zeros((count, height, width, height, width, channels))
        rows, columns = np.arange(height)[:, None], np.arange(width)
        own[:, rows, columns, rows, columns] = 2 * images / channels
        gradient = own.reshape(count, height, width, -1)
    return _Units(
        second=np.einsum("mhwc,mhwc->mhw", images, images) / channels,
        kappa=np.ones((count, height, width)),
        gradient=gradient,
    )


def _neighbourhood(planes: np.ndarray, *, padding: Padding) -> np.ndarray:
    """3×3 mean over axes 1 and 2, beyond the edge zero or the opposite edge."""
    for axis in (1, 2):
        edges = [(1, 1) if at == axis else (0, 0) for at in range(planes.ndim)]
        padded, size = np.pad(planes, edges, mode=_NUMPY_PADDING[padding]), planes.shape[axis]
        shifted = [np.take(padded, np.arange(shift, shift + size), axis=axis) for shift in range(3)]
        planes = (shifted[0] + shifted[1] + shifted[2]) / 3
    return planes


_NUMPY_PADDING: dict[Padding, Literal["constant", "wrap"]] = {"zero": "constant", "circular": "wrap"}


def _pixel_mean(planes: np.ndarray) -> np.ndarray:
    return np.asarray(planes.mean(axis=(1, 2)))


@dataclass(frozen=True, kw_only=True)
class _Walk:
    """One pass of the recursion."""

    spec: Architecture
    functions: Mapping[str, Nonlinearity]
    order: int

    def along(self, layers: Sequence[Layer], units: _Units) -> _Units:
        """Units after some layers."""
        for layer in layers:
            units = self._after(layer, units)
        return units

    def _after(self, layer: Layer, units: _Units) -> _Units:
        scale, shift = self.spec.sigma_w**2, self.spec.sigma_b**2
        match layer:
            case Flatten():
                return units.through(_pixel_mean)
            case Dense():
                return units.linear(scale, shift)
            case Conv(bias=bias, padding=padding):
                return units.through(partial(_neighbourhood, padding=padding)).linear(scale, shift if bias else 0.0)
            case Activate(function=function):
                return units.activated(nonlinearity(function, self.functions), self.order)
            case Residual(main=main, shortcut=shortcut):
                return self.along(main, units).plus(self.along(shortcut, units))
        raise ConfigError(f"no recursion for κ through the layer {layer}", where="κ", remedy="use method increments")


def has_recursion(layers: Sequence[Layer]) -> bool:
    """Whether the recursion knows all layers: everything but pooling."""
    return all(isinstance(layer, Flatten | Dense | Conv | Activate | Residual) for layer in _all(layers))


def _all(layers: Sequence[Layer]) -> list[Layer]:
    """All layers, residual blocks and what is in them."""
    blocks = [layer for layer in layers if isinstance(layer, Residual)]
    return [*layers, *(inner for block in blocks for inner in _all([*block.main, *block.shortcut]))]


def kappa(
    spec: Architecture,
    images: Float[np.ndarray, "m H W C"],
    *,
    method: Literal["auto", "recursion", "increments"] = "auto",
) -> Kappa:
    """κ(x) of the infinitely wide network of a spec.

    Args:
        spec: the architecture; its width is not used.
        images: in [0, 1].
        method: ``auto`` takes the recursion where there is one.

    Returns:
        κ of every image with an estimate of its error; float64.

    Raises:
        InputError: the images are not (m, H, W, C) or not finite.
        ConfigError: an activation is unknown, or the recursion is asked for what it does not do.
        NumericalError: the quadrature does not converge.
    """
    layers = layers_of(spec)
    pixels = np.asarray(images, dtype=np.float64)
    if pixels.ndim != 4 or not pixels.size or not np.isfinite(pixels).all():
        raise InputError(f"images {pixels.shape}", where="κ", remedy="give finite images (m, H, W, C) in [0, 1]")
    for layer in flat(layers):
        if isinstance(layer, Activate):
            nonlinearity(layer.function)
    if method == "increments" or (method == "auto" and not has_recursion(layers)):
        from advntk.ingredients.kernels.ark_increments import kappa_by_increments

        values, error = kappa_by_increments(spec, pixels)
        return Kappa(values=values, error=error, method="increments")
    return kappa_by_recursion(layers, spec, pixels)


def kappa_by_recursion(
    layers: Sequence[Layer],
    spec: Architecture,
    images: Float[np.ndarray, "m H W C"],
    *,
    functions: Mapping[str, Nonlinearity] = NONLINEARITIES,
) -> Kappa:
    """κ(x) of a list of layers, with activations of one's own if need be.

    Args:
        layers: without pooling.
        spec: σ_w and σ_b; nothing else is read.
        images: in [0, 1].
        functions: activations by name.

    Returns:
        κ of every image.

    Raises:
        ConfigError: an activation or a layer is unknown.
        NumericalError: the quadrature does not converge.
    """
    used = [nonlinearity(layer.function, functions) for layer in flat(layers) if isinstance(layer, Activate)]
    bent = not all(function.straight for function in used)
    inexact = any(function.exact is None for function in used)
    if isinstance(layers[0], Flatten):  # one pixel of many channels: g has d entries and not (H·W)² C
        images = images.reshape(len(images), 1, 1, -1)
    _, height, width, channels = images.shape
    numbers = (height * width) ** 2 * channels if bent else height * width
    rows = max(1, int(MEMORY_MB * 2**20 / (8 * GRADIENT_COPIES * numbers)))
    values, error = np.empty(len(images)), np.zeros(len(images))
    for start in range(0, len(images), rows):
        part = slice(start, start + rows)
        first = _of_images(np.asarray(images[part], dtype=np.float64) - 0.5, with_gradient=bent)
        order = LOWEST
        values[part] = _Walk(spec=spec, functions=functions, order=order).along(layers, first).kappa
        while inexact:
            order *= 2
            again = _Walk(spec=spec, functions=functions, order=order).along(layers, first).kappa
            error[part] = np.abs(again - values[part]) / again
            values[part] = again
            if error[part].max() <= TOLERANCE:
                break
            if order >= HIGHEST:
                raise NumericalError(
                    f"κ changes by {error[part].max():.1e} from order {order // 2} to {order} of the quadrature",
                    where="κ",
                    remedy="use method increments, or give the moments of an activation with a kink in closed form",
                )
    return Kappa(values=values, error=error, method="recursion")
