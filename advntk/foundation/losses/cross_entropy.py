"""Cross-entropy, −log softmax(f)_y."""

from __future__ import annotations

from typing import Any


def _cross_entropy(xp: Any, logits: Any, target: Any) -> tuple[Any, Any]:
    """−log softmax(f)_y; gradient softmax(f) − y."""
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    weights = xp.exp(shifted)
    total = xp.sum(weights, axis=1, keepdims=True)
    value = xp.log(total[:, 0]) - xp.sum(shifted * target, axis=1)
    return value, weights / total - target


ENTRY = _cross_entropy
