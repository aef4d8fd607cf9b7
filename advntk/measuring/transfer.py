"""Perturbed images of each predictor, shown to every other of the same split: do attacks transfer?"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advntk.foundation import files, provenance
from advntk.foundation.errors import InputError
from advntk.foundation.options import Compute
from advntk.foundation.progress import Progress
from advntk.foundation.records import Record, read_record
from advntk.foundation.roots import behind
from advntk.foundation.strength import Shown, Transfer
from advntk.learning.fits import FitFile, read_fit
from advntk.learning.loading import load_checkpoint, split_of
from advntk.measuring.logits import finite_logits, predictor_name


def transfer(records: Sequence[Path], fits: Sequence[Path], *, out: Path, compute: Compute, threads: int) -> Transfer:
    """Show the images found against the default checkpoint of each fit to the default checkpoints of all.

    Args:
        records: one a predictor, all of one attack, radius and split, evaluated with their images kept.
        fits: folder of each one's fit, in the same order.
        out: path of the JSON file; outcomes go beside it: ``clean`` (k, n), ``robust`` (source, target, n).
        compute: device, engine and memory.
        threads: for provenance.

    Returns:
        The transfer.

    Raises:
        InputError: the records are not alike, not of these fits, or without images.
        NumericalError: a logit is NaN or infinite.
    """
    start = time.perf_counter()
    measured = [read_record(path) for path in records]
    _require_alike(measured, records)
    read = [read_fit(folder) for folder in fits]
    digests = [provenance.content_digest(arrays) for _, arrays in read]
    contents = [content for content, _ in read]
    del read  # the arrays
    for record, place, folder, content, digest in zip(measured, records, fits, contents, digests, strict=True):
        _require_its_fit(record, place, folder, content, digest)
    names = [next(iter(content.checkpoints)) for content in contents]
    split = split_of(fits[0], contents[0])
    methods = {content.registered for content in contents}
    families = {content.architecture.family for content in contents}
    origin: dict[str, Any] = {
        "sources": provenance.sources(*behind(__name__, method=methods, family=families)),
        "data": split.data,
        "inputs": {"fits": digests},
        "places": {"fits": [os.path.relpath(folder / "fit.json", out.parent) for folder in fits]},
    }
    shown = [_images(path, name) for path, name in zip(records, names, strict=True)]
    test = split.test
    clean = np.zeros((len(fits), len(test)), bool)
    robust = np.zeros((len(fits), len(fits), len(test)), bool)
    progress = Progress("transfer", len(fits), unit="predictors")
    for target, (folder, name) in enumerate(zip(fits, names, strict=True)):
        predictor = load_checkpoint(folder, name, compute.of_kind(measured[target].kind))
        where = predictor_name(folder, name)
        logits = finite_logits(predictor, test.images, what="clean", where=where)
        clean[target] = logits.argmax(axis=1) == test.labels
        for source, images in enumerate(shown):
            logits = finite_logits(predictor, images, what="attacked", where=where)
            robust[source, target] = clean[target] & (logits.argmax(axis=1) == test.labels)
        progress.advance()
    first = measured[0]
    result = Transfer(
        dataset=first.dataset,
        seed=first.seed,
        split_hash=first.split_hash,
        attack=first.attack,
        threat=first.threat,
        n_test=len(test),
        predictors=[
            Shown(architecture=record.architecture, method=record.method, kind=record.kind, checkpoint=name)
            for record, name in zip(measured, names, strict=True)
        ],
        clean_correct=clean.sum(axis=1).tolist(),
        robust_correct=robust.sum(axis=2).tolist(),
        provenance=provenance.environment(compute.device, threads, **origin),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )
    files.write_npz(out.with_suffix(".npz"), {"clean": clean, "robust": robust})
    files.write_json(out, result.model_dump(mode="json"))
    return result


def _require_alike(measured: Sequence[Record], places: Sequence[Path]) -> None:
    """Check that all records are of one split, attack and radius."""
    for record, place in zip(measured, places, strict=True):
        for what in ("split_hash", "attack", "threat"):
            if getattr(record, what) != getattr(measured[0], what):
                raise InputError(f"its {what} is not that of {places[0]}", where=place, remedy="evaluate both again")


def _require_its_fit(record: Record, place: Path, folder: Path, content: FitFile, digest: str) -> None:
    """Check that a record is about a fit, and about these arrays of it: it may have been fitted again since."""
    for what in ("method", "architecture", "seed", "trained_at", "split_hash"):
        if getattr(record, what) != getattr(content, what):
            raise InputError(f"its {what} is not that of the fit in {folder}", where=place, remedy="evaluate the fit")
    if record.provenance.get("inputs", {}).get("fit") != digest:
        raise InputError(f"it is not about the fit in {folder} as it is now", where=place, remedy="evaluate the fit")


def _images(record: Path, checkpoint: str) -> np.ndarray:
    """Perturbed images that an evaluation kept, (n, H, W, C).

    Returns:
        The images.

    Raises:
        InputError: it kept none.
    """
    outcomes = files.read_npz(record.with_suffix(".npz"))
    if f"{checkpoint}.images" not in outcomes:
        raise InputError(
            f"no images of '{checkpoint}'", where=record.with_suffix(".npz"), remedy="evaluate with --keep-images"
        )
    return outcomes[f"{checkpoint}.images"]
