"""Random flips of the training images, left to right (as in Rice et al. 2020).

For labels that a flip does not change: clothes and animals, not digits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, Technique

if TYPE_CHECKING:
    import numpy as np


class Options(Closed):
    """How often."""

    share: float = Field(default=0.5, ge=0, le=1, description="probability that an image is flipped")


class Flip(Technique):
    """Each image flipped with a probability."""

    options = Options
    chosen: Options

    def augmented(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """Some images flipped."""
        import torch

        flipped = torch.from_numpy(generator.random(len(batch.images)) < self.chosen.share).to(batch.images.device)
        images = torch.where(flipped[:, None, None, None], batch.images.flip(2), batch.images)
        return replace(batch, images=images, points=images)


ENTRY = Flip
