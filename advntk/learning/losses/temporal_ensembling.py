"""Temporal ensembling (Dong et al. 2022; dongyp13/memorization-AT): CE(f(x'), y) + w mean_k (p'_k − p̂_k)².

p' = softmax f(x'). p̂ of each training image is the normalised running mean of its clean predictions: s ← 0.9 s + 0.1 p
before each attack, p̂ = s/Σs. The attack maximises the whole loss. Up to a share ``start`` of the updates w is 0; then
it rises as W exp(−5 (1 − (t − start)/(full − start))²) up to a share ``full`` (the authors step it by epoch). Reports
measure the cross-entropy alone, as their images have no p̂.

The authors' W goes with their learning rate, 0.1 and a tenth of that from half and from three quarters of the training
on: w times the rate stays below 3. At a constant rate of 0.1 it would be 30, and training collapses to chance: let the
rate fall (``schedule: cosine``), or lower ``weight``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, TrainingLoss

if TYPE_CHECKING:
    from torch import Tensor

    from advntk.learning.at_run import Run


class Options(Closed):
    """Memory, weight, and when it rises."""

    momentum: float = Field(default=0.9, ge=0, lt=1, description="share of the old running mean that an update leaves")
    weight: float = Field(default=300.0, ge=0, description="W, final weight of the second term")
    start: float = Field(
        default=0.45, gt=0, lt=1, description="share of the updates before the second term (90 of 200)"
    )
    full: float = Field(
        default=0.75, gt=0, le=1, description="share of the updates from which it has weight W (150 of 200)"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Options:
        if self.full <= self.start:
            raise ValueError("give full > start")
        return self


class TemporalEnsembling(TrainingLoss):
    """CE(f(x'), y) + w mean_k (p'_k − p̂_k)²."""

    options = Options
    chosen: Options
    passes = 1

    def __init__(self, options: Any, run: Run) -> None:
        super().__init__(options, run)
        self.means = run.target.clone().zero_()

    @staticmethod
    def curvature(classes: int) -> float:
        """1/c: the training begins with cross-entropy."""
        return 1.0 / classes

    @property
    def _weight(self) -> float:
        """Weight of the second term at this update, w."""
        share, chosen = self.run.step / self.run.options.steps, self.chosen
        if share < chosen.start:
            return 0.0
        left = max(0.0, 1 - (share - chosen.start) / (chosen.full - chosen.start))
        return chosen.weight * math.exp(-5 * left**2)

    def inner(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """The loss itself, once the running means have taken in the batch."""
        if self._weight:
            new = self.run.logits(batch.images).softmax(1)
            momentum = self.chosen.momentum
            self.means[batch.indices] = momentum * self.means[batch.indices] + (1 - momentum) * new
        return lambda logits: self.values(batch, logits, None)

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """CE(f(x'), y) + w mean_k (p'_k − p̂_k)²."""
        attacked = logits.log_softmax(1)
        entropy = -(batch.target * attacked).sum(1)
        if batch.indices is None or not self._weight:
            return entropy
        mean = self.means[batch.indices]
        return entropy + self._weight * ((attacked.exp() - mean / mean.sum(1, keepdim=True)) ** 2).mean(1)

    def state(self) -> dict[str, Tensor]:
        """The running means."""
        return {"means": self.means}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the running means."""
        self.means.copy_(state["means"])


ENTRY = TemporalEnsembling
