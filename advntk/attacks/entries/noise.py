"""Uniform noise in the ball, a control: what a perturbation of this size does without any knowledge of the predictor.

An attack that breaks no more than this has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.attacks.attack import Attack, Attacked, checked
from advntk.foundation.options import Closed
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

if TYPE_CHECKING:
    import numpy as np


class Options(Closed):
    """Options of the noise."""

    draws: int = Field(default=10, ge=1, description="random points of the ball per image; the worst case counts")


@checked
def run(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, *, options: Any, threat: ThreatModel, seed: int
) -> Attacked:
    """Of all draws an example keeps the first misclassified one, else the one of largest margin."""
    import numpy as np

    from advntk.attacks.gradient import WorstPoints

    worst = WorstPoints(predictor, images, labels, loss="margin")
    for draw in range(options.draws):
        left = worst.unbroken
        if len(left) == 0:
            break
        offsets = threat.random_offsets(images.shape, np.random.default_rng([seed, draw]))
        worst.offer(left, threat.project(images[left] + offsets[left], images[left]))
    return Attacked(images=worst.images)


ENTRY = Attack(
    options=Options,
    run=run,
    inside_threat_model=True,
    description="uniform noise in the ball, the worst of several draws (a control)",
)
