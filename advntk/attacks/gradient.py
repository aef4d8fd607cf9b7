"""The one projected-gradient loop behind every gradient attack, on numpy, JAX or torch arrays alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace

from advntk.foundation.threat import ThreatModel

Oracle = Callable[[Any], tuple[Any, Any, Any]]
"""Images → (logits, loss of each example, its gradient by its own image)."""


def ascend(
    oracle: Oracle,
    clean: Any,
    start: Any,
    *,
    threat: ThreatModel,
    steps: int,
    step_size: float,
) -> Any:
    """Projected gradient ascent with a fresh gradient at each step (Madry et al. 2018, eq. 3).

    x_{k+1} = Π_{x+S}(x_k + α · steepest(∂ₓ L(x_k))), the projection always around the clean image.

    Args:
        oracle: loss and gradient of the predictor under attack, labels already bound.
        clean: x, (m, H, W, C) in [0, 1].
        start: x_0; projected first.
        threat: ball and box.
        steps: number of gradient evaluations.
        step_size: α on the [0, 1] pixel scale.

    Returns:
        x_steps, in the threat set.
    """
    images = threat.project(start, clean)
    for _ in range(steps):
        _, _, gradient = oracle(images)
        images = threat.project(images + step_size * threat.steepest(gradient), clean)
    return images


def ascend_keeping_best(
    oracle: Oracle,
    clean: Any,
    start: Any,
    *,
    threat: ThreatModel,
    steps: int,
    step_size: float,
) -> tuple[Any, Any]:
    """As :func:`ascend`, but each example keeps its point of largest loss along the way, start and end included.

    Returns:
        The best points (m, H, W, C) and their losses (m,); one more evaluation than ``steps``.
    """
    xp = array_namespace(clean)
    images = threat.project(start, clean)
    best, best_value = images, None
    for step in range(steps + 1):
        _, value, gradient = oracle(images)
        if best_value is None:
            best_value = value
        else:
            better = value > best_value
            best_value = xp.where(better, value, best_value)
            best = xp.where(xp.reshape(better, (-1,) + (1,) * (clean.ndim - 1)), images, best)
        if step < steps:
            images = threat.project(images + step_size * threat.steepest(gradient), clean)
    return best, best_value
