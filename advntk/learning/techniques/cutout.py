"""Cutout (DeVries & Taylor 2017; side and place as in Rice et al. 2020): a black square in each training image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.errors import ConfigError
from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, Technique

if TYPE_CHECKING:
    import numpy as np

    from advntk.learning.at_run import Run


class Options(Closed):
    """How much."""

    side: int = Field(default=14, ge=1, description="of the square, pixels (14 for images of 32×32)")


class Cutout(Technique):
    """A black square anywhere inside each image."""

    options = Options
    chosen: Options

    def __init__(self, options: Any, run: Run) -> None:
        super().__init__(options, run)
        height, width = run.images.shape[1:3]
        if options.side >= min(height, width):
            raise ConfigError(
                f"a square of {options.side} pixels hides all of an image of {height}×{width}",
                where="cutout",
                remedy="lower its side",
            )

    def augmented(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """All images with a square of zeros."""
        import torch

        side, (count, height, width, _) = self.chosen.side, batch.images.shape

        def hidden(length: int) -> torch.Tensor:
            first = torch.from_numpy(generator.integers(0, length - side + 1, (count, 1))).to(batch.images.device)
            places = torch.arange(length, device=first.device)
            return (places >= first) & (places < first + side)

        square = hidden(height)[:, :, None, None] & hidden(width)[:, None, :, None]
        images = batch.images.masked_fill(square, 0.0)
        return replace(batch, images=images, points=images)


ENTRY = Cutout
