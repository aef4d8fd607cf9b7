"""Distillation from two teachers, KD (Chen et al. 2021; VITA-Group/Alleviate-Robust-Overfitting).

a CE(f(x'), y) + b KD(f(x'), g(x')) + d KD(f(x'), h(x')), KD(f, g) = −T² Σ_k softmax(g/T)_k log softmax(f/T)_k.

The teachers have the student's architecture, recipe and number of updates, but cross-entropy and no techniques: g is
trained on clean images, h on attacked ones. They are trained before the student, in the same job, and taken where they
are best on val. The attack maximises ``attack.loss``. The authors add ``swa``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.options import Closed
from advntk.learning.at_parts import Batch, TrainingLoss

if TYPE_CHECKING:
    from torch import Tensor


class Options(Closed):
    """Weights of the three terms, and the temperature."""

    labels: float = Field(default=0.3, ge=0, description="a, weight of the labels' cross-entropy")
    standard: float = Field(default=0.1, ge=0, description="b, weight of the teacher trained on clean images")
    robust: float = Field(default=0.6, ge=0, description="d, weight of the teacher trained on attacked images")
    temperature: float = Field(default=2.0, gt=0, description="T, by which logits of student and teachers are divided")


class Distillation(TrainingLoss):
    """a CE(f(x'), y) + b KD(f(x'), g(x')) + d KD(f(x'), h(x'))."""

    options = Options
    chosen: Options
    passes = 2
    copies = 2

    @staticmethod
    def teachers(options: Any, training: AdversarialTrainingOptions) -> dict[str, tuple[Any, bool]]:
        """The student's recipe with cross-entropy alone, on clean images and on attacked ones."""
        recipe = training.model_copy(update={"loss": "cross_entropy", "techniques": [], "search": []})
        return {"standard": (recipe, False), "robust": (recipe, True)}

    def values(self, batch: Batch, logits: Tensor, clean: Tensor | None) -> Tensor:
        """The three terms, summed."""
        import torch

        chosen, heat = self.chosen, self.chosen.temperature
        with torch.no_grad():
            soft = {name: (net(batch.points) / heat).softmax(1) for name, net in self.run.teachers.items()}
        target = chosen.standard * soft["standard"] + chosen.robust * soft["robust"]
        entropy = -(batch.target * logits.log_softmax(1)).sum(1)
        found: Tensor = chosen.labels * entropy - heat**2 * (target * (logits / heat).log_softmax(1)).sum(1)
        return found


ENTRY = Distillation
