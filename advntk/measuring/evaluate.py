"""Clean and robust accuracy of every checkpoint of a fit under one attack, as a typed record with its doubts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np

from advntk.attacks.attack import BROKEN, NOT_TRIED, ROBUST, Attack, Attacked
from advntk.attacks.named import NamedAttack
from advntk.foundation import files, provenance
from advntk.foundation.errors import InputError
from advntk.foundation.options import Compute
from advntk.foundation.predictor import Predictor
from advntk.foundation.records import Evaluation, Record, Stage, write_record
from advntk.foundation.statistics import wilson
from advntk.foundation.threat import Norm, ThreatModel
from advntk.ingredients.splits import Part
from advntk.learning.fits import read_fit
from advntk.learning.loading import load_checkpoint, split_of
from advntk.measuring import made_from
from advntk.measuring.chunks import ChunkedAttack, distinct_checkpoints, evaluation_seed
from advntk.measuring.health import diagnose
from advntk.measuring.logits import OF_A_FIT, finite_logits, predictor_name

Outcome = dict[str, np.ndarray]
"""Of each test image: ``clean`` and ``robust`` (n_test,) boolean, and ``stage.NAME`` of attacks made of several."""


def evaluate(
    predictor: Predictor, test: Part, *, attack: Attack, options: Any, threat: ThreatModel, seed: int
) -> tuple[Evaluation, Outcome]:
    """Attack a predictor on test images, and judge what was found.

    Args:
        predictor: of any kind.
        test: at least one image, uint8, and its label.
        attack: registry entry.
        options: its options.
        threat: ball and box.
        seed: of the attack.

    Returns:
        As :func:`judge`.

    Raises:
        InputError: the pixels are not uint8 (m, H, W, C) of the predictor's size, or the labels not its classes, (m,).
    """
    pixels: Any = test.pixels
    if getattr(pixels, "dtype", None) != np.uint8 or pixels.size == 0:
        form = f"dtype {pixels.dtype} and shape {pixels.shape}" if hasattr(pixels, "dtype") else type(pixels).__name__
        raise InputError(
            f"pixels: {form}",
            where="evaluate",
            remedy="give at least one image, grey levels 0 to 255 as uint8 (m, H, W, C)",
        )
    found = attack.run(predictor, test.images, test.labels, options=options, threat=threat, seed=seed)
    return judge(predictor, test, found, attack=attack, options=options, threat=threat, seed=seed)


def judge(
    predictor: Predictor,
    test: Part,
    found: Attacked,
    *,
    attack: Attack,
    options: Any,
    threat: ThreatModel,
    seed: int,
    name: str = "evaluate",
    remedy: str = OF_A_FIT,
) -> tuple[Evaluation, Outcome]:
    """Counts, intervals and doubts from the images that an attack found.

    Args:
        predictor: of any kind.
        test: images and labels.
        found: perturbed images, in the order of ``test``.
        attack: registry entry.
        options: its options.
        threat: ball and box.
        seed: of the attack.
        name: of the predictor, for messages.
        remedy: where a logit is NaN or infinite.

    Returns:
        Counts with intervals and flags, and the outcome of each example; robust means correct on the clean image and
        under attack.

    Raises:
        NumericalError: a logit is NaN or infinite.
    """
    clean_logits = finite_logits(predictor, test.images, what="clean", where=name, remedy=remedy)
    logits = finite_logits(predictor, found.images, what="attacked", where=name, remedy=remedy)
    clean = clean_logits.argmax(axis=1) == test.labels
    right = found.withstood(logits, test.labels)
    robust = clean & right
    diagnosis = diagnose(
        predictor,
        test,
        attack=attack,
        options=options,
        threat=threat,
        seed=seed,
        clean_logits=clean_logits,
        attacked=found,
        attacked_logits=logits,
    )
    health, flags = _decided(found, robust)
    sizes = {norm: _largest255(found.images, test.images, norm) for norm in get_args(Norm)}
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
        max_linf255=sizes["linf"],
        max_l2_255=sizes["l2"],
        max_l1_255=sizes["l1"],
        stages=_stages(found, clean),
        health=diagnosis.measures | health,
        flags=[*diagnosis.flags, *flags],
    )
    return evaluation, {
        "clean": clean,
        "robust": robust,
        **{f"stage.{name}": outcome for name, outcome in found.stages.items()},
    }


def _largest255(images: np.ndarray, clean: np.ndarray, norm: Norm) -> float:
    """Size of the largest perturbation in a norm, in 1/255."""
    return float(ThreatModel(norm=norm, eps255=0).size255(images, clean).max())


def _decided(found: Attacked, robust: np.ndarray) -> tuple[dict[str, float], list[str]]:
    """Images that a stage ``certificate`` certified, that are broken, and that are neither, with a warning of these."""
    if "certificate" not in found.stages:
        return {}, []
    certified = found.stages["certificate"] == ROBUST
    counts = {"certified": certified.sum(), "broken": (~robust).sum(), "undecided": (robust & ~certified).sum()}
    said = f"{counts['undecided']} of {len(robust)} images are neither certified nor broken, and count as robust"
    return {name: float(count) for name, count in counts.items()}, [said] * bool(counts["undecided"])


def _stages(found: Attacked, clean: np.ndarray) -> list[Stage]:
    """Counts of each stage, and the worst case over it and those before it."""
    stages, standing = [], clean.copy()
    for name, outcome in found.stages.items():
        standing &= outcome != BROKEN
        stages.append(
            Stage(
                name=name,
                tried=int((outcome != NOT_TRIED).sum()),
                broken=int((outcome == BROKEN).sum()),
                robust_after=float(standing.mean()),
            )
        )
    return stages


def evaluate_fit(
    folder: Path,
    *,
    attack: NamedAttack,
    threat: ThreatModel,
    out: Path,
    compute: Compute,
    threads: int,
    keep_images: bool = False,
) -> Record:
    """Evaluate all checkpoints of a fit; write the record, and the outcome of each example beside it.

    An attack in chunks finds them in ``NAME.chunks`` beside the record, or makes them there.

    Args:
        folder: of the fit.
        attack: with its options.
        threat: ball and box.
        out: path of the record.
        compute: device, engine and memory.
        threads: for provenance.
        keep_images: keep the perturbed images with the outcomes, to show them to other predictors.

    Returns:
        The record.
    """
    start = time.perf_counter()
    content, arrays = read_fit(folder)
    split = split_of(folder, content)
    origin = made_from.of_attack(__name__, folder, content, arrays, attack=attack, data=split.data, out=out)
    seed = evaluation_seed(content)
    chunked = ChunkedAttack(
        fit=folder,
        attack=attack,
        threat=threat,
        chunks=out.with_suffix(".chunks"),
        compute=compute,
        threads=threads,
    )
    settings: dict[str, Any] = {"options": attack.options, "threat": threat, "seed": seed}
    evaluations: dict[str, Evaluation] = {}
    outcomes: dict[str, np.ndarray] = {}
    timing: dict[str, float] = {"attack_s": 0.0}
    for checkpoint, first in distinct_checkpoints(content).items():
        if checkpoint != first:
            evaluations[checkpoint] = evaluations[first]
            twins = {name for name in outcomes if name.startswith(f"{first}.")}
            outcomes |= {f"{checkpoint}{name.removeprefix(first)}": outcomes[name] for name in sorted(twins)}
            continue
        predictor = load_checkpoint(folder, checkpoint, compute)
        began = time.perf_counter()
        if attack.entry.chunked:
            found, seconds = chunked.gather(checkpoint)
        else:
            found = attack.entry.run(predictor, split.test.images, split.test.labels, **settings)
            seconds = time.perf_counter() - began
        timing["attack_s"] += seconds
        name = predictor_name(folder, checkpoint)
        evaluation, outcome = judge(predictor, split.test, found, attack=attack.entry, **settings, name=name)
        evaluations[checkpoint] = evaluation
        outcomes |= {f"{checkpoint}.{key}": value for key, value in outcome.items()}
        if keep_images:
            outcomes[f"{checkpoint}.images"] = found.images
        print(
            f"evaluate {content.method} {checkpoint}: clean {evaluation.clean_accuracy:.3f}, "
            f"{attack.name} at {threat.eps255:g}/255 {evaluation.robust_accuracy:.3f} ({evaluation.n_test} images)",
            file=sys.stderr,
            flush=True,
        )
    made = provenance.environment(compute.device, threads, **origin)
    if attack.entry.chunked:
        made["chunks"] = chunked.ran()
    timing |= {"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()}
    record = Record(
        dataset=content.dataset,
        architecture=content.architecture,
        method=content.method,
        kind=content.kind,
        method_options=content.options,
        trained_at=content.trained_at,
        threat=threat,
        attack=attack.record(seed),
        seed=content.seed,
        n_opt=len(split.opt),
        n_val=len(split.val),
        label_noise=split.label_noise,
        images=content.images,
        split_hash=split.hash,
        training=content.training,
        evaluations=evaluations,
        provenance=made,
        timing=timing,
    )
    files.write_npz(out.with_suffix(".npz"), outcomes)
    write_record(out, record)
    return record
