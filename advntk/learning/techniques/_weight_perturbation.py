"""Weights that are moved up the loss while the gradient of an update is taken, and back after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, Technique

if TYPE_CHECKING:
    from torch import Tensor

TINY = 1e-20
"""Added to the norm of a gradient, as in the authors' code: a gradient of 0 moves nothing."""


class Options(Closed):
    """When the moves begin."""

    start: float = Field(
        default=0.05, ge=0, le=1, description="share of the updates before the first move (10 of 200 epochs)"
    )


class WeightPerturbation(Technique):
    """W + v for the update, then − v."""

    options = Options
    chosen: Options

    def moves(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """Weight tensors and the move v of each, the weights left as they are."""
        raise NotImplementedError

    @contextmanager
    def moved(self, batch: Batch) -> Iterator[None]:
        """W + v for the update, then − v."""
        run = self.run
        if run.step < self.chosen.start * run.options.steps:
            yield
            return
        buffers = [(buffer, buffer.clone()) for buffer in run.net.buffers()]
        moves = self.moves(batch)
        for buffer, before in buffers:  # the running statistics see the batch once, as without the move
            buffer.copy_(before)
        for weight, move in moves:
            weight.add_(move)
        yield
        for weight, move in moves:
            weight.sub_(move)
