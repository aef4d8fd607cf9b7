"""Finite networks in torch: a layer list in NTK parameterisation, as the stax networks are, or in torch's own.

``ntk`` networks are the finite counterparts of the kernels. ``reference`` networks are those of the paper's reference
code: torch's own layers with their default initialisation, and for ResNets another network altogether
(:mod:`reference_resnet`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional

from advntk.foundation.architecture import SIGMOID_LIKE_SCALE, Architecture, Padding
from advntk.foundation.at_options import NetworkForm
from advntk.foundation.errors import InputError, NumericalError
from advntk.ingredients.networks import layers as layer_types

Shape = tuple[int, ...]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "erf": torch.erf,
    "gelu": functional.gelu,  # torch's default is the exact form
    "sigmoid_like": lambda values: 0.5 * torch.erf(values / SIGMOID_LIKE_SCALE) + 0.5,
}


class Centre(nn.Module):
    """Pixels in [0, 1] → [−0.5, 0.5]."""

    def forward(self, images: Tensor) -> Tensor:
        """Shift pixels of any shape."""
        return images - 0.5


class Flatten(nn.Module):
    """(m, H, W, C) → (m, H·W·C), in that order."""

    def forward(self, images: Tensor) -> Tensor:
        """(m, H, W, C) → (m, H·W·C)."""
        return images.flatten(1)


class AveragePool(nn.Module):
    """(m, H, W, C) → (m, C), the mean over all pixels."""

    def forward(self, images: Tensor) -> Tensor:
        """(m, H, W, C) → (m, C)."""
        return images.mean(dim=(1, 2))


class Activate(nn.Module):
    """An activation function, elementwise."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = _ACTIVATIONS[name]

    def forward(self, values: Tensor) -> Tensor:
        """Same shape as the input."""
        return self.function(values)


