"""A finite torch network as a predictor that every attack and the evaluation can use."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from advntk.foundation import threads
from advntk.foundation.allocator import keep_freed_memory
from advntk.foundation.arrays import checked_images, require_images, require_labels, require_matrix
from advntk.foundation.errors import AdvntkError
from advntk.foundation.gpus import note_gpu
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Pullback
from advntk.ingredients.networks.torch_modes import recording_gradients, without_gradients

DeviceName = Literal["auto", "cpu", "gpu"]


def choose_device(name: DeviceName) -> torch.device:
    """The torch device of a config's ``device``; TF32 is switched off, so that float32 means float32.

    On a CPU freed memory is kept for the next step.

    Args:
        name: ``auto`` takes a GPU if there is one; ``gpu`` insists on it.

    Returns:
        ``cuda`` or ``cpu``.

    Raises:
        AdvntkError: a GPU was asked for and torch sees none.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if name == "gpu" and not torch.cuda.is_available():
        raise AdvntkError(
            f"torch {torch.__version__} sees no GPU",
            where="device: gpu",
            remedy="set device: auto or cpu, or install a CUDA build of torch on a machine with a GPU",
        )
    if name != "cpu" and torch.cuda.is_available():
        note_gpu(torch.cuda.get_device_name())
        return torch.device("cuda")
    keep_freed_memory()
    return torch.device("cpu")


def loss_and_image_gradient(
    net: nn.Module, images: Tensor, objective: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, loss of each example and its gradient by its own image, no gradient by any parameter.

    The gradient by the logits, a closed form for attack losses, is pulled back through the network, so that torch and
    JAX attacks maximise the same function. Parameters should not require gradients, or their inputs are kept in memory.

    Args:
        net: eval mode; examples must not influence one another.
        images: (m, H, W, C) in [0, 1].
        objective: detached logits (m, c) → loss of each example (m,) and its gradient by the logits (m, c).

    Returns:
        Logits (m, c), values (m,), gradients (m, H, W, C), all detached.
    """
    with recording_gradients(images.device):
        variable = _variable(images)
        logits = net(variable)
        value, logit_gradient = objective(logits.detach())
        (gradient,) = torch.autograd.grad(logits, variable, grad_outputs=logit_gradient)
    return logits.detach(), value, gradient


def _variable(images: Tensor) -> Tensor:
    """The same images as a leaf that requires a gradient; memory is shared unless ``inference_mode`` forbids it."""
    return (images.clone() if images.is_inference() else images.detach()).requires_grad_(True)


class NetworkPredictor:
    """The :class:`~advntk.foundation.predictor.Predictor` of a torch module; native arrays are torch tensors.

    Args:
        net: images (m, H, W, C) in [0, 1] → logits (m, classes); moved to the device, put into eval mode, and its
            parameters stop requiring gradients. One that was made under ``torch.inference_mode`` is copied.
        input_shape: (H, W, C).
        classes: number of logits.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``gpu``.
        batch: images per forward pass; larger inputs are cut into pieces, which bounds memory.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        input_shape: tuple[int, int, int],
        classes: int,
        device: DeviceName = "auto",
        batch: int = 512,
    ) -> None:
        threads.start("torch")  # copying large parameters starts them
        self.device = choose_device(device)
        with torch.inference_mode(False):
            if any(tensor.is_inference() for tensor in chain(net.parameters(), net.buffers())):
                net = copy.deepcopy(net)
            self.net = net.to(self.device).eval().requires_grad_(False)
        self.input_shape = input_shape
        self.classes = classes
        self.batch = batch

    @property
    def dtype(self) -> torch.dtype:
        """Of the network's parameters; float32 where it has none."""
        return next((parameter.dtype for parameter in self.net.parameters()), torch.float32)

    def native(self, array: np.ndarray) -> Tensor:
        """A numpy array as a tensor on the network's device; floating arrays take the network's dtype."""
        threads.start("torch")
        array = np.asarray(array)
        tensor = torch.from_numpy(np.array(array, array.dtype.newbyteorder("="), order="C")).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Logits in the network's dtype.

        Args:
            images: floats (m, H, W, C) in [0, 1].

        Returns:
            (m, classes); (0, classes) for no images. (Images of another shape, dtype or range raise ``InputError``.)
        """
        images = checked_images(images, self.input_shape, where="logits")
        if len(images) == 0:
            return np.zeros((0, self.classes), np.float32)
        pieces = range(0, len(images), self.batch)
        with without_gradients(self.device):
            outputs = [self.net(self.native(images[start : start + self.batch])).cpu() for start in pieces]
        return np.asarray(torch.cat(outputs).numpy())

    def linearize(self, images: Tensor) -> tuple[Tensor, Pullback]:
        """Logits (m, classes) and their pullback (m, classes) → (m, H, W, C), detached; the whole batch at once."""
        images = self._images(images, "linearize")
        with recording_gradients(self.device):
            variable = _variable(images)
            logits = self.net(variable)

        def pullback(cotangent: Tensor) -> Tensor:
            require_matrix(cotangent, *logits.shape, what="cotangent", where="pullback")
            with recording_gradients(self.device):
                (gradient,) = torch.autograd.grad(logits, variable, grad_outputs=cotangent, retain_graph=True)
            return gradient

        return logits.detach(), pullback

    def loss_and_gradient(self, images: Tensor, labels: Tensor, loss: LossName) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (m, classes), loss of each example (m,) and its gradient by its own image (m, H, W, C)."""
        images = self._images(images, "loss_and_gradient")
        require_labels(labels, len(images), where="loss_and_gradient")
        target = one_hot(labels, self.classes, images.dtype)
        pieces = zip(torch.split(images, self.batch), torch.split(target, self.batch), strict=True)
        parts = [
            loss_and_image_gradient(self.net, piece, partial(value_and_logit_gradient, loss, target=goal))
            for piece, goal in pieces
        ]
        if len(parts) == 1:
            return parts[0]
        logits, values, gradients = (torch.cat(column) for column in zip(*parts, strict=True))
        return logits, values, gradients

    def _images(self, images: Any, where: str) -> Tensor:
        """Native images of the right shape, in the network's dtype on its device."""
        require_images(images, self.input_shape, where=where)
        if not isinstance(images, Tensor):
            return self.native(images)
        threads.start("torch")
        return images.to(self.device, self.dtype)
