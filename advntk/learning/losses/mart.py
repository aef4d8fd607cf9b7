"""MART (Wang et al. 2020; YisenWang/MART): BCE(p', y) + β KL(p ‖ p') (1 − p_y), with p' = softmax f(x').

BCE(p', y) = −log p'_y − log(1.0001 − max_{k≠y} p'_k). The attack maximises the cross-entropy from x + 0.001 N(0, 1),
whatever ``attack.loss`` and ``attack.random_start`` say. The authors take PGD-10 with steps of 0.007 at ε = 0.031
(``attack.step_ratio`` 0.226), rate 0.01 and weight decay 3.5e-3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, TrainingLoss
from advntk.learning.losses.trades import divergence

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Options(Closed):
    """Weight of the second term, and start of the attack."""

    beta: float = Field(default=5.0, ge=0, description="β, weight of KL(p ‖ p') (1 − p_y), λ in the paper")
    noise: float = Field(
        default=0.001, ge=0, description="standard deviation of the attack's normal start, on the [0, 1] pixel scale"
    )


class Mart(TrainingLoss):
    """BCE(p', y) + β KL(p ‖ p') (1 − p_y); without ``learning_rate_fraction``, as it has a kink at equal logits."""

    options = Options
    chosen: Options
    uses_clean = True
    passes = 3  # forward and backward of the clean images

    def offsets(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """0.001 N(0, 1)."""
        return self.chosen.noise * generator.standard_normal(shape)

    def inner(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Cross-entropy."""
        return lambda logits: -(batch.target * logits.log_softmax(1)).sum(1)

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """BCE(p', y) + β KL(p ‖ p') (1 − p_y)."""
        assert clean is not None  # uses_clean
        label = batch.labels[:, None]
        attacked = logits.log_softmax(1)
        runner_up = attacked.exp().scatter(1, label, 0.0).amax(1)  # the likeliest wrong class
        boosted = -(batch.target * attacked).sum(1) - (1.0001 - runner_up).log()
        uncertain = 1 - clean.softmax(1).gather(1, label)[:, 0]
        return boosted + self.chosen.beta * uncertain * divergence(clean, logits)


ENTRY = Mart