class Residual(nn.Module):
    """main(x) + shortcut(x); an empty shortcut is the identity."""

    def __init__(self, main: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.main, self.shortcut = main, shortcut

    def forward(self, values: Tensor) -> Tensor:
        """(m, H, W, C_in) → (m, H, W, C_out)."""
        total: Tensor = self.main(values) + self.shortcut(values)
        return total


class Dense(nn.Module):
    """σ_w/√fan_in · x W + σ_b b, with W (fan_in, fan_out) and b (fan_out)."""

    def __init__(self, fan_in: int, fan_out: int, spec: Architecture, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(fan_in, fan_out, generator=generator))
        self.bias = nn.Parameter(torch.randn(fan_out, generator=generator))
        self.scale = spec.sigma_w / math.sqrt(fan_in)
        self.sigma_b = spec.sigma_b

    def forward(self, values: Tensor) -> Tensor:
        """(m, fan_in) → (m, fan_out); both scales ride on the matrix product."""
        return torch.addmm(self.bias, values, self.weight, beta=self.sigma_b, alpha=self.scale)


class Conv(nn.Module):
    """3×3 convolution to the same size, σ_w/√(9·C) · W * x + σ_b b, W stored (C_out, C_in, 3, 3); b may be absent."""

    def __init__(self, channels: int, layer: layer_types.Conv, spec: Architecture, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(layer.width, channels, 3, 3, generator=generator))
        self.bias = nn.Parameter(torch.randn(layer.width, generator=generator)) if layer.bias else None
        self.scale = spec.sigma_w / math.sqrt(9 * channels)
        self.sigma_b = spec.sigma_b
        self.circular = layer.padding == "circular"

    def forward(self, images: Tensor) -> Tensor:
        """(m, H, W, C_in) → (m, H, W, C_out); the permutations are views in torch's channels-last layout."""
        bias = None if self.bias is None else self.bias * self.sigma_b
        planes, padding = images.permute(0, 3, 1, 2), 1
        if self.circular:
            planes, padding = functional.pad(planes, (1, 1, 1, 1), mode="circular"), 0
        outputs = functional.conv2d(planes, self.weight * self.scale, bias, padding=padding)
        return outputs.permute(0, 2, 3, 1)


class TorchConv(nn.Conv2d):
    """torch's own convolution, on channels-last images."""

    def forward(self, images: Tensor) -> Tensor:
        """(m, H, W, C_in) → (m, H, W, C_out)."""
        return super().forward(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


@dataclass(frozen=True, kw_only=True)
class _Builder:
    """Layers → modules, shapes followed along.

    Attributes:
        classes: outputs of the last layer.
        dense: (fan_in, fan_out) → a dense layer.
        conv: (channels, layer) → a convolution.
    """

    classes: int
    dense: Callable[[int, int], nn.Module]
    conv: Callable[[int, layer_types.Conv], nn.Module]

    def path(self, layers: Sequence[layer_types.Layer], shape: Shape) -> tuple[nn.Sequential, Shape]:
        """The modules of some layers one after another, and the shape of what comes out."""
        modules = []
        for layer in layers:
            module, shape = self._module(layer, shape)
            modules.append(module)
        return nn.Sequential(*modules), shape

    def _module(self, layer: layer_types.Layer, shape: Shape) -> tuple[nn.Module, Shape]:
        match layer:
            case layer_types.Flatten():
                return Flatten(), (math.prod(shape),)
            case layer_types.AveragePool():
                return AveragePool(), shape[2:]
            case layer_types.Dense(width=width):
                fan_out = self.classes if width is None else width
                return self.dense(shape[0], fan_out), (fan_out,)
            case layer_types.Conv(width=width):
                return self.conv(shape[2], layer), (*shape[:2], width)
            case layer_types.Activate(function=function):
                return Activate(function), shape
            case layer_types.Residual(main=main, shortcut=shortcut):
                (first, after), (second, _) = self.path(main, shape), self.path(shortcut, shape)
                return Residual(first, second), after
        raise InputError(f"no torch form of the layer {layer}", where="network", remedy="add it to finite_torch")


def build(
    spec: Architecture, input_shape: tuple[int, int, int], classes: int, *, seed: int, form: NetworkForm = "ntk"
) -> nn.Module:
    """A finite network, drawn on the CPU so that the seed fixes it on any device.

    Args:
        spec: family, depth, activation, pooling, σ_w, σ_b and width.
        input_shape: (H, W, C) of an image.
        classes: number of logits c.
        seed: of the initial weights.
        form: ``ntk``: NTK parameterisation, entries N(0, 1); ``reference``: torch's layers and initialisation, which
            take no notice of σ_w and σ_b.

    Returns:
        A module in eval mode, float32 on the CPU: images (m, H, W, C) in [0, 1] → logits (m, c).
    """
    if form == "reference":
        return _reference(spec, input_shape, classes, seed)
    generator = torch.Generator(device="cpu").manual_seed(seed)
    builder = _Builder(
        classes=classes,
        dense=lambda fan_in, fan_out: Dense(fan_in, fan_out, spec, generator),
        conv=lambda channels, layer: Conv(channels, layer, spec, generator),
    )
    modules, _ = builder.path(layer_types.layers_of(spec), input_shape)
    return nn.Sequential(Centre(), *modules).eval()


_TORCH_PADDING: dict[Padding, Literal["zeros", "circular"]] = {"zero": "zeros", "circular": "circular"}


def _reference(spec: Architecture, input_shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """A network of the reference code; torch's layers draw from its global generator, which is put back after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.family == "resnet":
            from advntk.ingredients.networks.reference_resnet import ReferenceResNet

            return nn.Sequential(Centre(), ReferenceResNet(spec, input_shape[2], classes)).eval()
        builder = _Builder(
            classes=classes,
            dense=nn.Linear,
            conv=lambda channels, layer: TorchConv(
                channels, layer.width, 3, padding=1, bias=layer.bias, padding_mode=_TORCH_PADDING[layer.padding]
            ),
        )
        modules, _ = builder.path(layer_types.layers_of(spec), input_shape)
        return nn.Sequential(Centre(), *modules).eval()


def state_to_arrays(net: nn.Module) -> dict[str, np.ndarray]:
    """Copies of all parameters, and of the running statistics of batch norms, by name (``2.weight`` …), in order."""
    return {name: value.detach().cpu().numpy().copy() for name, value in net.state_dict().items()}


def load_arrays(net: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays of :func:`state_to_arrays` into a network of the same spec, whatever its device and dtype.

    Raises:
        InputError: names or shapes are not those of the network.
    """
    state: dict[str, Tensor] = net.state_dict()
    if state.keys() != arrays.keys():
        different = ", ".join(sorted(state.keys() ^ arrays.keys()))
        raise InputError(
            f"parameter names differ: {different}", where="network", remedy="use the architecture that made the weights"
        )
    for name, tensor in state.items():
        if tuple(tensor.shape) != np.shape(arrays[name]):
            raise InputError(
                f"shape {np.shape(arrays[name])}, the network needs {tuple(tensor.shape)}",
                where=f"parameter {name}",
                remedy="use the architecture that made the weights",
            )
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(torch.from_numpy(np.array(arrays[name])))


def _leaves(tree: Any) -> Iterator[Any]:
    """Arrays and Nones of nested tuples and lists, from left to right."""
    if isinstance(tree, tuple | list):
        for branch in tree:
            yield from _leaves(branch)
    else:
        yield tree


def load_jax_parameters(net: nn.Module, stax_params: Any) -> None:
    """Copy the parameters of the stax network of the same layers.

    Args:
        net: of :func:`build`.
        stax_params: nested tuples or lists; Dense holds W (fan_in, fan_out) and b, Conv W (3, 3, C_in, C_out) and
            b (1, 1, 1, C_out); a bias of None (stax without biases) is taken as zeros.

    Raises:
        InputError: the number of arrays or a shape differs.
    """
    linear = [(name, module) for name, module in net.named_modules() if isinstance(module, Dense | Conv)]
    leaves = list(_leaves(stax_params))
    if len(leaves) != 2 * len(linear):
        raise InputError(
            f"{len(leaves)} arrays, the torch network has {2 * len(linear)}",
            where="stax parameters",
            remedy="make both networks from the same layers",
        )
    arrays: dict[str, np.ndarray] = {}
    for (name, module), weight, bias in zip(linear, leaves[::2], leaves[1::2], strict=True):
        array = np.asarray(weight)
        arrays[f"{name}.weight"] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
        if module.bias is not None:
            zeros = np.zeros(module.bias.shape, array.dtype)
            arrays[f"{name}.bias"] = zeros if bias is None else np.asarray(bias).reshape(-1)
    load_arrays(net, arrays)


def ntk_top_eigenvalue(
    net: nn.Module, images: Tensor, *, generator: np.random.Generator, tolerance: float = 1e-2
) -> float:
    """λmax of the network's own NTK J Jᵀ, J (m·c, parameters) never formed.

    By Lanczos, as the c largest eigenvalues lie close together and power iteration stalls between them.

    Args:
        net: the network; its parameters are the point of linearisation.
        images: (m, H, W, C) in [0, 1].
        generator: of the start vector.
        tolerance: on the residual ‖Θu − λu‖ relative to λmax; the error of λmax is mostly of its square.

    Returns:
        λmax; NaN where the network's outputs are not finite.

    Raises:
        NumericalError: Lanczos did not converge.
    """
    leaves = {name: value.detach().requires_grad_(True) for name, value in net.named_parameters()}
    parameters = list(leaves.values())
    with torch.enable_grad():
        logits: Tensor = torch.func.functional_call(net, leaves, (images,))
        # Jᵀu is linear in u: differentiating it by u gives J without forward-mode autodiff
        dummy = torch.zeros_like(logits, requires_grad=True)
        pulled = torch.autograd.grad(logits, parameters, grad_outputs=dummy, create_graph=True)

    def product(vector: np.ndarray) -> np.ndarray:
        direction = torch.from_numpy(vector.reshape(logits.shape)).to(logits)
        back = torch.autograd.grad(logits, parameters, grad_outputs=direction, retain_graph=True)
        (image,) = torch.autograd.grad(pulled, dummy, grad_outputs=back, retain_graph=True)
        return np.asarray(image.double().flatten().cpu().numpy())

    start = generator.standard_normal(logits.numel())
    if not np.isfinite(product(start)).all():
        return math.nan
    basis = min(8, start.size)  # restarts cost less than the 20 products that ARPACK would take at once
    operator = LinearOperator((start.size, start.size), matvec=product, dtype=np.float64)
    try:
        (top,) = eigsh(operator, k=1, which="LA", v0=start, ncv=basis, tol=tolerance, return_eigenvectors=False)
    except ArpackError as error:
        raise NumericalError(
            f"λmax of the finite network's NTK not found ({error})",
            where="adversarial training",
            remedy="give learning_rate instead of learning_rate_fraction",
        ) from error
    return float(top)
