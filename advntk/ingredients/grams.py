"""Gram matrices Θ(X, X): computed in one job or gathered from parts, checked, and read back as memory maps.

X are the ``opt`` images, or all training images, which begin with them: the matrix of ``opt`` is then the first rows
and columns of that, and is not computed again.

``gram.npy`` is float32 with its provenance beside it in ``gram.json``. While it grows it is ``.gram.partial.npy`` with
a list of finished tile rows beside it; a rerun with the same identity resumes there. How it is cut and written is
in :mod:`gram_tiles`, how it is checked in :mod:`gram_spectrum`, and its parts are in :mod:`gram_parts`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from advntk.foundation import files, provenance
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, InputError, NotPositiveDefinite
from advntk.foundation.options import Compute
from advntk.foundation.roots import behind
from advntk.foundation.semidefinite import REMEDY
from advntk.foundation.training_images import TrainingImages
from advntk.ingredients import gram_sizes, gram_tiles
from advntk.ingredients.gram_spectrum import spectrum
from advntk.ingredients.gram_tiles import Finished, TileFile
from advntk.ingredients.kernels.engine import KernelEngine, make_engine
from advntk.ingredients.splits import Part, Split

SCHEMA = "advntk-gram-1"


def sidecar(path: Path) -> Path:
    """The JSON beside a Gram matrix."""
    return path.with_suffix(".json")


def partial_of(path: Path) -> tuple[Path, Path]:
    """The growing file that becomes ``path``, and its list of finished tile rows."""
    return path.with_name(f".{path.stem}.partial.npy"), path.with_name(f".{path.stem}.partial.json")


def identity(split: Split, spec: Architecture) -> dict[str, Any]:
    """What the numbers in a Gram matrix depend on, beside which images it is of."""
    return {"schema": SCHEMA, "split_hash": split.hash, "architecture": spec.kernel_identity}


def made_of(split: Split, spec: Architecture, images: TrainingImages, engine: KernelEngine) -> dict[str, Any]:
    """The identity, and what computed the numbers: the same for a whole matrix and for its parts."""
    return {
        **identity(split, spec),
        "n": len(split.training(images)),
        "engine": engine.name,
        "tile_rows": gram_sizes.TILE_ROWS,
        "code": provenance.code_digest(*behind(__name__, family=spec.family)),
    }


def engine_for(part: Part, spec: Architecture, compute: Compute) -> KernelEngine:
    """The kernel engine of a Gram job, once ``memory_mb`` allows the smallest tile.

    Returns:
        The engine.

    Raises:
        ConfigError: ``memory_mb`` is too small.
    """
    require_memory(part, compute.memory_mb)
    return make_engine(spec, part.input_shape, engine=compute.kernel_engine, device=compute.device)


def require_memory(part: Part, memory_mb: float) -> None:
    """Refuse a bound that the smallest tile does not fit into."""
    needed = gram_sizes.memory_needed_mb(len(part), int(np.prod(part.input_shape)))
    if memory_mb < needed:
        raise ConfigError(
            f"{memory_mb:g} MiB are too little for a tile of the Gram matrix of {len(part)} images",
            where="compute.memory_mb",
            remedy=f"give at least {needed}",
        )


@contextmanager
def telling_of(out: Path) -> Iterator[None]:
    """Tell a failure of the file system with the file that was to be written.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write ({error.strerror or error})", where=out, remedy="check permissions and free disk space"
        ) from error


def grow(
    out: Path,
    shape: tuple[int, ...],
    rows: list[int],
    engine: KernelEngine,
    part: Part,
    content: dict[str, Any],
    *,
    what: str,
) -> Finished:
    """Compute tile rows into the growing file of ``out``, from where an earlier run with the same content stopped.

    Args:
        out: what the file becomes; a square matrix is laid out as such, a vector as a part.
        shape: of the file.
        rows: first rows of the tile rows in it.
        engine: the kernel.
        part: X.
        content: what the numbers depend on.
        what: for the progress lines.

    Returns:
        The checksums. (A full disk raises ``InputError``.)
    """
    partial, listed = partial_of(out)
    n = len(part)
    with telling_of(out):
        finished = Finished.read(listed, content)
        if not (finished.checksums and _has_shape(partial, shape)):
            finished.checksums.clear()
            gram_tiles.allocate(partial, shape, wanted=out)
        with partial.open("r+b", buffering=0) as file:
            handle = file.fileno()
            square = shape == (n, n)
            target = TileFile.square(handle, n, partial) if square else TileFile.part(handle, n, rows, partial)
            gram_tiles.fill(target, engine, part.images, rows, finished, what=what)
    return finished


