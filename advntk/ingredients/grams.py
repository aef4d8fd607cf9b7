"""Gram matrices Θ(X, X): row tiles of the upper triangle, memory-mapped, resumable after a kill at any tile.

``gram.npy`` is float32 with a sidecar ``gram.json`` of what made it. While it grows it is ``.gram.partial.npy`` with
a list of finished tiles beside it; a rerun with the same identity goes on from there.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg

from advntk.foundation import files, provenance
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError, NotPositiveDefinite, NumericalError
from advntk.foundation.options import Compute
from advntk.foundation.progress import Progress
from advntk.ingredients.kernels.engine import KernelEngine, make_engine
from advntk.ingredients.networks.layers import FAMILIES
from advntk.ingredients.splits import Split

SCHEMA = "advntk-gram-1"
TILE_ROWS = 512
DENSE_CHECK = 3000
LANCZOS_STEPS = 60
SLACK = 1e-5
"""Negative eigenvalues down to −SLACK·λmax are what float32 entries explain."""


def sidecar(path: Path) -> Path:
    """The JSON beside a Gram matrix."""
    return path.with_suffix(".json")


def identity(split: Split, spec: Architecture) -> dict[str, Any]:
    """What the numbers in a Gram matrix depend on."""
    return {"schema": SCHEMA, "split_hash": split.hash, "architecture": spec.kernel_identity, "n": len(split.opt)}


def build_gram(split: Split, spec: Architecture, *, out: Path, compute: Compute, threads: int) -> None:
    """Compute Θ(X, X) of the ``opt`` images and check that it is finite and positive semi-definite.

    Args:
        split: its ``opt`` images are X.
        spec: the architecture; its width is not used.
        out: path of the ``.npy``; finished tiles of an earlier, killed run beside it are kept.
        compute: engine, device and memory bound.
        threads: for the record.

    Raises:
        InputError: the disk is full or the folder cannot be written.
        NotPositiveDefinite: an eigenvalue is negative beyond rounding; nothing is kept.
    """
    start = time.perf_counter()
    engine = make_engine(spec, split.input_shape, engine=compute.kernel_engine, device=compute.device)
    made_of = {
        **identity(split, spec),
        "engine": engine.name,
        "tile_rows": TILE_ROWS,
        "code": provenance.code_digest(__name__, f"{FAMILIES}.{spec.family}"),
    }
    partial, tiles = out.with_name(f".{out.stem}.partial.npy"), out.with_name(f".{out.stem}.partial.json")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        done = _finished_tiles(partial, tiles, made_of)
        gram = _open_partial(partial, len(split.opt), resume=bool(done))
    except OSError as error:
        raise InputError(
            f"cannot write ({error.strerror or error})", where=out, remedy="check permissions and free disk space"
        ) from error
    _fill(gram, engine, split.opt.images, done, tiles, made_of, what=f"gram {spec.label}")
    top, bottom = _extreme_eigenvalues(gram)
    mean_diagonal = float(np.mean(np.diagonal(gram), dtype=np.float64))
    del gram
    if not top > 0 or bottom < -SLACK * top:
        for leftover in (partial, tiles):
            leftover.unlink(missing_ok=True)
        raise NotPositiveDefinite(
            f"not positive semi-definite: eigenvalues from {bottom:.3g} to {top:.3g}",
            where=out,
            remedy="remove duplicate images, lower the depth, or set compute.kernel_engine to neural_tangents",
        )
    content = {
        **made_of,
        "mean_diagonal": mean_diagonal,
        "lambda_max": top,
        "lambda_min": bottom,
        "eigenvalues_by": "dense" if len(split.opt) <= DENSE_CHECK else f"lanczos-{LANCZOS_STEPS}",
        "provenance": provenance.environment(compute.device, threads),
        "timing": {"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    }
    # the sidecar vouches for the matrix: an old one goes first, the new one comes last
    sidecar(out).unlink(missing_ok=True)
    os.replace(partial, out)
    files.write_json(sidecar(out), content)
    tiles.unlink(missing_ok=True)


def _finished_tiles(partial: Path, tiles: Path, made_of: dict[str, Any]) -> set[int]:
    """First rows of the tiles that an earlier run with the same identity finished."""
    if not (partial.exists() and tiles.exists()):
        return set()
    try:
        state = files.read_json(tiles)
    except InputError:
        return set()
    return set(state["done"]) if state.get("made_of") == made_of else set()


def _open_partial(partial: Path, n: int, *, resume: bool) -> np.memmap:
    if resume:
        try:
            gram = np.lib.format.open_memmap(partial, mode="r+")
        except (OSError, ValueError):
            resume = False
        else:
            resume = gram.shape == (n, n) and gram.dtype == np.float32
    if not resume:
        gram = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=(n, n))
        # claim the blocks now: a full disk must be an error here, not a SIGBUS in the middle of the work
        with partial.open("r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, partial.stat().st_size)
    return gram


def _fill(
    gram: np.memmap,
    engine: KernelEngine,
    images: np.ndarray,
    done: set[int],
    tiles: Path,
    made_of: dict[str, Any],
    *,
    what: str,
) -> None:
    """Compute the missing tiles: the rows' own square, and everything to its right, mirrored below."""
    n = len(images)
    done &= {low for low in done if np.isfinite(gram[low : low + TILE_ROWS]).all()}
    starts = [low for low in range(0, n, TILE_ROWS) if low not in done]
    total = n * (n + 1) // 2
    left = sum(_pairs(low, n) for low in starts)
    progress = Progress(what, total, unit="pairs", done=total - left)
    for low in starts:
        high = min(low + TILE_ROWS, n)
        square = engine.tile_symmetric(images[low:high])
        _require_finite(square, low)
        gram[low:high, low:high] = square
        for left_edge in range(high, n, 8 * TILE_ROWS):
            columns = slice(left_edge, min(left_edge + 8 * TILE_ROWS, n))
            tile = engine.tile(images[low:high], images[columns])
            _require_finite(tile, low)
            gram[low:high, columns] = tile
            gram[columns, low:high] = tile.T
        gram.flush()
        done.add(low)
        files.write_json(tiles, {"made_of": made_of, "done": sorted(done)})
        progress.advance(_pairs(low, n))


