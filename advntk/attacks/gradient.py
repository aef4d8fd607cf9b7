"""The one projected-gradient loop behind every gradient attack, on numpy, JAX or torch arrays alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from advntk.foundation.attack_options import Schedule
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

Oracle = Callable[[Any], tuple[Any, Any, Any]]
"""Images → (logits, loss of each example, its gradient by its own image)."""


def step_sizes(schedule: Schedule, step_size: float, steps: int) -> list[float]:
    """α_k for k = 0, …, K − 1: α, α (1 − k/K), or α (1 + cos(πk/K))/2."""
    if schedule == "linear":
        return [step_size * (1 - k / steps) for k in range(steps)]
    if schedule == "cosine":
        return [step_size * (1 + math.cos(math.pi * k / steps)) / 2 for k in range(steps)]
    return [step_size] * steps


def ascend(
    oracle: Oracle,
    clean: Any,
    start: Any,
    *,
    threat: ThreatModel,
    steps: int,
    step_size: float,
    schedule: Schedule = "constant",
) -> Any:
    """Projected gradient ascent with a fresh gradient at each step (Madry et al. 2018, eq. 3).

    x_{k+1} = Π_{x+S}(x_k + α_k · steepest(∂ₓ L(x_k))), the projection always around the clean image.

    Args:
        oracle: loss and gradient of the predictor under attack, labels already bound.
        clean: x, (m, H, W, C) in [0, 1].
        start: x_0; projected first.
        threat: ball and box.
        steps: number of gradient evaluations.
        step_size: α on the [0, 1] pixel scale.
        schedule: of α_k.

    Returns:
        x_steps, in the threat set.
    """
    images = threat.project(start, clean)
    for size in step_sizes(schedule, step_size, steps):
        _, _, gradient = oracle(images)
        images = threat.project(images + size * threat.steepest(gradient, at=images), clean)
    return images


def ascend_keeping_best(
    oracle: Oracle,
    clean: Any,
    labels: Any,
    start: Any,
    *,
    threat: ThreatModel,
    steps: int,
    step_size: float,
    schedule: Schedule = "constant",
) -> tuple[Any, Any]:
    """As :func:`ascend`, but each example keeps its worst point along the way, start and end included.

    Worst is by :func:`rank`, then by loss.

    Returns:
        The worst points (m, H, W, C) and their losses (m,); one more evaluation than ``steps``.
    """
    xp = array_namespace(clean)
    images = best = threat.project(start, clean)
    logits, best_value, gradient = oracle(images)
    best_rank = rank(logits, labels)
    for size in step_sizes(schedule, step_size, steps):
        images = threat.project(images + size * threat.steepest(gradient, at=images), clean)
        logits, value, gradient = oracle(images)
        new_rank = rank(logits, labels)
        better = (new_rank > best_rank) | ((new_rank == best_rank) & (value > best_value))
        best_rank, best_value = xp.where(better, new_rank, best_rank), xp.where(better, value, best_value)
        best = xp.where(xp.reshape(better, (-1,) + (1,) * (clean.ndim - 1)), images, best)
    return best, best_value


def rank(logits: Any, labels: Any) -> Any:
    """How bad a point is for the predictor: 2 if a logit is not finite, 1 if misclassified, else 0.

    Accuracy counts misclassified points, whatever their loss. A point without finite logits comes first, so that it is
    shown to the evaluation, which refuses it: a comparison of losses would pass over NaN.

    Returns:
        Integers (m,), of the kind of array that the logits are.
    """
    xp = array_namespace(logits)
    wrong = xp.astype(xp.argmax(logits, axis=1) != labels, xp.int32)
    return xp.where(xp.all(xp.isfinite(logits), axis=1), wrong, 2)


class WorstPoints:
    """Of all points that were tried around each image, the worst by :func:`rank`, then by loss.

    Args:
        predictor: of any kind.
        images: clean, (m, H, W, C); kept until the first point is offered.
        labels: (m,).
        loss: that orders points of the same rank.

    Attributes:
        images: the worst points so far.
    """

    def __init__(self, predictor: Predictor, images: np.ndarray, labels: np.ndarray, *, loss: LossName) -> None:
        self.predictor, self.labels, self.loss = predictor, labels, loss
        self.images = images.copy()
        self._rank, self._value = np.full(len(images), -1), np.full(len(images), -np.inf)

    @property
    def unbroken(self) -> np.ndarray:
        """Indices of the examples for which no misclassified point was offered yet."""
        return np.flatnonzero(self._rank < 1)

    def offer(self, which: np.ndarray, points: np.ndarray) -> None:
        """Take points of the examples ``which`` where they are worse than those before."""
        labels = self.labels[which]
        logits = np.asarray(self.predictor.logits(points), dtype=np.float64)
        target = one_hot(labels, self.predictor.classes, logits.dtype)
        with np.errstate(invalid="ignore", over="ignore"):  # infinite logits show in the rank
            value, _ = value_and_logit_gradient(self.loss, logits, target)
        new = rank(logits, labels)
        better = (new > self._rank[which]) | ((new == self._rank[which]) & (value > self._value[which]))
        taken = which[better]
        self.images[taken], self._rank[taken], self._value[taken] = points[better], new[better], value[better]
