"""Robust accuracy of one predictor over the strength of an attack: radius, steps, restarts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advntk.attacks.named import NamedAttack
from advntk.foundation import files, provenance
from advntk.foundation.options import Compute, validated
from advntk.foundation.progress import Progress
from advntk.foundation.statistics import wilson
from advntk.foundation.strength import Sweep, SweepName, SweepPoint
from advntk.foundation.threat import ThreatModel
from advntk.learning.fits import read_fit
from advntk.learning.loading import load_checkpoint, split_of
from advntk.measuring import made_from
from advntk.measuring.chunks import evaluation_seed
from advntk.measuring.logits import finite_logits, predictor_name


def sweep_fit(
    folder: Path,
    *,
    kind: SweepName,
    values: Sequence[float],
    attack: NamedAttack,
    threat: ThreatModel,
    out: Path,
    compute: Compute,
    threads: int,
) -> Sweep:
    """Attack a fit's default checkpoint at rising strengths; write the sweep, and the outcomes beside it.

    Args:
        folder: of the fit.
        kind: what is varied.
        values: rising; over the radius the sweep ends at the first at which no example is robust.
        attack: not one that runs in chunks; its option that is varied is replaced.
        threat: norm, and radius unless that is varied.
        out: path of the JSON file.
        compute: device, engine and memory.
        threads: for provenance.

    Returns:
        The sweep.

    Raises:
        NumericalError: a logit is NaN or infinite.
    """
    start = time.perf_counter()
    content, arrays = read_fit(folder)
    split = split_of(folder, content)
    origin = made_from.of_attack(__name__, folder, content, arrays, attack=attack, data=split.data, out=out)
    test, seed = split.test, evaluation_seed(content)
    checkpoint = next(iter(content.checkpoints))
    predictor = load_checkpoint(folder, checkpoint, compute)
    name = predictor_name(folder, checkpoint)
    clean = finite_logits(predictor, test.images, what="clean", where=name).argmax(axis=1) == test.labels
    points, outcomes = [], []
    progress = Progress(f"sweep over {kind}", len(values), unit="points")
    for value in values:
        here, options = threat, attack.options
        if kind == "radius":
            here = ThreatModel(norm=threat.norm, eps255=value)
        else:
            options = validated(type(options), options.model_dump() | {kind: value}, kind)
        found = attack.entry.run(predictor, test.images, test.labels, options=options, threat=here, seed=seed).images
        logits = finite_logits(predictor, found, what="attacked", where=name)
        robust = clean & (logits.argmax(axis=1) == test.labels)
        count = int(robust.sum())
        points.append(
            SweepPoint(
                value=value,
                robust_correct=count,
                robust_accuracy=float(robust.mean()),
                interval=wilson(count, len(test)),
            )
        )
        outcomes.append(robust)
        progress.advance(note=f"{value:g}: {robust.mean():.3f} robust")
        if kind == "radius" and count == 0:
            break
    sweep = Sweep(
        dataset=content.dataset,
        architecture=content.architecture,
        method=content.method,
        checkpoint=checkpoint,
        trained_at=content.trained_at,
        seed=content.seed,
        split_hash=split.hash,
        kind=kind,
        attack=attack.record(seed),
        threat=threat,
        n_test=len(test),
        clean_correct=int(clean.sum()),
        points=points,
        provenance=provenance.environment(compute.device, threads, **origin),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )
    files.write_npz(out.with_suffix(".npz"), {"clean": clean, "robust": np.stack(outcomes)})
    files.write_json(out, sweep.model_dump(mode="json"))
    return sweep
