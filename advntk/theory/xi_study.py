"""Predictors that use a few val images in different ways, on one kernel: what experiment ``xi_freedom`` compares."""

from __future__ import annotations

from typing import Any

import numpy as np

from advntk.attacks.entries import pgd
from advntk.foundation.architecture import Architecture
from advntk.foundation.losses import one_hot
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.splits import Part, with_label_noise
from advntk.learning.adv_ntk import AdvNtk, Trajectory
from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.theory.experiment import Study
from advntk.theory.free_xi import FREEDOMS, Freedom, Problem, fit
from advntk.theory.kernel_lab import TRAINING_ATTACK, KernelLab, first_of

DECADES = (-3.0, 2.0)
"""Of stopping times, natural units."""
EVERY = 10
"""Updates of Adv-NTK between two looks."""
FRESH = 10_000
"""First random start of attacks that measure, apart from those inside training."""


class Bench:
    """Training, val and test images of one unit, and one kernel.

    Args:
        study: a unit of ``xi_freedom``.
    """

    def __init__(self, study: Study) -> None:
        options, split = study.options, study.data
        share: float = study.unit.settings["noise"]
        self.options, self.compute, self.classes = options, study.compute, split.classes
        self.spec = Architecture(family="mlp", depth=options.depth, activation="relu")
        self.threat = ThreatModel(norm="linf", eps255=options.eps255)
        self.val, self.test = first_of(split, "val", options.val), first_of(split, "test", options.test)
        self.train = self.noisy(first_of(split, "opt", options.train), share, study, "train")
        self.noisy_val = self.noisy(self.val, share, study, "val")
        self.lab = self.lab_of(self.train)
        decades = DECADES[1] - DECADES[0]
        self.times = [*np.logspace(*DECADES, round(decades * options.times_per_decade) + 1), np.inf]

    def noisy(self, part: Part, share: float, study: Study, name: str) -> Part:
        """The part with a share of its labels wrong."""
        return with_label_noise(part, share, self.classes, study.generator("labels", name))

    def lab_of(self, part: Part) -> KernelLab:
        """The kernel with these training images."""
        return KernelLab(self.spec, part, self.classes, self.compute)

    def judged(self, coef: np.ndarray, lab: KernelLab | None = None) -> dict[str, Any]:
        """Robust accuracy on val, and outcomes on test."""
        lab = lab or self.lab
        outcomes = lab.judge(coef, self.test, self.threat, seed=FRESH + 1)
        return {
            "val": lab.judge(coef, self.val, self.threat, seed=FRESH).accuracies[1],
            "clean": outcomes.clean.astype(int),
            "robust": outcomes.robust.astype(int),
        }

    def problem(self, val: Part) -> Problem:
        """Fitting Ξ on the robust loss of some images."""

        def attacked(coef: np.ndarray, step: int) -> np.ndarray:
            predictor = self.lab.predictor(coef)
            images = pgd.run(
                predictor, val.images, val.labels, options=TRAINING_ATTACK, threat=self.threat, seed=step
            ).images
            return np.asarray(predictor.kernel.rows(images), dtype=np.float64)

        return Problem(
            gram=self.lab.gram,
            targets=self.lab.targets,
            goals=one_hot(val.labels, self.classes, np.float64),
            attacked=attacked,
            read=lambda coef, rows: rows @ coef,
        )

    def stopped(self, lab: KernelLab, val: Part) -> np.ndarray:
        """Robust accuracy on val at all stopping times."""
        coefs = lab.coefficients(0.0, self.times)
        return np.array([lab.judge(coef, val, self.threat, seed=FRESH).accuracies[1] for coef in coefs])


def compare(study: Study) -> dict[str, Any]:
    """All predictors of one unit.

    Returns:
        ``test_images``: their indices; ``predictors``: by name, robust accuracy on val and outcomes on test; ``losses``
        of each freedom's training; ``advntk``: steps, and robust accuracies on val and test; ``times``: stopping times
        that val chose.
    """
    bench = Bench(study)
    options, lab = bench.options, bench.lab
    predictors: dict[str, dict[str, Any]] = {}
    chosen = _choice(bench.times, bench.stopped(lab, bench.val))
    coefs = lab.coefficients(0.0, [np.inf, chosen])
    predictors["natural"], predictors["early_stopped"] = bench.judged(coefs[0]), bench.judged(coefs[1])
    joint, predictors["joint_stopped"], predictors["joint_natural"] = _joint(bench, bench.val)
    start = lab.unit_time * (chosen if np.isfinite(chosen) else 10.0 ** DECADES[1])
    losses: dict[str, Any] = {}
    for freedom in FREEDOMS:
        found = fit(bench.problem(bench.val), freedom, time=start, steps=options.steps, rate=_rate(options, freedom))
        predictors[freedom], losses[freedom] = bench.judged(found.coefs[-1]), found.losses
    if study.unit.settings["noise"] > 0:
        _control(bench, predictors)
    return {
        "test_images": bench.test.indices,
        "predictors": predictors,
        "losses": losses,
        "advntk": _adv_ntk(bench, predictors),
        "times": {"early_stopped": _finite(chosen), "joint_stopped": _finite(joint)},
    }


