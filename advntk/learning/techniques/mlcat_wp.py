"""MLCAT with weight perturbation (Yu et al. 2022; ChaojianYu/Understanding-Robust-Overfitting).

Only examples whose loss ℓ is small move the weights: v_0 = 0 and v_i = γ ‖w‖ G_i/‖G_i‖ for i = 1 … 10, where G_i is
G_{i−1} plus the gradient of mean(ℓ 1[ℓ < c]) at w + v_{i−1}, and norms are over all weight tensors of two and more
dimensions together. The update is made at w + v_10 with the whole batch, weight decay included, and the move is taken
back.
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
    """Size of the move, whose loss it raises, and when it begins."""

    gamma: float = Field(default=0.01, gt=0, description="γ, length of the move over that of the weights, all together")
    threshold: float = Field(default=1.5, gt=0, description="c, losses below it are raised (1.5: of cross-entropy)")


class MlcatWp(WeightPerturbation):
    """Weights moved up the loss of the examples that are fitted already."""

    options = Options
    chosen: Options
    passes = 30
    copies = 4  # the weights before, the gradient, their sum and the move

    def moves(self, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        """V_10."""
        import torch

        run, chosen = self.run, self.chosen
        weights = [weight for weight in run.net.parameters() if weight.dim() > 1]
        before = [weight.clone() for weight in weights]
        found = summed = [torch.zeros_like(weight) for weight in weights]
        for _ in range(10):
            gradients = run.gradients(batch, lambda values: values < chosen.threshold).gradients
            summed = [total + one for total, one in zip(summed, (g for g in gradients if g.dim() > 1), strict=True)]
            scale = chosen.gamma * _norm(before) / (_norm(summed) + TINY)
            found = [scale * total for total in summed]
            for weight, old, move in zip(weights, before, found, strict=True):
                weight.copy_(old + move)
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)
        return list(zip(weights, found, strict=True))


def _norm(tensors: list[Tensor]) -> Tensor:
    """ℓ2 norm of all entries together."""
    import torch

    found: Tensor = torch.stack([tensor.norm() for tensor in tensors]).norm()
    return found


ENTRY = MlcatWp
