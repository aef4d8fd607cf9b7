"""A torch module as a predictor, whichever layout of images it takes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advntk.foundation.errors import InputError
from advntk.foundation.options import Device
from advntk.ingredients.networks.torch_modes import without_gradients
from advntk.learning.network_predictor import NetworkPredictor, choose_device
from advntk.measuring.models import Layout, chosen_layout, require_gradients


class _Foreign(nn.Module):
    """A module of images in either layout as one of images (m, H, W, C), with logits as wide as the images."""

    def __init__(self, module: nn.Module, *, channels_first: bool) -> None:
        super().__init__()
        self.module, self.channels_first = module, channels_first

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.module(images.permute(0, 3, 1, 2) if self.channels_first else images)
        return logits.to(images.dtype)


def torch_model(
    module: nn.Module, images: np.ndarray, *, classes: int, layout: Layout, device: Device, batch: int
) -> NetworkPredictor:
    """A copy of the module, in eval mode, as a predictor; the module itself is left as it is.

    Args:
        module: images in either layout → logits.
        images: a few, (m, H, W, C), to try it on.
        classes: number of logits.
        layout: of the images that it takes.
        device: where it computes.
        batch: images per call.

    Returns:
        The predictor.

    Raises:
        InputError: it cannot be copied, computes in less than float32, or gives no logits or no gradient.
    """
    where = choose_device(device)
    try:
        net = copy.deepcopy(module).eval().to(where)
    except Exception as error:  # a module may hold anything
        what = f"the module cannot be copied ({error})"
        raise InputError(what, where="benchmark", remedy="store plain tensors and parameters in it") from error
    dtype = next((parameter.dtype for parameter in net.parameters()), torch.float32)
    if dtype not in (torch.float32, torch.float64):
        what = f"the module computes in {dtype}, in which an attack's steps are lost to rounding"
        raise InputError(what, where="benchmark", remedy="give module.float()")

    def outputs(array: np.ndarray) -> Any:
        with without_gradients(where):
            return net(torch.tensor(array, dtype=dtype, device=where)).to(dtype).cpu().numpy()

    chosen = chosen_layout(outputs, images, classes=classes, layout=layout)
    height, width, channels = images.shape[1:]
    predictor = NetworkPredictor(
        _Foreign(net, channels_first=chosen == "NCHW"),
        input_shape=(int(height), int(width), int(channels)),
        classes=classes,
        device=device,
        batch=batch,
    )
    require_gradients(predictor, images, remedy="let forward record gradients, without torch.no_grad and detach")
    return predictor
