"""Certificates of every checkpoint of a fit over radii, as typed JSON; a killed run resumes after its last chunk."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advntk.attacks.named import NamedAttack
from advntk.certificates.cascade import AttackCall, certify
from advntk.foundation import files, provenance
from advntk.foundation.certified import BoundOptions, Certificates, CertifiedRadius
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed, Compute, validated
from advntk.foundation.predictor import Predictor
from advntk.foundation.progress import Progress
from advntk.foundation.statistics import wilson
from advntk.foundation.threat import Norm, ThreatModel
from advntk.learning.fits import read_fit
from advntk.learning.loading import load_checkpoint, split_of
from advntk.measuring import made_from
from advntk.measuring.chunks import distinct_checkpoints, evaluation_seed

CHUNK = 32
"""Images after which what is done is kept."""
PARTS = ("status", "margin", "decided_by", "seconds")
"""Of each image and radius, as :class:`advntk.certificates.cascade.Certificates` has them."""
Found = dict[str, np.ndarray]
"""These parts by name, each (radii, images)."""


def certify_fit(
    folder: Path,
    *,
    norm: Norm,
    radii: Sequence[float],
    images: int,
    options: BoundOptions,
    attack: NamedAttack,
    out: Path,
    compute: Compute,
    threads: int,
) -> Certificates:
    """Certify test images for all checkpoints of a fit; write the record, and what was found of each image beside it.

    Args:
        folder: of the fit.
        norm: of the threat model.
        radii: in 1/255, rising.
        images: the first ones of the test images; 0: all.
        options: bounds and their budget.
        attack: tried before any bound.
        out: path of the JSON file; the npz beside it holds ``CHECKPOINT.PART`` of each of ``PARTS``, (radii, images).
        compute: device, engine and memory.
        threads: for provenance.

    Returns:
        The record. (A predictor that has no certificate raises ``InputError``.)
    """
    start = time.perf_counter()
    content, arrays = read_fit(folder)
    split, seed = split_of(folder, content), evaluation_seed(content)
    origin = made_from.of_attack(__name__, folder, content, arrays, attack=attack, data=split.data, out=out)
    test = split.test.first(images) if images else split.test
    threats = [validated(ThreatModel, {"norm": norm, "eps255": eps255}, "certify") for eps255 in radii]
    settings: dict[str, Any] = {"norm": norm, "attack": attack.record(seed), "options": options, "n_test": len(test)}
    timing = {"attack_s": 0.0}

    def attacked(predictor: Predictor, images: np.ndarray, labels: np.ndarray, threat: ThreatModel) -> np.ndarray:
        began = time.perf_counter()
        found = attack.entry.run(predictor, images, labels, options=attack.options, threat=threat, seed=seed).images
        timing["attack_s"] += time.perf_counter() - began
        return found

    known = {name: one.model_dump(mode="json") if isinstance(one, Closed) else one for name, one in settings.items()}
    depends = [origin["sources"], origin["inputs"], compute.kernel_engine, list(radii), known]
    state, digest = out.with_suffix(".state.npz"), files.sha256_of_json(depends)
    kept, firsts = _restored(state, digest), distinct_checkpoints(content)
    progress = Progress(
        f"certify {content.method}",
        len(set(firsts.values())) * len(test),
        unit="images",
        done=sum(_done(kept, name) for name in set(firsts.values())),
    )
    for name in dict.fromkeys(firsts.values()):
        predictor = load_checkpoint(folder, name, compute)
        for low in range(_done(kept, name), len(test), CHUNK):
            chunk = slice(low, low + CHUNK)
            found = over_radii(predictor, test.images[chunk], test.labels[chunk], threats, options, attacked)
            for part, values in found.items():
                key = f"{name}.{part}"
                kept[key] = np.concatenate([kept[key], values], axis=1) if key in kept else values
            files.write_npz(state, {**kept, "digest": np.array(digest)})
            progress.advance(len(test.labels[chunk]))
    outcomes = {f"{name}.{part}": kept[f"{first}.{part}"] for name, first in firsts.items() for part in PARTS}
    checkpoints = {name: list(_counted(radii, {part: outcomes[f"{name}.{part}"] for part in PARTS})) for name in firsts}
    record = Certificates(
        dataset=content.dataset,
        architecture=content.architecture,
        method=content.method,
        trained_at=content.trained_at,
        seed=content.seed,
        split_hash=split.hash,
        **settings,
        checkpoints=checkpoints,
        provenance=provenance.environment(compute.device, threads, **origin),
        timing=timing | {"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )
    files.write_npz(out.with_suffix(".npz"), outcomes)
    files.write_json(out, record.model_dump(mode="json"))
    state.unlink(missing_ok=True)
    return record


def over_radii(
    predictor: Predictor,
    images: np.ndarray,
    labels: np.ndarray,
    threats: Sequence[ThreatModel],
    options: BoundOptions,
    attack: AttackCall,
) -> Found:
    """Certify images over radii, the largest first: what is certified there is certified at all smaller ones.

    Args:
        predictor: that has a certificate.
        images: floats (m, H, W, C) in [0, 1].
        labels: integers (m,).
        threats: of one norm, radii rising.
        options: bounds and their budget.
        attack: tried first; an image that it breaks is broken at all larger radii too.

    Returns:
        What was found.
    """
    rows: list[Found] = []
    for threat in reversed(threats):
        row = {part: values.copy() for part, values in rows[-1].items()} if rows else {}
        left = np.flatnonzero(row["status"] != "certified") if rows else np.arange(len(images))
        found = certify(
            predictor,
            images[left],
            labels[left],
            threat,
            bounds=options.bounds,
            attack=attack,
            budget_s=math.inf if options.budget_s is None else options.budget_s,
        )
        row["seconds"] = np.zeros(len(images))
        for part in PARTS:
            row.setdefault(part, np.empty(len(images), getattr(found, part).dtype))[left] = getattr(found, part)
        rows.append(row)
    whole = {part: np.stack([row[part] for row in reversed(rows)]) for part in PARTS}
    broken = np.maximum.accumulate(whole["status"] == "broken", axis=0) & (whole["status"] == "undecided")
    whole["status"][broken], whole["decided_by"][broken] = "broken", "attack"
    return whole


def _counted(radii: Sequence[float], found: Found) -> Iterator[CertifiedRadius]:
    """What was found, counted at each radius."""
    for eps255, status, decided_by, seconds in zip(
        radii, found["status"], found["decided_by"], found["seconds"], strict=True
    ):
        counts = Counter(map(str, status))
        total, certified, broken = len(status), counts["certified"], counts["broken"]
        yield CertifiedRadius(
            eps255=eps255,
            certified=certified,
            broken=broken,
            undecided=counts["undecided"],
            certified_interval=wilson(certified, total),
            unbroken_interval=wilson(total - broken, total),
            decided=dict(sorted(Counter(str(one) for one in decided_by if one).items())),
            seconds=float(seconds.sum()),
            status="".join(one[0] for one in map(str, status)),
        )


def _done(kept: Mapping[str, np.ndarray], checkpoint: str) -> int:
    """Images of a checkpoint that a state holds."""
    return kept[f"{checkpoint}.status"].shape[1] if f"{checkpoint}.status" in kept else 0


def _restored(state: Path, digest: str) -> Found:
    """What a state holds, by checkpoint and part; nothing if there is none, or it is of another run or not readable."""
    try:
        kept = files.read_npz(state) if state.exists() else {}
    except InputError:
        return {}
    if kept and str(kept.pop("digest")) != digest:
        print(f"certify: {state} is of another run: starting anew", file=sys.stderr, flush=True)
        return {}
    return kept
