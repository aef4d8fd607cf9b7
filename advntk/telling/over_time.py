"""What stories on training time share: the time chosen on val, what was lost after it, and verdicts from intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from advntk.telling.story import Verdict

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


def decided(*, holds: bool, fails: bool) -> Verdict:
    """A verdict from what an interval excludes; ``open`` where it decides nothing."""
    return "holds" if holds else "does not hold" if fails else "open"
