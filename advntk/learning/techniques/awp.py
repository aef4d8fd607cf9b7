"""Adversarial weight perturbation, AWP (Wu et al. 2020, algorithm 1; csdongxian/AWP).

After the attack, each weight tensor w of two and more dimensions is moved to w + γ ‖w‖ g/‖g‖, g the gradient of the
same training loss on the same batch. The update is made there, weight decay included, and the move is taken back. The
authors take γ = 0.01, and 0.005 with TRADES.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from advntk.learning.at_parts import Batch
from advntk.learning.techniques import _weight_perturbation
from advntk.learning.techniques._weight_perturbation import TINY, WeightPerturbation

if TYPE_CHECKING:
    from torch import Tensor


class Options(_weight_perturbation.Options):
    """Size of the move, and when it begins."""

    gamma: float = Field(default=0.01, gt=0, description="γ, length of the move over that of the weights, by tensor")


class Awp(WeightPerturbation):
    """Weights moved up the loss while the gradient is taken."""

    options = Options
    chosen: Options
    passes = 3
    copies = 2  # the gradient and the move

    def moves(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """V = γ ‖w‖ g/‖g‖, tensor by tensor."""
        gradients = self.run.gradients(batch).gradients
        return [
            (weight, (self.chosen.gamma * weight.norm() / (gradient.norm() + TINY)) * gradient)
            for weight, gradient in zip(self.run.net.parameters(), gradients, strict=True)
            if weight.dim() > 1
        ]


ENTRY = Awp
