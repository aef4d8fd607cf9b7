"""Adversarial weight perturbation, AWP (Wu et al. 2020, algorithm 1; csdongxian/AWP).

After the attack, each weight tensor w of two and more dimensions is moved to w + γ ‖w‖ g/‖g‖, g the gradient of the
same training loss on the same batch. The update is made there, weight decay included, and the move is taken back. The
authors take γ = 0.01, and 0.005 with TRADES.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, Technique

_TINY = 1e-20  # as in the authors' code: a gradient of 0 moves nothing


class Options(Closed):
    """Size of the move, and when it begins."""

    gamma: float = Field(default=0.01, gt=0, description="γ, length of the move over that of the weights, by tensor")
    start: float = Field(
        default=0.05, ge=0, le=1, description="share of the updates before the first move (10 of 200 epochs)"
    )


class Awp(Technique):
    """Weights moved up the loss while the gradient is taken."""

    options = Options
    chosen: Options
    passes = 3
    copies = 2  # the gradient and the move

    @contextmanager
    def moved(self, batch: Batch) -> Iterator[None]:
        """W + v for the update, then − v."""
        run = self.run
        if run.step < self.chosen.start * run.options.steps:
            yield
            return
        buffers = [(buffer, buffer.clone()) for buffer in run.net.buffers()]
        gradients = run.gradients(batch).gradients
        for buffer, before in buffers:  # the running statistics see the batch once, as without AWP
            buffer.copy_(before)
        moves = [
            (weight, (self.chosen.gamma * weight.norm() / (gradient.norm() + _TINY)) * gradient)
            for weight, gradient in zip(run.net.parameters(), gradients, strict=True)
            if weight.dim() > 1
        ]
        for weight, move in moves:
            weight.add_(move)
        yield
        for weight, move in moves:
            weight.sub_(move)


ENTRY = Awp
