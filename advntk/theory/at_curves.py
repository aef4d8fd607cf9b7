"""Adversarial training on an infinite-width kernel over time: accuracies, and the distance to the natural solution.

All from the closed form of ``foundation/at_solutions.py``. The natural solution is Θ⁻¹Y, which every finite attack's
training tends to. With f_t(x) = Θ(x, X) of the coefficients, the distance is over test images x

    ‖f_t − f_∞‖ / ‖f_∞‖

Robust means correct without attack and under PGD-10. A predictor that was judged before is not judged again: where κ is
one number, other strengths and times give predictors equal to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.theory.kernel_lab import KernelLab

SAME = 1e-8
"""Largest difference of two coefficient matrices, relative to the largest entry, that counts as rounding."""


def natural_times(ends: tuple[int, int]) -> list[float]:
    """Times whose logarithms run from one whole number to another in steps of 1."""
    return [float(np.exp(power)) for power in range(ends[0], ends[1] + 1)]


class Jury:
    """Clean and robust accuracy of predictors on one part, each predictor once.

    Args:
        lab: the kernel.
        part: images with true labels.
        threat: ball and box.
        seed: of the attack's random starts, the same for all predictors.
    """

    def __init__(self, lab: KernelLab, part: Part, threat: ThreatModel, *, seed: int) -> None:
        self.lab, self.part, self.threat, self.seed = lab, part, threat, seed
        self.known: list[tuple[np.ndarray, tuple[float, float]]] = []

    def accuracies(self, coef: np.ndarray) -> tuple[float, float]:
        """Clean and robust accuracy of f(x) = Θ(x, X) coef, (n, c)."""
        for other, found in self.known:
            if np.abs(other - coef).max() <= SAME * np.abs(coef).max():
                return found
        found = self.lab.judge(coef, self.part, self.threat, seed=self.seed).accuracies
        self.known.append((coef, found))
        return found


def at_curves(
    lab: KernelLab,
    *,
    exposures: Sequence[float],
    times: Sequence[float],
    val: Part,
    test: Part,
    threat: ThreatModel | None,
    seed: int,
) -> dict[str, Any]:
    """Adversarial training of several strengths at several times, and the natural solution.

    Args:
        lab: kernel and training labels.
        exposures: mean(κ) η S, S of them; 0 is clean training.
        times: T finite ones, in units of ``lab.unit_time``.
        val: on which a time may be chosen.
        test: on which it may not.
        threat: of PGD-10; None: nothing is attacked.
        seed: of the attacks.

    Returns:
        ``rate``, mean over X of Ξ'(t), (S,); ``distance``, (S, T). With an attack also the fractions ``clean_test``,
        ``robust_test`` and ``robust_val``, (S, T), and ``natural``, these of the natural solution.
    """
    rows = lab.rows(test.images)
    natural = lab.coefficients(0.0, [float("inf")])[0]
    goal = rows @ natural
    runs = [lab.coefficients(exposure, times) for exposure in exposures]
    found: dict[str, Any] = {
        "rate": [float(lab.flow(exposure).rate(0.0).mean()) for exposure in exposures],
        "distance": [
            [float(np.linalg.norm(rows @ coef - goal) / np.linalg.norm(goal)) for coef in run] for run in runs
        ],
    }
    if threat is None:
        return found
    on_val, on_test = Jury(lab, val, threat, seed=seed + 1), Jury(lab, test, threat, seed=seed)

    def judged(coef: np.ndarray) -> dict[str, float]:
        clean, robust = on_test.accuracies(coef)
        return {"clean_test": clean, "robust_test": robust, "robust_val": on_val.accuracies(coef)[1]}

    outcomes = [[judged(coef) for coef in run] for run in runs]
    names = ("clean_test", "robust_test", "robust_val")
    curves = {name: [[outcome[name] for outcome in run] for run in outcomes] for name in names}
    return {**found, **curves, "natural": judged(natural)}


def clock_gap(lab: KernelLab, exposure: float, times: Sequence[float], images: np.ndarray) -> float:
    """How far adversarial training is from clean training on a faster clock.

    Args:
        lab: the kernel.
        exposure: mean(κ) η S.
        times: finite, in units of ``lab.unit_time``.
        images: where outputs are compared, (m, H, W, C).

    Returns:
        max |f_AT(t) − f_clean(t e^{mean(κ) η S})| over times, images and classes, relative to max |f_clean|.
    """
    rows = lab.rows(images)
    attacked = np.einsum("mn,tnc->tmc", rows, lab.coefficients(exposure, times), optimize=True)
    faster = np.asarray(times) * np.exp(exposure)
    clean = np.einsum("mn,tnc->tmc", rows, lab.coefficients(0.0, faster), optimize=True)
    return float(np.abs(attacked - clean).max() / np.abs(clean).max())
