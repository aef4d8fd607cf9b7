"""Powers of the width, one a network, with intervals: what stories on wide networks share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from advntk.foundation.statistics import Interval, power_of, student_interval

NEEDED = -0.4
"""The power of the width below which a quantity counts as falling like width^−½, the theorem's rate, or faster."""
EXPECTED = f"-0.5 (below {NEEDED})"


def power(widths: Sequence[int], rows: Iterable[np.ndarray], *, upper: bool = False) -> Interval:
    """Power of the width in a quantity.

    Args:
        widths: ascending.
        rows: the quantity at all widths, one row a network.
        upper: over the upper half of four widths or more, where a plateau would show.

    Returns:
        Mean over networks with its interval.
    """
    first = len(widths) // 2 if upper and len(widths) > 3 else 0
    return student_interval([power_of(widths[first:], list(network[first:])) for network in rows])


def shared(d: Sequence[int], widths: Sequence[int]) -> list[int]:
    """Widths that are input dimensions too."""
    return [width for width in widths if width in d]


def power_along(d: Sequence[int], widths: Sequence[int], tables: Iterable[np.ndarray]) -> Interval:
    """Power of the width in a quantity where the input dimension is the width.

    Args:
        d: input dimensions.
        widths: at least two of them are among ``d``.
        tables: the quantity, (d, widths), one table a network.

    Returns:
        Mean over networks with its interval.
    """
    sizes = shared(d, widths)
    at_d, at_width = [list(d).index(size) for size in sizes], [list(widths).index(size) for size in sizes]
    return power(sizes, (table[at_d, at_width] for table in tables))