def _choice(times: list[float], merits: np.ndarray) -> float:
    """The time of the largest merit, the earliest of equals."""
    return float(times[int(np.argmax(merits))])


def _finite(time: float) -> float:
    """Infinite times as −1: a finding holds finite numbers only."""
    return time if np.isfinite(time) else -1.0


def _rate(options: Any, freedom: Freedom) -> float:
    return float(options.matrix_rate if freedom in {"blocks", "full"} else options.rate)


def _joint(bench: Bench, val: Part) -> tuple[float, dict[str, Any], dict[str, Any]]:
    """Train on train and val together: to a time that is chosen on halves of val that were left out, and to the end.

    Returns:
        The time, and what the two get right.
    """
    half = len(val) // 2
    parts = [_slice(val, slice(None, half)), _slice(val, slice(half, None))]
    merits = sum(
        bench.stopped(bench.lab_of(bench.train.followed_by(seen)), hidden) * len(hidden)
        for seen, hidden in (parts, parts[::-1])
    )
    chosen = _choice(bench.times, np.asarray(merits))
    lab = bench.lab_of(bench.train.followed_by(val))
    stopped, natural = (bench.judged(coef, lab) for coef in lab.coefficients(0.0, [chosen, np.inf]))
    return chosen, stopped, natural


def _slice(part: Part, which: slice) -> Part:
    return Part(pixels=part.pixels[which], labels=part.labels[which], indices=part.indices[which])


def _control(bench: Bench, predictors: dict[str, dict[str, Any]]) -> None:
    """One stopping time, the shared diagonal and training on both, from a val with labels as wrong as training's."""
    chosen = _choice(bench.times, bench.stopped(bench.lab, bench.noisy_val))
    predictors["early_stopped_noisy_val"] = bench.judged(bench.lab.coefficients(0.0, [chosen])[0])
    start = bench.lab.unit_time * (chosen if np.isfinite(chosen) else 10.0 ** DECADES[1])
    options = bench.options
    found = fit(bench.problem(bench.noisy_val), "diagonal", time=start, steps=options.steps, rate=options.rate)
    predictors["diagonal_noisy_val"] = bench.judged(found.coefs[-1])
    predictors["joint_stopped_noisy_val"] = _joint(bench, bench.noisy_val)[1]


def _adv_ntk(bench: Bench, predictors: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The suite's Adv-NTK on all of val at each step: after the paper's steps, after more, and at val's best."""
    options, lab, val = bench.options, bench.lab, bench.val
    goals = one_hot(val.labels, bench.classes, np.float64)

    def inputs(step: int, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        images = pgd.run(
            lab.predictor(coef), val.images, val.labels, options=TRAINING_ATTACK, threat=bench.threat, seed=step
        ).images  # fmt: skip
        return images, goals

    training = AdvNtk(
        operator=GramOperator(lab.gram, device=bench.compute.device),
        kernel=lab.predictor(lab.targets).kernel,
        targets=lab.targets,
        options=AdvNtkOptions(steps=options.advntk_steps, batch=len(val)),
    )

    def robust(trajectory: Trajectory, step: int) -> float:
        coef = training.solve(trajectory.varpi[step]).coef
        return lab.judge(coef, val, bench.threat, seed=FRESH).accuracies[1]

    runs = {rate: training.train(inputs, rate * lab.unit_time) for rate in options.advntk_rates}
    rate = max(runs, key=lambda rate: robust(runs[rate], options.advntk_steps))
    longest = max(options.advntk_long, options.advntk_steps)
    while runs[rate].step < longest:
        training.update(runs[rate], inputs, rate * lab.unit_time)
    steps = sorted({*range(0, longest + 1, EVERY), options.advntk_steps, longest})
    found = {step: bench.judged(training.solve(runs[rate].varpi[step]).coef) for step in steps}
    best = max(steps, key=lambda step: (found[step]["val"], -step))
    predictors["adv_ntk"], predictors["adv_ntk_long"] = found[options.advntk_steps], found[longest]
    predictors["adv_ntk_best"] = found[best]
    return {
        "rate": rate,
        "best": best,
        "steps": steps,
        "val": [found[step]["val"] for step in steps],
        "test": [float(np.mean(found[step]["robust"])) for step in steps],
    }
