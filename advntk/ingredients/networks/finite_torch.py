"""Finite networks in torch: the layer list interpreted in NTK parameterisation, as the stax networks are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError, NumericalError
from advntk.ingredients.networks import layers as layer_types

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "erf": torch.erf,
    "gelu": functional.gelu,  # torch's default is the exact form
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


class Activate(nn.Module):
    """An activation function, elementwise."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.function = _ACTIVATIONS[name]

    def forward(self, values: Tensor) -> Tensor:
        """Same shape as the input."""
        return self.function(values)


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
    """3×3 convolution with zero padding, σ_w/√(9·C) · W * x + σ_b b, W stored (C_out, C_in, 3, 3)."""

    def __init__(self, channels: int, width: int, spec: Architecture, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, channels, 3, 3, generator=generator))
        self.bias = nn.Parameter(torch.randn(width, generator=generator))
        self.scale = spec.sigma_w / math.sqrt(9 * channels)
        self.sigma_b = spec.sigma_b

    def forward(self, images: Tensor) -> Tensor:
        """(m, H, W, C_in) → (m, H, W, C_out); the permutations are views in torch's channels-last layout."""
        channels_first = images.permute(0, 3, 1, 2)
        outputs = functional.conv2d(channels_first, self.weight * self.scale, self.bias * self.sigma_b, padding=1)
        return outputs.permute(0, 2, 3, 1)


def _modules(
    spec: Architecture, input_shape: tuple[int, int, int], classes: int, generator: torch.Generator
) -> Iterator[nn.Module]:
    """One module for each layer of the spec, shapes followed along.

    Raises:
        InputError: a family uses a layer that has no torch form yet.
    """
    shape: tuple[int, ...] = input_shape
    yield Centre()
    for layer in layer_types.layers_of(spec):
        match layer:
            case layer_types.Flatten():
                shape = (math.prod(shape),)
                yield Flatten()
            case layer_types.Dense(width=width):
                fan_out = classes if width is None else width
                yield Dense(shape[0], fan_out, spec, generator)
                shape = (fan_out,)
            case layer_types.Conv(width=width):
                yield Conv(shape[2], width, spec, generator)
                shape = (shape[0], shape[1], width)
            case layer_types.Activate(function=function):
                yield Activate(function)
            case _:
                raise InputError(
                    f"no torch form of the layer {layer}", where="network", remedy="add it to finite_torch"
                )


def build(spec: Architecture, input_shape: tuple[int, int, int], classes: int, *, seed: int) -> nn.Module:
    """A finite network with entries N(0, 1), drawn on the CPU so that the seed fixes them on any device.

    Args:
        spec: family, depth, activation, σ_w, σ_b and width.
        input_shape: (H, W, C) of an image.
        classes: number of logits c.
        seed: of the initial weights.

    Returns:
        A module in eval mode, float32 on the CPU: images (m, H, W, C) in [0, 1] → logits (m, c).
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return nn.Sequential(*_modules(spec, input_shape, classes, generator)).eval()


def parameters_to_arrays(net: nn.Module) -> dict[str, np.ndarray]:
    """Copies of all parameters as numpy arrays, by name (``2.weight``, ``2.bias`` …), in order."""
    return {name: value.detach().cpu().numpy().copy() for name, value in net.named_parameters()}


def load_arrays(net: nn.Module, arrays: Mapping[str, np.ndarray]) -> None:
    """Copy arrays of :func:`parameters_to_arrays` into a network of the same spec, whatever its device and dtype.

    Raises:
        InputError: names or shapes are not those of the network.
    """
    parameters = dict(net.named_parameters())
    if parameters.keys() != arrays.keys():
        different = ", ".join(sorted(parameters.keys() ^ arrays.keys()))
        raise InputError(
            f"parameter names differ: {different}", where="network", remedy="use the architecture that made the weights"
        )
    for name, parameter in parameters.items():
        if tuple(parameter.shape) != np.shape(arrays[name]):
            raise InputError(
                f"shape {np.shape(arrays[name])}, the network needs {tuple(parameter.shape)}",
                where=f"parameter {name}",
                remedy="use the architecture that made the weights",
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(np.array(arrays[name])))


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
        fan_out = cast(Tensor, module.bias).shape[0]
        arrays[f"{name}.bias"] = np.zeros(fan_out, array.dtype) if bias is None else np.asarray(bias).reshape(-1)
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
