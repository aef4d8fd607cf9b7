"""Margin, max_{j≠y} f_j − f_y: positive exactly when the prediction is wrong."""

from __future__ import annotations

from typing import Any

from advntk.foundation.losses import one_hot


def _margin(xp: Any, logits: Any, target: Any) -> tuple[Any, Any]:
    """max_{j≠y} f_j − f_y; gradient e_j − e_y."""
    # one-hot of the largest wrong logit; excluded entries are pushed below every other one
    span = xp.max(xp.abs(logits), axis=1, keepdims=True)
    wrong = logits - target * (4.0 * span + 1.0)
    runner_up = one_hot(xp.argmax(wrong, axis=1), logits.shape[1], logits.dtype)
    direction = runner_up - target
    return xp.sum(logits * direction, axis=1), direction


ENTRY = _margin
