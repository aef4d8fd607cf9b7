"""The finite ResNet of the paper's reference code: batch norm, strides and average pooling, unlike the kernel's ResNet.

Conv 3×3, batch norm, ReLU; four stages of basic blocks of width · (1, 2, 4, 8) channels, the later ones halving the
image; mean over pixels; a linear layer. With 64 channels this is the usual ResNet for images of 32×32.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.ingredients.networks.families.resnet import BLOCKS


class ReferenceResNet(nn.Module):
    """Images − 0.5 (m, H, W, C) → logits (m, classes).

    Args:
        spec: depth and width; σ_w and σ_b are not used.
        channels: C.
        classes: number of logits.

    Raises:
        ConfigError: another activation than ReLU.
    """

    def __init__(self, spec: Architecture, channels: int, classes: int) -> None:
        super().__init__()
        if spec.activation != "relu":
            raise ConfigError(
                f"the reference ResNet has ReLU only, not {spec.activation}",
                where="method_options.at.network",
                remedy="set network: ntk",
            )
        self.stem = nn.Sequential(
            nn.Conv2d(channels, spec.width, 3, padding=1, bias=False), nn.BatchNorm2d(spec.width), nn.ReLU()
        )
        blocks, before = [], spec.width
        for stage, count in enumerate(BLOCKS[spec.depth]):
            planes = 2**stage * spec.width
            for block in range(count):
                blocks.append(_basic_block(before, planes, stride=2 if stage and not block else 1))
                before = planes
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(before, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(m, H, W, C) → (m, classes)."""
        maps: Tensor = self.blocks(self.stem(images.permute(0, 3, 1, 2)))
        logits: Tensor = self.last(maps.mean(dim=(2, 3)))
        return logits


class _Every(nn.Module):
    """Every ``stride``-th pixel.

    A 1×1 convolution after it is the strided one, whose weight gradients torch 2.14 gets wrong on CPUs, writing beyond
    its memory, for channels-last images and few channels.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, images: Tensor) -> Tensor:
        """(m, C, H, W) → (m, C, ⌈H/stride⌉, ⌈W/stride⌉)."""
        return images[:, :, :: self.stride, :: self.stride]


def _basic_block(before: int, planes: int, *, stride: int) -> BasicBlock:
    """A block; where the shape changes the shortcut is a strided 1×1 convolution with batch norm."""
    if stride == 1 and before == planes:
        return BasicBlock(before, planes)
    convolution = nn.Conv2d(before, planes, 1, bias=False)
    shortcut = nn.Sequential(_Every(stride), convolution, nn.BatchNorm2d(planes))
    return BasicBlock(before, planes, stride=stride, downsample=shortcut)
