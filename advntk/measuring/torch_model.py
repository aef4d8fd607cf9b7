"""A torch module as a predictor, whichever layout of images it takes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from advntk.foundation.options import Device
from advntk.ingredients.networks.torch_modes import without_gradients
from advntk.learning.network_predictor import NetworkPredictor, choose_device
from advntk.measuring.models import Layout, chosen_layout


class _ChannelsFirst(nn.Module):
    """A module of images (m, C, H, W) as one of images (m, H, W, C)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.module(images.permute(0, 3, 1, 2))
        return logits


def torch_model(
    module: nn.Module, images: np.ndarray, *, classes: int, layout: Layout, device: Device, batch: int
) -> NetworkPredictor:
    """A copy of the module, in eval mode, as a predictor; the module itself is left as it is."""
    net, where = copy.deepcopy(module).eval(), choose_device(device)
    net = net.to(where)
    dtype = next((parameter.dtype for parameter in net.parameters()), torch.float32)

    def outputs(array: np.ndarray) -> Any:
        with without_gradients(where):
            return net(torch.tensor(array, dtype=dtype, device=where)).cpu().numpy()

    chosen = chosen_layout(outputs, images, classes=classes, layout=layout)
    height, width, channels = images.shape[1:]
    return NetworkPredictor(
        net if chosen == "NHWC" else _ChannelsFirst(net),
        input_shape=(int(height), int(width), int(channels)),
        classes=classes,
        device=device,
        batch=batch,
    )
