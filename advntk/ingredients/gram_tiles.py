"""How a Gram matrix is cut, written and mirrored: tile rows of the upper triangle, in plain reads and writes.

The tile row at ``low`` holds the rows low … low + TILE_ROWS − 1, from their own square to the right edge. It is
computed and written in pieces of at most WIDTH columns, and its CRC-32 is kept: a resumed run and a gather believe a
tile row only when it reads back as it was computed, so nothing has to be flushed while the file grows.

Rows are written with ``pwrite``, not stored into a memory map: a store costs a page fault for every 4 KiB, more than a
fast kernel costs for the entries in it, and what is written does not count as memory of the process.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advntk.foundation import files
from advntk.foundation.errors import InputError, NumericalError
from advntk.foundation.progress import Progress
from advntk.ingredients import gram_sizes
from advntk.ingredients.kernels.engine import KernelEngine

_BLOCK = 64
"""Side of the blocks in which entries are transposed: they stay in the first-level cache."""


@dataclass(frozen=True, kw_only=True)
class TileFile:
    """Tile rows in an open float32 ``.npy``.

    Attributes:
        handle: file descriptor.
        n: rows and columns of the whole matrix.
        places: of each tile row by its first row, the offset of its first entry and the distance of its rows, bytes.
        path: for messages.
    """

    handle: int
    n: int
    places: Mapping[int, tuple[int, int]]
    path: Path

    def write(self, low: int, left: int, tile: np.ndarray) -> None:
        """Write a piece (rows, columns), C-contiguous float32, that starts at row ``low``, column ``left``."""
        offset, stride = self.places[low]
        offset += gram_sizes.ENTRY * (left - low)
        for index, row in enumerate(tile):
            _write(self.handle, row, offset + index * stride)

    def read(self, low: int, left: int, right: int) -> np.ndarray:
        """The piece of columns [left, right) of the tile row at ``low``."""
        offset, stride = self.places[low]
        offset += gram_sizes.ENTRY * (left - low)
        tile = np.empty((min(gram_sizes.TILE_ROWS, self.n - low), right - left), np.float32)
        for index, row in enumerate(tile):
            _read(self.handle, row, offset + index * stride, self.path)
        return tile

    def checksum(self, low: int) -> int:
        """CRC-32 of a tile row as it lies in the file, piece after piece."""
        crc = 0
        for left, right in gram_sizes.pieces(low, self.n):
            crc = zlib.crc32(self.read(low, left, right).data, crc)
        return crc

    @classmethod
    def square(cls, handle: int, n: int, path: Path) -> TileFile:
        """Tile rows where they belong in the n×n matrix."""
        start = open_npy(path, (n, n)).offset
        row, step = gram_sizes.ENTRY * n, gram_sizes.ENTRY * (n + 1)
        places = {low: (start + step * low, row) for low in gram_sizes.tile_rows(n)}
        return cls(handle=handle, n=n, places=places, path=path)

    @classmethod
    def part(cls, handle: int, n: int, rows: Iterable[int], path: Path) -> TileFile:
        """Tile rows one after the other, nothing left of their squares: a part holds no entry that mirrors."""
        rows = list(rows)
        offset, places = open_npy(path, (part_entries(n, rows),)).offset, {}
        for low in rows:
            places[low] = (offset, gram_sizes.ENTRY * (n - low))
            offset += gram_sizes.ENTRY * min(gram_sizes.TILE_ROWS, n - low) * (n - low)
        return cls(handle=handle, n=n, places=places, path=path)


def part_entries(n: int, rows: Iterable[int]) -> int:
    """Entries of a part that holds these tile rows."""
    return sum(min(gram_sizes.TILE_ROWS, n - low) * (n - low) for low in rows)


def _write(handle: int, row: np.ndarray, offset: int) -> None:
    data = row.data.cast("B")
    while data:
        written = os.pwrite(handle, data, offset)
        data, offset = data[written:], offset + written


def _read(handle: int, row: np.ndarray, offset: int, path: Path) -> None:
    data = row.data.cast("B")
    while data:
        count = os.preadv(handle, [data], offset)
        if count == 0:
            raise InputError("cut short", where=path, remedy="delete it and run 'gram' again")
        data, offset = data[count:], offset + count


def open_npy(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A read-only memory map of a float32 ``.npy`` of this shape.

    Returns:
        The map; its ``offset`` is where the entries begin.

    Raises:
        InputError: missing, cut short, or of another form.
    """
    try:
        stored: np.memmap = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise InputError("file not found", where=path, remedy="run 'gram' first") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"cut short or corrupt ({error})", where=path, remedy="delete it and its .json and run 'gram' again"
        ) from error
    if stored.shape != shape or stored.dtype != np.float32 or not stored.flags.c_contiguous:
        raise InputError(
            f"holds {stored.dtype} {stored.shape}, not float32 {shape}",
            where=path,
            remedy="delete it and run 'gram' again",
        )
    return stored


