"""Any predictor as a torch module, for attacks that are written for torch; what is a torch network already is one."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import torch
import torch.utils.dlpack
from array_api_compat import array_namespace, is_jax_array, is_torch_array
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from advntk.attacks.attack import to_numpy
from advntk.foundation.errors import NumericalError
from advntk.foundation.predictor import Predictor, Pullback

DLPACK_CPU = 1
"""The DLPack standard's number for memory of a CPU."""


class TorchModule(nn.Module):
    """Images (m, C, H, W) in [0, 1] → logits (m, classes) in the precision of the images.

    Attributes:
        device: where it takes images and gives logits.
    """

    device: torch.device


def as_torch_module(predictor: Predictor) -> TorchModule:
    """A predictor as a torch module, differentiable by its images once.

    Args:
        predictor: of any kind; where it has a torch network, ``net``, that is called without a detour.

    Returns:
        The module; its logits are fresh tensors that may be written to.
    """
    net = getattr(predictor, "net", None)
    return _Network(net) if isinstance(net, nn.Module) else _Foreign(predictor)


class _Network(TorchModule):
    """A torch network of images (m, H, W, C)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        example = next(chain(net.parameters(), net.buffers()), torch.zeros(()))
        self.device, self._dtype = example.device, example.dtype

    def forward(self, images: Tensor) -> Tensor:
        """(m, C, H, W) → (m, classes)."""
        pixels = images.permute(0, 2, 3, 1).contiguous()
        logits: Tensor = self.net(pixels.to(self._dtype))
        return _finite(logits.to(images.dtype))


class _Foreign(TorchModule):
    """A predictor on arrays of whatever library; its pullback is the module's derivative.

    JAX arrays cross by DLPack and stay on their device, unless torch cannot use that; numpy arrays share memory.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        self.predictor = predictor
        self._example: Any = predictor.native(np.zeros((1, *predictor.input_shape), np.float32))
        self._by_dlpack = is_jax_array(self._example) and _torch_reaches(self._example)
        self.device = self._to_torch(self._example).device

    def forward(self, images: Tensor) -> Tensor:
        """(m, C, H, W) → (m, classes); what the pullback needs is computed only where a gradient is wanted."""
        if torch.is_grad_enabled() and images.requires_grad:
            logits: Tensor = _Linearized.apply(images, self)
            return _finite(logits)
        pixels = images.detach().permute(0, 2, 3, 1).contiguous().cpu().numpy()
        found = np.asarray(self.predictor.logits(pixels))
        return _finite(torch.tensor(found, dtype=images.dtype, device=images.device))

    def linearize(self, images: Tensor) -> tuple[Tensor, Pullback]:
        """Logits (m, classes) at images (m, C, H, W), and their pullback (m, classes) → (m, C, H, W), as tensors."""
        # a copy, as the pullback may look at the images again after the attack has overwritten them
        pixels = images.detach().permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
        logits, pull = self.predictor.linearize(self._to_native(pixels))

        def pullback(cotangent: Tensor) -> Tensor:
            gradient = self._to_torch(pull(self._to_native(cotangent.contiguous())))
            return gradient.permute(0, 3, 1, 2).to(images, copy=True, memory_format=torch.contiguous_format)

        # copies both, as attacks write to what they get, and arrays of JAX must not change
        return self._to_torch(logits).to(images, copy=True), pullback

    def _to_native(self, tensor: Tensor) -> Any:
        if is_torch_array(self._example):
            return tensor.to(self._example)
        if self._by_dlpack:
            return array_namespace(self._example).from_dlpack(tensor.to(self._to_torch(self._example)))
        return self.predictor.native(tensor.cpu().numpy())

    def _to_torch(self, array: Any) -> Tensor:
        if is_torch_array(array):
            tensor: Tensor = array.detach()
            return tensor
        if self._by_dlpack:
            return torch.utils.dlpack.from_dlpack(array)
        # only arrays that are read-only are copied: torch has none such
        return torch.from_numpy(np.require(to_numpy(array), requirements=["W"]))


def _finite(logits: Tensor) -> Tensor:
    """The logits themselves.

    Returns:
        Them.

    Raises:
        NumericalError: an attack would take an image of class 0 whose logits are NaN for a robust one.
    """
    rows = torch.isfinite(logits.detach()).all(dim=1)
    if not bool(rows.all()):
        raise NumericalError(
            f"NaN or infinite logits on {int((~rows).sum())} of {len(rows)} attacked images",
            where="autoattack",
            remedy="look at the fit's diagnostics; a ridge or a smaller learning rate may help",
        )
    return logits


def _torch_reaches(array: Any) -> bool:
    """Whether this build of torch can use the memory that a JAX array lies in."""
    return torch.cuda.is_available() or bool(array.__dlpack_device__()[0] == DLPACK_CPU)


class _Linearized(torch.autograd.Function):
    """Logits whose derivative is a predictor's pullback."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, module: _Foreign) -> Tensor:
        logits, ctx.pullback = module.linearize(images)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
        return ctx.pullback(cotangent), None