def _pairs(low: int, n: int) -> int:
    """Pairs (i ≤ j) whose row is in the tile that starts at ``low``."""
    rows = min(TILE_ROWS, n - low)
    return rows * (n - low) - rows * (rows - 1) // 2


def _require_finite(tile: np.ndarray, low: int) -> None:
    if not np.isfinite(tile).all():
        raise NumericalError(
            f"{int((~np.isfinite(tile)).sum())} of {tile.size} entries of the tile at row {low} are NaN or infinite",
            where="gram",
            remedy="lower sigma_w or the depth (float32 overflows), or set compute.kernel_engine to neural_tangents",
        )


def _extreme_eigenvalues(gram: np.ndarray) -> tuple[float, float]:
    """(λmax, λmin), exact for small matrices; for large ones Ritz values, λmin being an upper bound of the true one."""
    n = len(gram)
    if n <= DENSE_CHECK:
        values = np.linalg.eigvalsh(np.asarray(gram, dtype=np.float64))
        return float(values[-1]), float(values[0])
    diagonal, off_diagonal = _lanczos(gram)
    ritz = scipy.linalg.eigvalsh_tridiagonal(diagonal, off_diagonal[:-1])
    return float(ritz[-1]), float(ritz[0])


def _lanczos(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal and off-diagonal of the Lanczos matrix from a fixed random start, fully reorthogonalised."""
    n, rows = len(gram), max(1, 2**23 // len(gram))
    steps = min(LANCZOS_STEPS, n)
    basis, diagonal, off_diagonal = np.zeros((n, steps)), np.zeros(steps), np.zeros(steps)
    vector: np.ndarray = np.random.default_rng(0).standard_normal(n)
    for step in range(steps):
        basis[:, step] = vector / np.linalg.norm(vector)
        parts = [gram[low : low + rows].astype(np.float64) @ basis[:, step] for low in range(0, n, rows)]
        vector = np.concatenate(parts).astype(np.float64)
        diagonal[step] = basis[:, step] @ vector
        for _ in range(2):
            vector -= basis @ (basis.T @ vector)
        off_diagonal[step] = np.linalg.norm(vector)
    return diagonal, off_diagonal


def open_gram(path: Path, split: Split, spec: Architecture) -> np.ndarray:
    """A read-only memory map of a finished Gram matrix, once it is the one for this split and architecture.

    Returns:
        The matrix, (n, n).

    Raises:
        InputError: missing, cut short, or made of something else.
    """
    facts = files.read_json(sidecar(path))
    expected = identity(split, spec)
    if wrong := [key for key, value in expected.items() if facts.get(key) != value]:
        raise InputError(
            f"was made for another {', '.join(wrong)}", where=path, remedy="delete it and run 'gram' again"
        )
    try:
        gram: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise InputError("file not found", where=path, remedy="run 'gram' first") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"cut short or corrupt ({error})", where=path, remedy="delete it and its .json and run 'gram' again"
        ) from error
    if gram.shape != (len(split.opt), len(split.opt)):
        raise InputError(f"has shape {gram.shape}", where=path, remedy="delete it and run 'gram' again")
    return gram