def allocate(path: Path, shape: tuple[int, ...], *, wanted: Path) -> None:
    """Make a float32 ``.npy`` of zeros whose blocks are claimed: a full disk is an error here, not in mid-work.

    Args:
        path: the file; one that is there goes.
        shape: of the array.
        wanted: the file that it will become, for messages.

    Raises:
        InputError: too little space; the message says how much is needed and how much is free.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    needed, free = gram_sizes.ENTRY * int(np.prod(shape, dtype=np.int64)) + 4096, shutil.disk_usage(path.parent).free
    if needed > free:
        raise InputError(
            f"needs {-(-needed // 2**20)} MB of disk, {free // 2**20} MB are free",
            where=wanted,
            remedy="free disk space, set 'results' to another disk, or lower n_opt",
        )
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    with path.open("r+b") as handle:
        os.posix_fallocate(handle.fileno(), 0, path.stat().st_size)


@dataclass(kw_only=True)
class Finished:
    """The list of finished tile rows beside a growing file.

    Attributes:
        path: the JSON.
        made_of: what the numbers depend on; a list of something else is not used.
        checksums: CRC-32 by first row.
    """

    path: Path
    made_of: dict[str, Any]
    checksums: dict[int, int]

    @classmethod
    def read(cls, path: Path, made_of: dict[str, Any]) -> Finished:
        """What an earlier run with the same identity finished; nothing where there is none."""
        state: Any = {}
        if path.exists():
            try:
                state = files.read_json(path)
            except InputError:
                state = {}
        same = isinstance(state, dict) and state.get("made_of") == made_of
        checksums = {int(low): int(crc) for low, crc in state["checksums"].items()} if same else {}
        return cls(path=path, made_of=made_of, checksums=checksums)

    def add(self, low: int, checksum: int) -> None:
        """One more; what is listed survives a kill."""
        self.checksums[low] = checksum
        files.write_json(self.path, {"made_of": self.made_of, "checksums": self.checksums})


def fill(
    target: TileFile, engine: KernelEngine, images: np.ndarray, rows: list[int], finished: Finished, *, what: str
) -> None:
    """Compute the tile rows that are missing, or that do not read back as they were computed.

    Args:
        target: written to.
        engine: the kernel.
        images: X, (n, H, W, C).
        rows: first rows of the tile rows that belong into ``target``.
        finished: of an earlier run; kept up to date.
        what: name for the progress lines. (An entry that is not finite raises ``NumericalError``.)
    """
    n = len(images)
    known = finished.checksums
    done = {low for low in rows if low in known and known[low] == target.checksum(low)}
    left_over = [low for low in rows if low not in done]
    total, found = (sum(gram_sizes.pairs(low, n) for low in lows) for lows in (rows, done))
    progress = Progress(what, total, unit="pairs", done=found)
    for low in left_over:
        own, crc = images[low : low + gram_sizes.TILE_ROWS], 0
        for left, right in gram_sizes.pieces(low, n):
            tile = engine.tile_symmetric(own) if left == low else engine.tile(own, images[left:right])
            tile = np.ascontiguousarray(tile, dtype=np.float32)
            _require_finite(tile, low)
            if low == left == 0:
                _require_contrast(tile)
            target.write(low, left, tile)
            crc = zlib.crc32(tile.data, crc)
        finished.add(low, crc)
        progress.advance(gram_sizes.pairs(low, n))


def _require_finite(tile: np.ndarray, low: int) -> None:
    if not np.isfinite(tile).all():
        raise NumericalError(
            f"{int((~np.isfinite(tile)).sum())} of {tile.size} entries of the tile at row {low} are NaN or infinite",
            where="gram",
            remedy="the scale σ_w^depth leaves float32: move sigma_w towards 1.4 or lower the depth, "
            "or set compute.kernel_engine to neural_tangents",
        )


def _require_contrast(tile: np.ndarray) -> None:
    """Refuse a kernel that is the same number for all pairs of images: nothing can be learned from it."""
    largest = float(np.abs(tile).max())
    if len(tile) > 1 and float(np.ptp(tile)) <= 8 * np.finfo(np.float32).eps * largest:
        raise NumericalError(
            f"all entries of the tile at row 0 equal {largest:.3g} in float32: the kernel does not distinguish images",
            where="gram",
            remedy="raise sigma_w towards 1.4 or lower sigma_b; if all images are the same, check the data",
        )


def mirror(target: TileFile) -> None:
    """Copy the upper triangle of a square file onto the lower one, in blocks as large as a piece."""
    n, width = target.n, gram_sizes.PIECES * gram_sizes.TILE_ROWS
    stored = np.lib.format.open_memmap(target.path, mode="r")
    strip = np.empty((min(gram_sizes.TILE_ROWS, n), min(width, n)), np.float32)
    for low in gram_sizes.tile_rows(n):
        high = min(low + gram_sizes.TILE_ROWS, n)
        for left in range(0, low, width):
            block = strip[: high - low, : min(left + width, low) - left]
            for top in range(0, block.shape[1], _BLOCK):
                source = np.ascontiguousarray(stored[left + top : min(left + top + _BLOCK, low), low:high])
                for row in range(0, len(block), _BLOCK):
                    block[row : row + _BLOCK, top : top + len(source)] = source[:, row : row + _BLOCK].T
            target.write(low, left, block)
