"""Fast gradient sign method (Goodfellow et al. 2015), a control: one step of size ε from the clean image.

Where it breaks more than a stronger attack does, the stronger attack has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.attacks.attack import Attack, Attacked, checked, in_batches
from advntk.foundation.losses import LossName
from advntk.foundation.options import Closed
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

if TYPE_CHECKING:
    import numpy as np


class Options(Closed):
    """Options of FGSM; the radius belongs to the threat model."""

    loss: LossName = Field(default="squared_error", description="loss that the attack raises")


@checked
def run(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, *, options: Any, threat: ThreatModel, seed: int
) -> Attacked:
    """One step along the gradient at the clean image; nothing is random, so that the seed has no effect."""
    from advntk.attacks.gradient import ascend

    def attack(clean: Any, labels_: Any, start: Any) -> Any:
        def oracle(points: Any) -> tuple[Any, Any, Any]:
            return predictor.loss_and_gradient(points, labels_, options.loss)

        return ascend(oracle, clean, start, threat=threat, steps=1, step_size=threat.radius)

    return Attacked(images=in_batches(predictor, images, labels, images, attack))


ENTRY = Attack(
    options=Options,
    run=run,
    inside_threat_model=True,
    description="fast gradient sign method: one step of size ε from the clean image (a control)",
)
