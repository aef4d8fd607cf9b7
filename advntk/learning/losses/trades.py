"""TRADES (Zhang et al. 2019; yaodongyu/TRADES): CE(f(x), y) + β KL(p ‖ p').

p = softmax f(x), p' = softmax f(x'). The attack maximises KL(p ‖ p') from x + 0.001 N(0, 1), whatever ``attack.loss``
and ``attack.random_start`` say. The authors take PGD-10 with steps of 0.007 at ε = 0.031 (``attack.step_ratio`` 0.226),
and weight decay 2e-4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, TrainingLoss

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Options(Closed):
    """Weight of the robust term, and start of the attack."""

    beta: float = Field(default=6.0, ge=0, description="β, weight of KL(p ‖ p'), 1/λ in the paper")
    noise: float = Field(
        default=0.001, gt=0, description="standard deviation of the attack's normal start, on the [0, 1] pixel scale"
    )


class Trades(TrainingLoss):
    """CE(f(x), y) + β KL(p ‖ p')."""

    options = Options
    chosen: Options
    uses_clean = True
    passes = 4  # p in the attack; forward and backward of the clean images in the update

    @staticmethod
    def curvature(classes: int) -> float:
        """1/c: where x' = x the second term is 0 for all weights."""
        return 1.0 / classes

    def offsets(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """0.001 N(0, 1): the gradient of the KL at x itself is 0."""
        return self.chosen.noise * generator.standard_normal(shape)

    def inner(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """KL(p ‖ p'), p fixed."""
        fixed = self.run.logits(batch.images)
        return lambda logits: divergence(fixed, logits)

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """CE(f(x), y) + β KL(p ‖ p')."""
        assert clean is not None  # uses_clean
        entropy = -(batch.target * clean.log_softmax(1)).sum(1)
        return entropy + self.chosen.beta * divergence(clean, logits)


def divergence(clean: Tensor, logits: Tensor) -> Tensor:
    """KL(p ‖ p') of each example, p of the logits ``clean``, p' of ``logits``, (m, c) → (m,)."""
    natural = clean.log_softmax(1)
    return (natural.exp() * (natural - logits.log_softmax(1))).sum(1)


ENTRY = Trades
