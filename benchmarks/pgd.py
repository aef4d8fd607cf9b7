"""``pgd``: one PGD-10 attack on 128 images, our kernel engine against jitted neural-tangents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from advntk.attacks.entries import pgd as attacks
from advntk.foundation import krylov
from advntk.foundation.architecture import Architecture
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import make_engine
from advntk.learning.kernel_predictor import KernelPredictor
from benchmarks import problem, timing
from benchmarks.options import Pgd
from benchmarks.reference import ATTACK, BATCH, THREAT, ReferenceAttack

_SHORT = 37
_LAMBDA_MAX = 600.0  # λmax(tΘ) at the time t when the attacked predictor stopped training


def run(options: Pgd) -> dict[str, Any]:
    """Measure; the result's keys are in docs/performance.md."""
    spec = Architecture(family=options.family, depth=options.depth)
    shape = problem.shape_of(options.family, options.size)
    train = problem.smooth_images(options.n, shape, options.seed)
    # P of gradient flow stopped early: D = t·I
    theta, targets = problem.gram(spec, train), problem.targets_of(problem.labels_of(options.n, options.seed))
    stopped = np.full(options.n, _LAMBDA_MAX / problem.largest_eigenvalue(theta, np.ones(options.n)))
    coef = krylov.solve(GramOperator(theta, device="cpu").product, stopped, targets, tolerance=1e-8).coef
    engine = make_engine(spec, shape, engine=options.engine, device=options.device)
    predictor = KernelPredictor(engine.bind(train, memory_mb=options.memory_mb), coef, shape)
    reference = ReferenceAttack(spec, train, coef)
    images = problem.smooth_images(2 * BATCH + _SHORT, shape, options.seed + 1)
    labels = problem.labels_of(len(images), options.seed + 1)
    clean, truth = images[:BATCH], labels[:BATCH]
    starts = attacks.random_starts(clean, THREAT, options.seed)
    theirs = partial(reference.run, clean, truth, starts)

    def ours(count: int = BATCH) -> np.ndarray:
        batch = images[:count], labels[:count]
        return attacks.run(predictor, *batch, options=ATTACK, threat=THREAT, seed=options.seed).images

    forms: dict[str, Callable[[], np.ndarray]] = {"reference": theirs, "ours": ours}
    _, before = timing.compilations(lambda: (ours(), ours(len(images)), theirs()))
    times, during = timing.compilations(lambda: timing.medians(forms, repeats=options.repeats, what="pgd", warm=True))
    _, further = timing.compilations(lambda: ours(len(images)))
    return {
        **options.problem(),
        "size": shape[0],
        "engine": engine.name,
        "reference_s": times["reference"],
        "ours_s": times["ours"],
        "ratio": times["reference"] / times["ours"],
        **_differences(predictor, reference, np.concatenate([THREAT.project(starts, clean), ours()]), truth),
        "compilations": during + further,
        "compilations_before": before,
        **timing.machine(options),
    }


def _differences(
    predictor: KernelPredictor, reference: ReferenceAttack, points: np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """How far the two forms are apart at the same points: logits at all, gradients at the starts."""
    own, other = predictor.logits(points), np.asarray(reference.logits(points), np.float64)
    native = predictor.native(points[: len(labels)]), predictor.native(labels)
    slope = np.asarray(predictor.loss_and_gradient(*native, "squared_error")[2], np.float64)
    wanted = np.asarray(reference.gradient(points[: len(labels)], labels), np.float64)
    return {
        "max_logit_diff": float(np.abs(own - other).max() / np.abs(other).max()),
        "gradient_diff": float(np.abs(slope - wanted).max() / np.abs(wanted).max()),
        "gradient_sign_agreement": float((np.sign(slope) == np.sign(wanted)).mean()),
    }
