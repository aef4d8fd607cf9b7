"""Options that every projected-gradient attack has, in training and in evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from advntk.foundation.losses import LossName
from advntk.foundation.options import Closed

Schedule = Literal["constant", "linear", "cosine"]
"""How the step size falls over the steps of an attack."""


class AttackOptions(Closed):
    """Projected gradient ascent in the threat set; the radius belongs to the threat model."""

    loss: LossName = Field(default="squared_error", description="loss that the attack raises")
    steps: int = Field(default=10, ge=0, description="gradient evaluations per attack")
    step_ratio: float = Field(default=0.2, gt=0, description="step size as a multiple of ε (0.2: 1.6/255 at 8/255)")
    random_start: bool = Field(default=True, description="start at a random point of the ball, else at the image")
