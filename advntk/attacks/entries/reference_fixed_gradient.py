"""What the paper's reference code does to kernel predictors: an attack outside the threat model.

Every step uses the gradient at the random start and projects around the random start, so that the perturbation
reaches 2ε and no step sees a new gradient. Kept to reproduce the reference protocol, and labelled wherever shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advntk.attacks.attack import Attack, Attacked, checked, in_batches
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

if TYPE_CHECKING:
    import numpy as np


@checked
def run(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, *, options: Any, threat: ThreatModel, seed: int
) -> Attacked:
    """One gradient at the random start, ``steps`` steps along it, projected around that start."""
    import numpy as np

    starts = images
    if options.random_start:
        starts = images + threat.random_offsets(images.shape, np.random.default_rng([seed, 0]))
    step_size = options.step_ratio * threat.radius

    def attack(clean: Any, labels_: Any, start: Any) -> Any:
        start = threat.project(start, clean)
        _, _, gradient = predictor.loss_and_gradient(start, labels_, options.loss)
        step = step_size * threat.steepest(gradient)
        found = start
        for _ in range(options.steps):
            found = threat.project(found + step, start)
        return found

    return Attacked(images=in_batches(predictor, images, labels, starts, attack))


ENTRY = Attack(
    options=AttackOptions,
    run=run,
    inside_threat_model=False,
    description="the reference code's attack on kernels: one gradient, up to 2ε (outside the threat model)",
)
