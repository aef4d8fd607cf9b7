"""Projected gradient descent (Madry et al. 2018), a fresh gradient at each step, projected around the clean image."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from advntk.attacks.attack import Attack, Attacked, in_batches
from advntk.attacks.gradient import ascend, ascend_keeping_best
from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.losses import one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel


class Options(AttackOptions):
    """Options of PGD as an evaluation."""

    restarts: int = Field(default=1, ge=1, description="independent random starts; the worst case counts")
    keep: Literal["final", "best"] = Field(
        default="final", description="final: the last iterate (paper); best: the point of largest loss on the way"
    )


def run(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, *, options: Any, threat: ThreatModel, seed: int
) -> Attacked:
    """PGD with restarts; of all restarts an example keeps a misclassified point, else the one of largest loss."""
    best, best_wrong, best_value = images.copy(), np.zeros(len(images), bool), np.full(len(images), -np.inf)
    for restart in range(options.restarts):
        offsets = np.zeros_like(images)
        if options.random_start:
            offsets = threat.random_offsets(images.shape, np.random.default_rng([seed, restart]))
        found = in_batches(predictor, images, labels, images + offsets, _attack(predictor, options, threat))
        if options.restarts == 1:
            return Attacked(images=found)
        wrong, value = _judged(predictor, found, labels, options)
        better = (wrong & ~best_wrong) | ((wrong == best_wrong) & (value > best_value)) | np.isnan(value)
        best[better], best_wrong[better], best_value[better] = found[better], wrong[better], value[better]
    return Attacked(images=best)


def _attack(predictor: Predictor, options: Options, threat: ThreatModel) -> Any:
    step_size = options.step_ratio * threat.radius

    def attack(clean: Any, labels: Any, start: Any) -> Any:
        def oracle(images: Any) -> tuple[Any, Any, Any]:
            return predictor.loss_and_gradient(images, labels, options.loss)

        if options.keep == "best":
            return ascend_keeping_best(oracle, clean, start, threat=threat, steps=options.steps, step_size=step_size)[0]
        return ascend(oracle, clean, start, threat=threat, steps=options.steps, step_size=step_size)

    return attack


def _judged(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each prediction is wrong, and its loss."""
    logits = np.asarray(predictor.logits(images), dtype=np.float64)
    value, _ = value_and_logit_gradient(options.loss, logits, one_hot(labels, predictor.classes, logits.dtype))
    return logits.argmax(axis=1) != labels, np.asarray(value)


ENTRY = Attack(
    options=Options,
    run=run,
    inside_threat_model=True,
    description="projected gradient descent, a fresh gradient at each step",
)
