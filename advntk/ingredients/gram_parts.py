"""One Gram matrix by many jobs: each part computes its own tile rows, a gather puts them together.

A part is a float32 vector, its tile rows one after the other, with a sidecar that holds their checksums. It resumes
after a kill as a whole matrix does. The gather reads every entry once and writes every entry once, piece by piece.
Tile rows are computed the same way wherever they are, so the matrix does not depend on the number of parts.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advntk.foundation import files, provenance
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError
from advntk.foundation.options import Compute
from advntk.foundation.progress import Progress
from advntk.foundation.training_images import TrainingImages
from advntk.ingredients import gram_sizes, gram_tiles
from advntk.ingredients.gram_tiles import TileFile
from advntk.ingredients.grams import (
    complete,
    digest_of,
    discard,
    engine_for,
    grow,
    identity,
    made_from,
    made_of,
    partial_of,
    publish,
    require_identity,
    require_memory,
    sidecar,
    sources_of,
    telling_of,
)
from advntk.ingredients.splits import Split


def build_part(
    split: Split,
    spec: Architecture,
    *,
    images: TrainingImages = "opt",
    part: int,
    parts: int,
    out: Path,
    compute: Compute,
    threads: int,
) -> None:
    """Compute one part of Θ(X, X); finished tile rows of a killed run are kept.

    Args:
        split: that X is of.
        spec: the architecture; its width is not used.
        images: X: ``opt``, or all training images.
        part: which, from 0.
        parts: how many.
        out: path of the ``.npy``; its provenance is written beside it, as ``.json``.
        compute: engine, device and memory bound. (A part that does not exist and too small a bound raise
            ``ConfigError``, a full disk ``InputError``.)
        threads: for the record.
    """
    start, whole = time.perf_counter(), split.training(images)
    n, sources = len(whole), sources_of(__name__, spec)
    rows = gram_sizes.rows_of_part(n, part, parts)
    engine = engine_for(whole, spec, compute)
    content = {**made_of(split, spec, images, engine), "part": part, "parts": parts}
    shape = (gram_tiles.part_entries(n, rows),)
    finished = grow(out, shape, rows, engine, whole, content, what=f"gram {spec.label}, part {part} of {parts}")
    timing = {"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()}
    publish(
        out,
        {
            **content,
            "checksums": finished.checksums,
            "provenance": provenance.environment(compute.device, threads, **made_from(split, out, sources)),
            "timing": timing,
        },
    )


def gather(
    parts: Sequence[Path],
    split: Split,
    spec: Architecture,
    *,
    images: TrainingImages = "opt",
    out: Path,
    compute: Compute,
    threads: int,
) -> None:
    """Put the parts of a Gram matrix together and check it as a whole one is checked; the parts stay as they are.

    Args:
        parts: all of them, in any order.
        split: that they were made for.
        spec: that they were made for.
        images: that they were made for.
        out: path of the ``.npy``.
        compute: memory bound. (Too small a one raises ``ConfigError``.)
        threads: for the record.

    Raises:
        InputError: a part is missing, cut short, changed, or of something else, or the disk is full.
    """
    start, whole = time.perf_counter(), split.training(images)
    n, sources = len(whole), sources_of(__name__, spec)
    require_memory(whole, compute.memory_mb)
    facts = [files.read_json(sidecar(path)) for path in parts]
    content = _agreed(parts, facts, {**identity(split, spec), "n": n})
    partial, _ = partial_of(out)
    with contextlib.ExitStack() as stack:
        opened = [_opened(path, fact, n, stack) for path, fact in zip(parts, facts, strict=True)]
        discard(out)
        try:
            with telling_of(out):
                gram_tiles.allocate(partial, (n, n), wanted=out)
                target = TileFile.square(stack.enter_context(partial.open("r+b", buffering=0)).fileno(), n, partial)
                progress = Progress(f"gather {spec.label}", n * (n + 1) // 2, unit="pairs")
                for source, fact in zip(opened, facts, strict=True):
                    _copy(source, fact["checksums"], target, progress)
        except InputError:
            discard(out)  # everything that was in it is in the parts
            raise
    before = sum(fact["timing"]["wall_s"] for fact in facts)
    made = provenance.environment(compute.device, threads, **made_from(split, out, sources))
    made["content"] = digest_of({low: crc for fact in facts for low, crc in fact["checksums"].items()})
    made["parts"] = [provenance.place(fact["provenance"]) for fact in facts]
    complete(out, n, content, made=made, start=start, parts=len(parts), parts_s=before)


def _agreed(parts: Sequence[Path], facts: Sequence[Any], expected: dict[str, Any]) -> dict[str, Any]:
    """What all parts were made of, once each part is there once and all are parts of the same matrix."""
    for path, fact in zip(parts, facts, strict=True):
        require_identity(path, fact, {**expected, "tile_rows": gram_sizes.TILE_ROWS, "parts": len(parts)})
    content = {key: facts[0][key] for key in (*expected, "engine", "tile_rows", "code")}
    for path, fact in zip(parts, facts, strict=True):
        if wrong := [key for key, value in content.items() if fact.get(key) != value]:
            raise InputError(
                f"was made by another {', '.join(wrong)} than {parts[0]}",
                where=path,
                remedy="delete one of the two and run 'gram' again",
            )
    if missing := sorted(set(range(len(parts))) - {fact.get("part") for fact in facts}):
        raise InputError(
            f"part {missing[0]} of {len(parts)} is not among the files", where=parts[0], remedy="give each part once"
        )
    return content


def _opened(path: Path, facts: dict[str, Any], n: int, stack: contextlib.ExitStack) -> TileFile:
    """The tile rows of a part, open until ``stack`` is left."""
    rows = gram_sizes.rows_of_part(n, facts["part"], facts["parts"])
    if not path.exists():
        raise InputError("file not found", where=path, remedy="run 'gram' for this part first")
    return TileFile.part(stack.enter_context(path.open("rb", buffering=0)).fileno(), n, rows, path)


def _copy(source: TileFile, checksums: dict[str, int], target: TileFile, progress: Progress) -> None:
    """Copy the tile rows of a part into the matrix; each must read as it was computed."""
    n = target.n
    for low in source.places:
        crc = 0
        for left, right in gram_sizes.pieces(low, n):
            tile = source.read(low, left, right)
            target.write(low, left, tile)
            crc = zlib.crc32(tile.data, crc)
        if checksums.get(str(low)) != crc:
            raise InputError(
                f"the tile row at {low} is not as it was computed (checksum)",
                where=source.path,
                remedy="delete it and its .json and run 'gram' for this part again",
            )
        progress.advance(gram_sizes.pairs(low, n))
