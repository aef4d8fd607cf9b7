"""Attack losses in logit space, each with its gradient in closed form; a registry, one loss a file.

Array-agnostic: a JAX predictor pulls the gradient back through its vjp, a torch one through ``backward``, a numba
kernel through its reverse sweep, and all maximise exactly the same function.

``ENTRY`` of a file is a function of the array library, the logits f (m, c) and the one-hot labels y (m, c); it gives
the loss of each example (m,) and its gradient by the logits (m, c).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

from advntk.foundation import registry
from advntk.foundation.options import EntryOf

LossName = Annotated[str, EntryOf(registry.ATTACK_LOSSES)]
"""Name of an attack loss, as an option."""


def one_hot(labels: Any, classes: int, dtype: Any) -> Any:
    """Integer labels (m,) as one-hot rows (m, classes)."""
    from array_api_compat import array_namespace, is_torch_array

    xp = array_namespace(labels)
    columns = xp.arange(classes, device=labels.device) if is_torch_array(labels) else xp.arange(classes)
    return xp.astype(labels[:, None] == columns[None, :], dtype)


@functools.cache
def _registered(loss: str) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """The function of a loss."""
    # imported by name: code of the package names them, and the digest of code follows imports, not names
    from advntk.foundation.losses import cross_entropy, margin, squared_error

    own = {"cross_entropy": cross_entropy, "margin": margin, "squared_error": squared_error}
    found: Callable[[Any, Any, Any], tuple[Any, Any]]
    found = own[loss].ENTRY if loss in own else registry.get(registry.ATTACK_LOSSES, loss)
    return found


def value_and_logit_gradient(loss: LossName, logits: Any, target: Any) -> tuple[Any, Any]:
    """Loss of each example and its gradient with respect to the logits.

    Args:
        loss: ``squared_error`` ½‖f − y‖² (paper), ``cross_entropy``, ``margin`` max_{j≠y} f_j − f_y, or another entry.
        logits: f, (m, c).
        target: one-hot y, (m, c).

    Returns:
        Values (m,) and ∂loss/∂f (m, c).
    """
    from array_api_compat import array_namespace

    return _registered(loss)(array_namespace(logits), logits, target)


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
