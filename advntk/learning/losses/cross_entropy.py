"""Cross-entropy at x' (Madry et al. 2018): −log softmax(f(x'))_y; the attack maximises ``attack.loss``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from advntk.foundation.losses import value_and_logit_gradient
from advntk.learning.at_parts import Batch, TrainingLoss, with_gradient

if TYPE_CHECKING:
    from torch import Tensor


class CrossEntropy(TrainingLoss):
    """−log softmax(f(x'))_y."""

    @staticmethod
    def curvature(classes: int) -> float:
        """1/c, of the softmax at equal logits."""
        return 1.0 / classes

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """−log softmax(f(x'))_y."""
        value, gradient = value_and_logit_gradient("cross_entropy", logits.detach(), batch.target)
        return with_gradient(value, gradient, logits)


ENTRY = CrossEntropy
