"""Random shifts of the training images: crops of the images padded with zeros (as in Rice et al. 2020)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, Technique

if TYPE_CHECKING:
    import numpy as np


class Options(Closed):
    """How far."""

    pixels: int = Field(default=4, ge=1, description="largest shift along each axis, pixels; all shifts are as likely")


class Shift(Technique):
    """Each image shifted, zeros moving in."""

    options = Options
    chosen: Options

    def augmented(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """All images shifted."""
        import torch

        most, (count, height, width, _) = self.chosen.pixels, batch.images.shape
        padded = torch.nn.functional.pad(batch.images, (0, 0, most, most, most, most))
        corners = torch.from_numpy(generator.integers(0, 2 * most + 1, (2, count, 1))).to(padded.device)
        down = corners[0] + torch.arange(height, device=padded.device)
        across = corners[1] + torch.arange(width, device=padded.device)
        images = padded[torch.arange(count, device=padded.device)[:, None, None], down[:, :, None], across[:, None, :]]
        return replace(batch, images=images, points=images)


ENTRY = Shift
