"""How a Gram matrix is cut into tile rows and parts, and up to which size it is factorised whole.

Plain numbers: jobs cut by them, and what a job asks for follows from them where there is no numpy.
"""

from __future__ import annotations

from collections.abc import Iterator

from advntk.foundation.errors import ConfigError

TILE_ROWS = 512
PIECES = 8
"""Columns of a piece, in TILE_ROWS."""
ENTRY = 4
"""Bytes of an entry."""

DENSE_CHECK, SUBSET = 3000, 2000
"""Images up to which the whole spectrum is checked, and of how many it is checked beyond."""

DENSE_LIMIT = 3000
"""Images up to which one dense eigendecomposition is cheaper than a Krylov basis for the longest time."""


def tile_rows(n: int) -> list[int]:
    """First rows of the tile rows of an n×n matrix."""
    return list(range(0, n, TILE_ROWS))


def pairs(low: int, n: int) -> int:
    """Pairs (i ≤ j) whose row is in the tile row at ``low``."""
    rows = min(TILE_ROWS, n - low)
    return rows * (n - low) - rows * (rows - 1) // 2


def parts_that_fit(n: int, parts: int) -> int:
    """At most one part a tile row: the number of parts that a small matrix can be cut into."""
    return min(parts, len(tile_rows(n)))


def rows_of_part(n: int, part: int, parts: int) -> list[int]:
    """First rows of the tile rows of one part; parts differ by at most the pairs of one tile row.

    The largest tile row left goes to the part that has the fewest pairs.

    Returns:
        Rising numbers.

    Raises:
        ConfigError: there is no such part.
    """
    if not 0 <= part < parts:
        raise ConfigError(f"there is no part {part} of {parts}", where="--part", remedy="count from 0")
    if parts > len(tile_rows(n)):
        raise ConfigError(
            f"{n} images have {len(tile_rows(n))} tile row(s) of {TILE_ROWS}, too few for {parts} parts",
            where="--parts",
            remedy=f"give at most {len(tile_rows(n))}",
        )
    loads, own = [0] * parts, []
    for low in tile_rows(n):
        least = loads.index(min(loads))
        loads[least] += pairs(low, n)
        if least == part:
            own.append(low)
    return own


def pieces(low: int, n: int) -> Iterator[tuple[int, int]]:
    """Column ranges [left, right) of a tile row: its square, then what is to the right of it."""
    high = min(low + TILE_ROWS, n)
    yield low, high
    width = PIECES * TILE_ROWS
    for left in range(high, n, width):
        yield left, min(left + width, n)


def memory_needed_mb(n: int, pixels: int) -> int:
    """What a Gram job holds at least, MiB: two pieces, and the images of one twice; an engine's own is not in it."""
    rows, columns = min(TILE_ROWS, n), min(PIECES * TILE_ROWS, n)
    entries = 2 * rows * columns + 2 * (rows + columns) * pixels
    return -(-ENTRY * entries // 2**20)
