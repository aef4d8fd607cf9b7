"""‖f(x') − y‖²/c, torch's ``mse_loss``, as in the code of Fu & Wang 2024; the attack maximises ``attack.loss``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advntk.foundation.losses import value_and_logit_gradient
from advntk.learning.at_parts import Batch, TrainingLoss, with_gradient

if TYPE_CHECKING:
    from torch import Tensor


class TorchMse(TrainingLoss):
    """‖f(x') − y‖²/c."""

    @staticmethod
    def curvature(classes: int) -> float:
        """2/c."""
        return 2.0 / classes

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """‖f(x') − y‖²/c: no ½, and the mean over classes."""
        value, gradient = value_and_logit_gradient("squared_error", logits.detach(), batch.target)
        scale = 2.0 / batch.target.shape[1]
        return with_gradient(scale * value, scale * gradient, logits)


ENTRY = TorchMse
