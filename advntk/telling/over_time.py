"""What stories on training time share: the time chosen on val, networks that were attacked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from advntk.telling.story import Told

POINT = 0.01
"""Of accuracy, or of a relative distance: smaller effects do not count."""


def chosen(curves: Mapping[str, Any], row: int | None = None) -> int:
    """Position of the time of best robust accuracy on val, the earliest of equals.

    Args:
        curves: with ``robust_val``, (T,) or (S, T).
        row: which strength, where there are several.

    Returns:
        An index of the times.
    """
    values = np.asarray(curves["robust_val"] if row is None else curves["robust_val"][row])
    return int(values.argmax())


def attacked(told: Told) -> list[str]:
    """Networks whose robust accuracy was measured."""
    return [name for name in told.values("network") if "robust_test" in told.of(network=name)[0].found]
