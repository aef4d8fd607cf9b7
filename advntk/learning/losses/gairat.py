"""GAIRAT (Zhang et al. 2021; zjfheart/Geometry-aware-Instance-reweighted-Adversarial-Training): w CE(f(x'), y).

w ∝ (1 + tanh(λ + 5 (1 − 2κ/K)))/2 with mean 1 over the batch, κ of the attack's K iterates before each step that are
classified correctly: images far from the boundary count less. Before a share ``start`` of the updates w is 1. The
attack maximises the cross-entropy, whatever ``attack.loss`` says. The authors take PGD-10 with steps of 0.007 at
ε = 0.031 (``attack.step_ratio`` 0.226), and weight decay 2e-4. Reports measure the cross-entropy alone, as their images
have no κ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch
from advntk.learning.losses.cross_entropy import CrossEntropy

if TYPE_CHECKING:
    from torch import Tensor

    from advntk.learning.at_run import Run


class Options(Closed):
    """The weights, and when they begin."""

    shift: float = Field(default=-1.0, description="λ: the smaller, the less images far from the boundary count")
    start: float = Field(
        default=0.5, ge=0, lt=1, description="share of the updates before images are weighted (60 of 120 epochs)"
    )


class Gairat(CrossEntropy):
    """w CE(f(x'), y)."""

    options = Options
    chosen: Options

    def __init__(self, options: Any, run: Run) -> None:
        super().__init__(options, run)
        self.correct = run.target.new_zeros(0)  # κ of the batch under way

    def inner(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Cross-entropy; it counts κ on the way."""
        self.correct = batch.target.new_zeros(len(batch.target))

        def values(logits: Tensor) -> Tensor:
            self.correct += logits.argmax(1) == batch.labels
            return -(batch.target * logits.log_softmax(1)).sum(1)

        return values

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """Cross-entropy, weighted in updates."""
        entropy = super().values(batch, logits, clean)
        run, chosen = self.run, self.chosen
        if batch.indices is None or run.step < chosen.start * run.options.steps:
            return entropy
        # (1 + tanh z)/2 as a sigmoid of 2z, which does not round to 0 for images far from the boundary
        weights = (2 * (chosen.shift + 5 * (1 - 2 * self.correct / run.options.attack.steps))).sigmoid()
        return weights / weights.mean() * entropy


ENTRY = Gairat
