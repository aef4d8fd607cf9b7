"""½‖f(x') − y‖², summed over classes; the attack maximises ``attack.loss``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advntk.foundation.losses import value_and_logit_gradient
from advntk.learning.at_parts import Batch, TrainingLoss, with_gradient

if TYPE_CHECKING:
    from torch import Tensor


class SquaredError(TrainingLoss):
    """½‖f(x') − y‖²."""

    @staticmethod
    def curvature(classes: int) -> float:
        """1."""
        return 1.0

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """½‖f(x') − y‖²."""
        value, gradient = value_and_logit_gradient("squared_error", logits.detach(), batch.target)
        return with_gradient(value, gradient, logits)


ENTRY = SquaredError
