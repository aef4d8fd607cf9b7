"""Work in units that a machine does at a steady rate, and the work of kernels and finite networks.

A job's time on one core is Σ amount × rate over these units. What a unit takes is measured (:mod:`rates`), how many
of them a job needs follows from its cell and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import NetworkForm
from advntk.foundation.options import Compute
from advntk.ingredients.kernels.relu_plan import relu_plan
from advntk.ingredients.networks.families.resnet import BLOCKS
from advntk.ingredients.networks.layers import Activate, AveragePool, Conv, Dense, Layer, Residual, flat, layers_of

Work = Mapping[str, float]
"""Amounts by unit."""

Shape = tuple[int, int, int]

UNITS = {
    "start": "a process of the command line: interpreter, numpy, the package's own modules",
    "start.telling": "pandas, matplotlib or scikit-learn loaded, and used a little",
    "start.kernel": "compiled kernel loops loaded and bound",
    "start.network": "torch loaded",
    "start.jax": "JAX and neural-tangents loaded, programs compiled",
    "start.ensemble": "AutoAttack loaded",
    "pixel": "a pixel of an image: one attack step, or one reading",
    "call": "a call of a kernel predictor",
    "product": "a multiplication and addition of a float32 product of images or coefficients",
    "mlp.value": "Θ of a pair of images, a hidden layer of an MLP",
    "mlp.gradient": "Θ and its slopes, the same",
    "cnn.value": "Θ of a pair of images, a pixel of an activation of a CNN",
    "cnn.gradient": "Θ and its pullback, the same",
    "resnet.value": "Θ of a pair of images, a pixel of an activation of a ResNet",
    "resnet.gradient": "Θ and its pullback, the same",
    "jax.mlp.value": "the same by neural-tangents",
    "jax.mlp.gradient": "the same by neural-tangents",
    "jax.cnn.value": "the same by neural-tangents",
    "jax.cnn.gradient": "the same by neural-tangents",
    "jax.resnet.value": "the same by neural-tangents",
    "jax.resnet.gradient": "the same by neural-tangents",
    "entry": "an entry of a Gram matrix read, written or checked",
    "theta": "an entry of a Gram matrix times one column, float64",
    "solution": "a solution or gradient of Adv-NTK, whatever its size",
    "krylov": "a solution or gradient of Adv-NTK: n² × classes × (1 + λmax)^0.3",
    "stopping": "the Krylov basis of the early-stopped NTK: n² × classes",
    "factor": "a third of n³: a Cholesky factorisation",
    "eigenvalues": "n³: eigenvalues of a dense matrix",
    "eigenvectors": "n³: eigenvectors too",
    "network.mlp": "a multiplication and addition of a dense layer of a finite network",
    "network.cnn": "the same of a convolution",
    "network.resnet": "the same of the reference code's ResNet",
    "layer": "a layer of a finite network in one forward or backward pass",
    "parameter": "a weight of a finite network in one update",
}
"""Every unit that work is counted in."""


def total(*parts: Work) -> dict[str, float]:
    """The sum of works."""
    found: dict[str, float] = {}
    for part in parts:
        for unit, amount in part.items():
            found[unit] = found.get(unit, 0.0) + amount
    return found


def times(count: float, work: Work) -> dict[str, float]:
    """A work done ``count`` times."""
    return {unit: count * amount for unit, amount in work.items()}


def pooled(layers: Sequence[Layer]) -> bool:
    """Whether a kernel needs the covariance of every pixel with every other."""
    return any(isinstance(layer, AveragePool) for layer in layers)


@dataclass(frozen=True, kw_only=True)
class KernelWork:
    """Work of the kernel Θ of one architecture on images of one shape.

    Attributes:
        spec: the architecture.
        shape: (H, W, C) of an image.
        classes: c, columns of the coefficients.
        compute: which engine serves it on a CPU.
    """

    spec: Architecture
    shape: Shape
    classes: int
    compute: Compute

    @property
    def layers(self) -> list[Layer]:
        """Of the network."""
        return layers_of(self.spec)

    @property
    def numba(self) -> bool:
        """Whether the numba engines serve it."""
        return self.compute.kernel_engine != "neural_tangents" and relu_plan(self.layers) is not None

    @property
    def activations(self) -> int:
        """Activations of the network."""
        return sum(isinstance(layer, Activate) for layer in flat(self.layers))

    @property
    def pixels(self) -> int:
        """Numbers in an image."""
        return math.prod(self.shape)

    def start(self) -> Work:
        """Loading the engine."""
        return {"start": 1, "start.kernel": 1} if self.numba else {"start": 1, "start.jax": 1}

    def values(self, pairs: float) -> Work:
        """Θ of ``pairs`` pairs of images, coefficients not applied.

        A pair takes one product of d pixels and depth − 1 hidden layers (MLP), or H·W pixels of each activation and of
        the input (CNN, ResNet); pooling needs (H·W)² of each.

        Returns:
            The work.
        """
        return self._pairs(pairs, "value", products=1)

    def predictions(self, pairs: float) -> Work:
        """Logits from ``pairs`` pairs of a test and a training image."""
        return total(self.values(pairs), {"product": self.classes * pairs})

    def gradients(self, pairs: float) -> Work:
        """Logits and gradients of a loss by the test images; twice the products of logits."""
        coefficients = {"product": 2 * self.classes * pairs}
        return total(self._pairs(pairs, "gradient", products=2), coefficients)

    def _pairs(self, pairs: float, what: str, *, products: int) -> Work:
        family = self.spec.family
        unit = f"{family}.{what}" if self.numba else f"jax.{family}.{what}"
        if family == "mlp":
            return {unit: pairs * self.activations, "product": products * pairs * self.pixels}
        places = self.shape[0] * self.shape[1]
        return {unit: pairs * (self.activations + 1) * (places**2 if pooled(self.layers) else places)}

    def diagonal(self, variance: float) -> float:
        """Θ(x, x) of an image whose pixels, 0.5 taken off, have mean square ``variance``.

        a → σ_w² a/2 + σ_b², T → σ_w² T/2 + a through each ReLU and the layer after it; paths that meet add. Borders of
        convolutions are not seen.

        Returns:
            Θ(x, x).
        """
        return _through(self.layers, (variance, 0.0), self.spec)[1]


def _through(layers: Sequence[Layer], state: tuple[float, float], spec: Architecture) -> tuple[float, float]:
    """Variance and tangent kernel of an image behind some layers."""
    a, t = state
    for layer in layers:
        match layer:
            case Dense() | Conv():
                bias = spec.sigma_b**2 if not isinstance(layer, Conv) or layer.bias else 0.0
                grown = spec.sigma_w**2 * a + bias
                a, t = grown, spec.sigma_w**2 * t + grown
            case Activate():
                a, t = a / 2, t / 2
            case Residual(main=main, shortcut=shortcut):
                (a1, t1), (a2, t2) = _through(main, (a, t), spec), _through(shortcut, (a, t), spec)
                a, t = a1 + a2, t1 + t2
    return a, t


@dataclass(frozen=True, kw_only=True)
class NetworkWork:
    """Work of a finite network on images of one shape.

    Attributes:
        spec: the architecture, its width included.
        form: of the network.
        shape: (H, W, C) of an image.
        classes: logits.
    """

    spec: Architecture
    form: NetworkForm
    shape: Shape
    classes: int

    @property
    def unit(self) -> str:
        """Of its products."""
        if self.spec.family == "resnet":
            return "network.resnet" if self.form == "reference" else "network.cnn"
        return f"network.{self.spec.family}"

    @property
    def pixels(self) -> int:
        """Numbers in an image."""
        return math.prod(self.shape)

    def sizes(self) -> list[tuple[int, int, int]]:
        """Of each layer with weights: weights, places where they are applied, numbers that come out of it."""
        if self.form == "reference" and self.spec.family == "resnet":
            return list(_reference_resnet(self.spec, self.shape, self.classes))
        return _sizes(layers_of(self.spec), self.shape, self.classes)[0]

    @property
    def macs(self) -> int:
        """Multiplications and additions of a forward pass of an image."""
        return sum(weights * places for weights, places, _ in self.sizes())

    @property
    def parameters(self) -> int:
        """Weights, biases left out."""
        return sum(weights for weights, _, _ in self.sizes())

    @property
    def outputs(self) -> int:
        """Numbers that come out of all layers for one image."""
        return sum(made for _, _, made in self.sizes())

    def predictions(self, images: float, batch: int) -> Work:
        """Logits."""
        return self._passes(images, batch, 1)

    def gradients(self, images: float, batch: int) -> Work:
        """Logits and gradients by the images: forward, then backward through every layer."""
        return self._passes(images, batch, 2)

    def updates(self, count: float, batch: int) -> Work:
        """Weight updates, attacks not counted: forward, backward by inputs and by weights, and the step itself."""
        return total(self._passes(count * batch, batch, 3), {"parameter": count * self.parameters})

    def _passes(self, images: float, batch: int, directions: int) -> Work:
        calls = math.ceil(images / batch)
        layers = len(self.sizes()) + 3  # shift, loss and step cost a call as a layer does
        return {self.unit: directions * images * self.macs, "layer": directions * calls * layers}


def _sizes(layers: Sequence[Layer], shape: tuple[int, ...], classes: int) -> tuple[list[tuple[int, int, int]], Shape]:
    """Sizes of the layers with weights, and the shape behind them, (1, 1, units) once the image is flat."""
    found: list[tuple[int, int, int]] = []
    height, width, channels = shape[0], shape[1], shape[2]
    for layer in layers:
        match layer:
            case Dense(width=units):
                fan_in, made = height * width * channels, classes if units is None else units
                found.append((fan_in * made, 1, made))
                height, width, channels = 1, 1, made
            case Conv(width=made):
                places = height * width
                found.append((9 * channels * made, places, places * made))
                channels = made
            case AveragePool():
                height, width = 1, 1
            case Residual(main=main, shortcut=shortcut):
                inner = (height, width, channels)
                (first, behind), (second, _) = _sizes(main, inner, classes), _sizes(shortcut, inner, classes)
                found += [*first, *second]
                height, width, channels = behind
    return found, (height, width, channels)


def _reference_resnet(spec: Architecture, shape: Shape, classes: int) -> list[tuple[int, int, int]]:
    """Sizes of the reference code's ResNet: strides halve the image at the second stage and after."""
    places, before = shape[0] * shape[1], shape[2]
    found = [(9 * before * spec.width, places, places * spec.width)]
    before = spec.width
    for stage, blocks in enumerate(BLOCKS[spec.depth]):
        planes = 2**stage * spec.width
        for block in range(blocks):
            if stage and not block:
                places = math.ceil(places / 4)
                found.append((before * planes, places, places * planes))
            found += [(9 * before * planes, places, places * planes), (9 * planes * planes, places, places * planes)]
            before = planes
    return [*found, (before * classes, 1, classes)]
