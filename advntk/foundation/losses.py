"""Attack losses in logit space, each with its gradient in closed form.

Array-agnostic: a JAX predictor pulls the gradient back through its vjp, a torch one through ``backward``, a numba
kernel through its reverse sweep, and all maximise exactly the same function.
"""

from __future__ import annotations

from typing import Any, Literal

LossName = Literal["squared_error", "cross_entropy", "margin"]


def one_hot(labels: Any, classes: int, dtype: Any) -> Any:
    """Integer labels (m,) as one-hot rows (m, classes)."""
    from array_api_compat import array_namespace, is_torch_array

    xp = array_namespace(labels)
    columns = xp.arange(classes, device=labels.device) if is_torch_array(labels) else xp.arange(classes)
    return xp.astype(labels[:, None] == columns[None, :], dtype)


def _squared_error(xp: Any, logits: Any, target: Any) -> tuple[Any, Any]:
    """½‖f − y‖², the paper's loss; gradient f − y."""
    residual = logits - target
    return 0.5 * xp.sum(residual * residual, axis=1), residual


def _cross_entropy(xp: Any, logits: Any, target: Any) -> tuple[Any, Any]:
    """−log softmax(f)_y; gradient softmax(f) − y."""
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    weights = xp.exp(shifted)
    total = xp.sum(weights, axis=1, keepdims=True)
    value = xp.log(total[:, 0]) - xp.sum(shifted * target, axis=1)
    return value, weights / total - target


def _margin(xp: Any, logits: Any, target: Any) -> tuple[Any, Any]:
    """max_{j≠y} f_j − f_y; positive exactly when the prediction is wrong."""
    # one-hot of the largest wrong logit; excluded entries are pushed below every other one
    span = xp.max(xp.abs(logits), axis=1, keepdims=True)
    wrong = logits - target * (4.0 * span + 1.0)
    runner_up = one_hot(xp.argmax(wrong, axis=1), logits.shape[1], logits.dtype)
    direction = runner_up - target
    return xp.sum(logits * direction, axis=1), direction


_LOSSES = {"squared_error": _squared_error, "cross_entropy": _cross_entropy, "margin": _margin}


def value_and_logit_gradient(loss: LossName, logits: Any, target: Any) -> tuple[Any, Any]:
    """Loss of each example and its gradient with respect to the logits.

    Args:
        loss: ``squared_error`` ½‖f − y‖² (paper), ``cross_entropy``, or ``margin`` max_{j≠y} f_j − f_y.
        logits: f, (m, c).
        target: one-hot y, (m, c).

    Returns:
        Values (m,) and ∂loss/∂f (m, c).
    """
    from array_api_compat import array_namespace

    return _LOSSES[loss](array_namespace(logits), logits, target)


def targeted_margin(logits: Any, target: Any, goal: Any) -> tuple[Any, Any]:
    """f_t − f_y of each example, for an attack that aims at class t.

    Args:
        logits: f, (m, c).
        target: one-hot y, (m, c).
        goal: one-hot t, (m, c), t ≠ y.

    Returns:
        Values (m,), never above the margin, and their gradient e_t − e_y (m, c).
    """
    from array_api_compat import array_namespace

    direction = goal - target
    return array_namespace(logits).sum(logits * direction, axis=1), direction
