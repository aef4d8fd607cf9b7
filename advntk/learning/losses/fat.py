"""Friendly adversarial training, FAT (Zhang et al. 2020; zjfheart/Friendly-Adversarial-Training): CE(f(x'), y).

The attack maximises the cross-entropy and stops for an image τ steps after the first that finds it misclassified,
whatever ``attack.loss`` says. τ grows by 1 at shares of the training: 0, 1, 2 at the authors'. They take PGD-10
with steps of 0.007 at ε = 0.031 (``attack.step_ratio`` 0.226), and weight decay 2e-4; their normal noise of 0.001 at
each step is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch
from advntk.learning.losses.cross_entropy import CrossEntropy

if TYPE_CHECKING:
    from torch import Tensor


class Options(Closed):
    """When the attack stops."""

    tau: int = Field(default=0, ge=0, description="τ at first, steps that an image gets after it is misclassified")
    rises: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[5 / 12, 0.75], description="shares of the updates from which τ is one more (50 and 90 of 120 epochs)"
    )


class Fat(CrossEntropy):
    """CE(f(x'), y) at an x' that is hardly misclassified."""

    options = Options
    chosen: Options

    @property
    def tau(self) -> int:
        """Steps that an image gets at this update after it is misclassified."""
        share = self.run.step / self.run.options.steps
        return self.chosen.tau + sum(share >= rise for rise in self.chosen.rises)

    def inner(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Cross-entropy, and 0, whose gradient moves nothing, for images that have had their steps."""
        import torch

        left = torch.full_like(batch.labels, self.tau)

        def values(logits: Tensor) -> Tensor:
            wrong = logits.argmax(1) != batch.labels
            going = ~wrong | (left > 0)
            left.sub_((wrong & going).to(left.dtype))
            return -(batch.target * logits.log_softmax(1)).sum(1) * going

        return values


ENTRY = Fat