def _has_shape(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        return np.lib.format.open_memmap(path, mode="r").shape == shape
    except (OSError, ValueError):
        return False


def publish(out: Path, content: dict[str, Any]) -> None:
    """Rename the growing file to ``out``; the sidecar vouches for it: an old one goes first, the new one comes last."""
    partial, listed = partial_of(out)
    with telling_of(out):
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        sidecar(out).unlink(missing_ok=True)
        os.replace(partial, out)
    files.write_json(sidecar(out), content)
    listed.unlink(missing_ok=True)


def discard(out: Path) -> None:
    """Delete the growing file of ``out`` and its list."""
    for leftover in partial_of(out):
        leftover.unlink(missing_ok=True)


def build_gram(
    split: Split, spec: Architecture, *, images: TrainingImages = "opt", out: Path, compute: Compute, threads: int
) -> None:
    """Compute Θ(X, X) and check that it is finite and positive semi-definite.

    Args:
        split: that X is of.
        spec: the architecture; its width is not used.
        images: X: ``opt``, or all training images.
        out: path of the ``.npy``; finished tiles of an earlier, killed run beside it are kept.
        compute: engine, device and memory bound. (Too small a bound raises ``ConfigError``, a full disk
            ``InputError``, an eigenvalue that is negative beyond rounding ``NotPositiveDefinite``.)
        threads: for the record.
    """
    start, sources = time.perf_counter(), sources_of(__name__, spec)
    part = split.training(images)
    engine, n = engine_for(part, spec, compute), len(part)
    content = made_of(split, spec, images, engine)
    finished = grow(out, (n, n), gram_sizes.tile_rows(n), engine, part, content, what=f"gram {spec.label}")
    made = provenance.environment(compute.device, threads, **made_from(split, out, sources))
    made["content"] = digest_of(finished.checksums)
    complete(out, n, content, made=made, start=start, parts=1)


def sources_of(module: str, spec: Architecture) -> dict[str, str]:
    """Digests of the code of a job that computes or gathers a Gram matrix: its module and the family."""
    return provenance.sources(*behind(module, family=spec.family))


def made_from(split: Split, out: Path, sources: dict[str, str]) -> dict[str, Any]:
    """Provenance of a Gram matrix or of a part of one."""
    places = {"split": os.path.relpath(split.path, out.parent)} if split.path else {}
    return {"sources": sources, "data": split.data, "places": places}


def digest_of(checksums: Mapping[Any, int]) -> str:
    """Digest of the numbers of a Gram matrix, by the checksums of its tile rows; the same however it was computed."""
    return files.sha256_of_json({str(low): crc for low, crc in checksums.items()})[:12]


def complete(
    out: Path,
    n: int,
    content: dict[str, Any],
    *,
    made: dict[str, Any],
    start: float,
    parts: int,
    parts_s: float = 0.0,
) -> None:
    """Mirror the growing file whose upper triangle is there, check it, and publish it.

    Args:
        out: path of the ``.npy``.
        n: rows and columns.
        content: what the numbers depend on.
        made: provenance.
        start: when the job began, by ``time.perf_counter``.
        parts: how many jobs computed it.
        parts_s: seconds that they took in all, where this is not the one.

    Raises:
        NotPositiveDefinite: an eigenvalue is negative beyond rounding; the growing file is deleted.
    """
    partial, _ = partial_of(out)
    with telling_of(out), partial.open("r+b", buffering=0) as file:
        gram_tiles.mirror(TileFile.square(file.fileno(), n, partial))
    gram = np.load(partial, mmap_mode="r", allow_pickle=False)
    found = spectrum(gram)
    mean_diagonal = float(np.mean(np.diagonal(gram), dtype=np.float64))
    del gram
    if found.negative:
        discard(out)
        raise NotPositiveDefinite(
            f"not positive semi-definite: eigenvalues from {found.bottom:.3g} to {found.top:.3g}",
            where=out,
            remedy=REMEDY,
        )
    publish(
        out,
        {
            **content,
            "mean_diagonal": mean_diagonal,
            "lambda_max": found.top,
            "lambda_min": found.bottom,
            "eigenvalues_by": found.by,
            "parts": parts,
            "provenance": made,
            "timing": {
                "wall_s": time.perf_counter() - start,
                "parts_s": parts_s,
                "peak_mb": provenance.peak_mb(),
            },
        },
    )


def open_gram(path: Path, split: Split, spec: Architecture, images: TrainingImages = "opt") -> np.ndarray:
    """Rows of a finished Gram matrix, once it is the one for this split and architecture.

    Args:
        path: of the ``.npy``.
        split: that it must be of.
        spec: that it must be of.
        images: whose rows are wanted; a matrix of all training images has those of ``opt`` too.

    Returns:
        A read-only memory map (n, n) for n images, or (n, more): those of ``opt`` of a matrix of all, whose columns
        beyond n are of val.

    Raises:
        InputError: not this matrix, or of ``opt`` where all are wanted.
    """
    facts = files.read_json(sidecar(path))
    require_identity(path, facts, identity(split, spec))
    wanted, whole = len(split.training(images)), len(split.opt) + len(split.val)
    if facts.get("n") not in {wanted, whole}:
        raise InputError(
            f"is of {facts.get('n')} images, not of {wanted}", where=path, remedy=f"run 'gram' with --images {images}"
        )
    return gram_tiles.open_npy(path, (facts["n"], facts["n"]))[:wanted]


def require_identity(path: Path, facts: Any, expected: dict[str, Any]) -> None:
    """Refuse a file whose sidecar says that it was made of something else."""
    known = facts if isinstance(facts, dict) else {}
    if wrong := [key for key, value in expected.items() if known.get(key) != value]:
        raise InputError(
            f"was made for another {', '.join(wrong)}", where=path, remedy="delete it and run 'gram' again"
        )
