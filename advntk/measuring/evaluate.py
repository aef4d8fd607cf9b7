"""Clean and robust accuracy of every checkpoint of a fit under one attack, as a typed record with its doubts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from advntk.attacks.attack import BATCH, Attack, to_numpy
from advntk.foundation import files, provenance
from advntk.foundation.errors import NumericalError
from advntk.foundation.options import Compute
from advntk.foundation.predictor import Predictor
from advntk.foundation.records import AttackRecord, Evaluation, Record, write_record
from advntk.foundation.statistics import wilson
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.learning.fits import read_fit
from advntk.learning.loading import load_checkpoint, split_of
from advntk.learning.randomness import stream_seed

SLACK = 1e-6
"""Rounding that the ball and the box are allowed, on the [0, 1] scale."""
FEW = 0.05
"""Share of examples from which a health flag is raised."""


def evaluate(
    predictor: Predictor, test: Part, *, attack: Attack, options: Any, threat: ThreatModel, seed: int
) -> tuple[Evaluation, dict[str, np.ndarray]]:
    """Attack a predictor on test images.

    Args:
        predictor: of any kind.
        test: images and labels.
        attack: registry entry.
        options: its options.
        threat: ball and box.
        seed: of the attack.

    Returns:
        Counts with intervals and flags, and the outcome of each example: ``clean`` and ``robust`` (n_test,) boolean;
        robust means correct on the clean image and under attack.

    Raises:
        NumericalError: a logit is NaN or infinite.
    """
    clean_logits = predictor.logits(test.images)
    found = attack.run(predictor, test.images, test.labels, options=options, threat=threat, seed=seed)
    attacked = found.images
    logits = predictor.logits(attacked)
    for what, values in (("clean", clean_logits), ("attacked", logits)):
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values).all(axis=1)).sum())
            raise NumericalError(
                f"NaN or infinite logits on {bad} of {len(test)} {what} images",
                where="evaluate",
                remedy="look at the fit's diagnostics; a ridge or a smaller learning rate may help",
            )
    clean = clean_logits.argmax(axis=1) == test.labels
    right = logits.argmax(axis=1) == test.labels
    robust = clean & right
    linf = ThreatModel(norm="linf", eps255=0).size255(attacked, test.images)
    l2 = ThreatModel(norm="l2", eps255=0).size255(attacked, test.images)
    count = len(test)
    evaluation = Evaluation(
        n_test=count,
        clean_correct=int(clean.sum()),
        robust_correct=int(robust.sum()),
        attacked_correct=int(right.sum()),
        clean_accuracy=float(clean.mean()),
        robust_accuracy=float(robust.mean()),
        clean_interval=wilson(int(clean.sum()), count),
        robust_interval=wilson(int(robust.sum()), count),
        max_linf255=float(linf.max()),
        max_l2_255=float(l2.max()),
        stages=[],
        health={},
        flags=_flags(predictor, test, float(clean.mean()), attacked, threat, attack),
    )
    return evaluation, {"clean": clean, "robust": robust}


def _flags(
    predictor: Predictor,
    test: Part,
    clean_accuracy: float,
    attacked: np.ndarray,
    threat: ThreatModel,
    attack: Attack,
) -> list[str]:
    """Doubts about an evaluation: failed training, perturbations outside the threat model, vanishing gradients."""
    flags = []
    if clean_accuracy <= 1.5 / predictor.classes:
        flags.append(f"clean accuracy {clean_accuracy:.2f} is near chance: training may have failed")
    outside = float(np.max(threat.size255(attacked, test.images))) / 255 - threat.radius
    if outside > SLACK:
        flags.append(
            f"perturbation of {255 * (outside + threat.radius):.2f}/255 exceeds the radius {threat.eps255:g}/255"
        )
    if attacked.min() < -SLACK or attacked.max() > 1 + SLACK:
        flags.append(f"attacked pixels in [{attacked.min():.4f}, {attacked.max():.4f}], outside [0, 1]")
    if threat.eps255 > 0:
        first = test.first(BATCH)
        _, _, gradient = predictor.loss_and_gradient(
            predictor.native(first.images), predictor.native(first.labels), "margin"
        )
        largest = np.abs(to_numpy(gradient)).reshape(len(first), -1).max(axis=1)
        zero = float((largest == 0).mean())
        if zero >= FEW:
            flags.append(f"zero margin gradient at {100 * zero:.0f}% of the clean images")
    if not attack.inside_threat_model:
        flags.append("the attack is outside the threat model")
    return flags


def evaluate_fit(
    folder: Path,
    *,
    attack: Attack,
    attack_name: str,
    attack_kind: str,
    options: Any,
    threat: ThreatModel,
    out: Path,
    compute: Compute,
    threads: int,
) -> Record:
    """Evaluate all checkpoints of a fit; write the record, and the outcome of each example beside it.

    Returns:
        The record.
    """
    start = time.perf_counter()
    content, _ = read_fit(folder)
    split = split_of(folder, content)
    seed = stream_seed(content.seed, "evaluate")
    evaluations: dict[str, Evaluation] = {}
    outcomes: dict[str, np.ndarray] = {}
    timing: dict[str, float] = {}
    for checkpoint, facts in content.checkpoints.items():
        # the best step on val is often the last one: the same predictor is not attacked twice
        twin = next((name for name in evaluations if content.checkpoints[name] == facts), None)
        if twin is not None:
            evaluations[checkpoint] = evaluations[twin]
            outcomes |= {f"{checkpoint}.{key}": outcomes[f"{twin}.{key}"] for key in ("clean", "robust")}
            continue
        began = time.perf_counter()
        predictor = load_checkpoint(folder, checkpoint, compute)
        evaluation, outcome = evaluate(predictor, split.test, attack=attack, options=options, threat=threat, seed=seed)
        evaluations[checkpoint] = evaluation
        outcomes.update({f"{checkpoint}.{key}": value for key, value in outcome.items()})
        timing[f"{checkpoint}_s"] = time.perf_counter() - began
        print(
            f"evaluate {content.method} {checkpoint}: clean {evaluation.clean_accuracy:.3f}, "
            f"{attack_name} at {threat.eps255:g}/255 {evaluation.robust_accuracy:.3f} ({evaluation.n_test} images)",
            file=sys.stderr,
            flush=True,
        )
    timing |= {"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()}
    record = Record(
        dataset=content.dataset,
        architecture=content.architecture,
        method=content.method,
        method_options=content.options,
        trained_at=content.trained_at,
        threat=threat,
        attack=AttackRecord(
            name=attack_name,
            kind=attack_kind,
            options=options.model_dump(mode="json"),
            inside_threat_model=attack.inside_threat_model,
            seed=seed,
        ),
        seed=content.seed,
        n_opt=len(split.opt),
        n_val=len(split.val),
        split_hash=split.hash,
        training=content.training,
        evaluations=evaluations,
        provenance=provenance.environment(compute.device, threads),
        timing=timing,
    )
    files.write_npz(out.with_suffix(".npz"), outcomes)
    write_record(out, record)
    return record
