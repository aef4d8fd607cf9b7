"""Doubts about an evaluation: an attack that fails looks like robustness, so each one is examined for signs of failure.

The signs are those that the literature on broken evaluations names (Athalye et al. 2018, Carlini et al. 2019, Tramèr
et al. 2020, Croce & Hein 2020). Each is looked for on a probe, the first test images, at a fraction of an evaluation's
cost. No flag is no proof: these are symptoms.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from advntk.attacks.attack import BROKEN, Attack, Attacked, to_numpy
from advntk.attacks.entries import pgd
from advntk.foundation import registry
from advntk.foundation.arrays import unchecked_values
from advntk.foundation.losses import LossName, one_hot, value_and_logit_gradient
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.learning.randomness import stream_seed

PROBE = 64
"""Test images that are examined: enough to see a fault of a twentieth of the images, a twelfth of 800."""
CHANCE = 1.5
"""Clean accuracy up to this multiple of guessing is called near chance."""
SLACK = 1e-6
"""Rounding that the ball and the box are allowed, on the [0, 1] scale."""
ROUNDING = 1e-4
"""Difference of logits, relative to the largest, that float32 sums in another order may explain."""
ALONE = 4
"""Images whose logits are computed one by one: a fault of batching shows on any of them."""
FEW = 0.05
"""Share of the probe with zero gradients that counts: a dead image may be an accident, a twentieth is not."""
VANISHING = 1e-3
"""A first-order change of the margin below this part of the margin is none: a step sees a flat loss. Sound
predictors reach a hundredth at one grey level."""
ALMOST_ALL = 0.9
"""Share of the probe with vanishing gradients that counts: masking and scaling are faults of the whole predictor."""
SATURATED_GAP = 17.0
"""Gap of the two largest logits from which softmax is one-hot in float32 (24 log 2 = 16.6): the true logit drops out
of the gradient of cross-entropy, and squared error is led by the largest logit instead of the target."""
SCALED_GAP = 1e4
"""Gap that no training reaches: logits were multiplied, whatever the attack. Margin does not mind, the next one may."""
TINY_LOGIT = 0.05
"""Largest |logit| below which f − y is −y but for 5%, so that squared error lowers one logit and sees no other."""
SOME = 2
"""Examples that a weaker attack must break alone, or count for: one may be a step that ended on the wrong side."""
DRAWS = 4
"""Random points tried for each image: a look, not an attack."""
SQUARE = 0.002
"""Share that Square may break of what gradient attacks left robust: the threshold of AutoAttack's authors."""
UNCONVERGED, UNCONVERGED_EXAMPLES = 0.1, 5
"""Share and number of the probe by which the second half of the steps may lower robust accuracy. The number keeps a
small probe from judging by two images."""
CROSSING = 2.0
"""Steps times their size, over ε, with which an attack crosses the ball from any start."""
MONOTONE = pgd.Options(loss="margin", steps=10, step_ratio=0.2)
"""Stands in at half the radius for attacks that take long."""
UNBOUNDED_PROBE = 32
"""Images that are attacked without bound: one that resists is a share of 3%, and none should."""
UNBOUNDED = (
    pgd.Options(loss="margin", steps=5, step_ratio=0.25, random_start=False),
    pgd.Options(loss="margin", steps=20, step_ratio=0.1, random_start=False),
)
"""Rounds without bound, the next only if the one before left any image robust. Both start at the image: noise that
spans the box would break a masked predictor too."""
WHOLE_BOX = ThreatModel(norm="linf", eps255=255)
"""The ball that holds the box, for any norm: all of them then allow the same images, and steps in ℓ∞ reach them best
(sparse ℓ1 steps were seen to leave up to 9% of sound predictors' images)."""
DUAL_ORDER: dict[str, float] = {"linf": 1, "l2": 2, "l1": np.inf}
"""Order of the dual norm by norm of the ball: ε times it is the largest first-order change in the ball."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What the checks found.

    Attributes:
        measures: numbers behind the flags, by name; ``*_share`` of images in [0, 1], ``probe_*`` numbers of images.
        flags: doubts in words, the same for the same fault, so that a table may tell them once.
    """

    measures: dict[str, float]
    flags: list[str]


@dataclass(frozen=True, kw_only=True)
class _Case:
    """An evaluation under examination."""

    predictor: Predictor
    test: Part
    attack: Attack
    options: Any
    threat: ThreatModel
    seed: int
    clean_logits: np.ndarray
    attacked: Attacked
    attacked_logits: np.ndarray

    @functools.cached_property
    def probe(self) -> Part:
        """The first test images."""
        return self.test.first(PROBE)

    @functools.cached_property
    def correct(self) -> np.ndarray:
        """Which test images are classified correctly without attack, (n_test,)."""
        return np.asarray(self.clean_logits.argmax(axis=1) == self.test.labels)

    @functools.cached_property
    def robust(self) -> np.ndarray:
        """Which images of the probe the attack left robust."""
        right = self.attacked_logits.argmax(axis=1) == self.test.labels
        return np.asarray((self.correct & right)[: len(self.probe)])

    @functools.cached_property
    def losses(self) -> list[LossName]:
        """Losses that the attack raises, as far as it says."""
        own = getattr(self.options, "loss", None)
        named = [own] if own in registry.names(registry.ATTACK_LOSSES) else []
        return ["cross_entropy"] if not named and "apgd-ce" in self.attacked.stages else named

    def right_under(self, attack: Attack, part: Part, *, options: Any, threat: ThreatModel) -> np.ndarray:
        """Which images of a part are classified correctly under another attack, of the same seed."""
        found = attack.run(self.predictor, part.images, part.labels, options=options, threat=threat, seed=self.seed)
        return np.asarray(self.predictor.logits(found.images).argmax(axis=1) == part.labels)


@unchecked_values()
def diagnose(
    predictor: Predictor,
    test: Part,
    *,
    attack: Attack,
    options: Any,
    threat: ThreatModel,
    seed: int,
    clean_logits: np.ndarray,
    attacked: Attacked,
    attacked_logits: np.ndarray,
) -> Diagnosis:
    """Examine an evaluation.

    Args:
        predictor: what was attacked.
        test: images and labels, (n_test,).
        attack: registry entry.
        options: its options.
        threat: ball and box.
        seed: of the attack.
        clean_logits: of the test images, finite, (n_test, classes).
        attacked: what the attack found.
        attacked_logits: of its images, finite, (n_test, classes).

    Returns:
        Measures and flags, the attack's own flags last. At radius 0 an attack has nothing to fail at, outside the
        threat model it is compared with no other, and a predictor without gradients has none to be examined.
    """
    case = _Case(
        predictor=predictor,
        test=test,
        attack=attack,
        options=options,
        threat=threat,
        seed=seed,
        clean_logits=clean_logits,
        attacked=attacked,
        attacked_logits=attacked_logits,
    )
    checks = [_accuracy, _bounds, _repetition]
    if threat.eps255 > 0:
        checks.append(_effort)
    if threat.eps255 > 0 and getattr(predictor, "differentiable", True):
        checks += [_gradients, _output_scale, _unbounded]
        if attack.inside_threat_model:
            checks += [_noise, _square, _steps, _half_radius]
    found = [check(case) for check in checks]
    flags = [flag for one in found for flag in one.flags]
    if not attack.inside_threat_model:
        flags.append("the attack is outside the threat model")
    return Diagnosis(
        measures={name: value for one in found for name, value in one.measures.items()},
        flags=[*flags, *attacked.flags],
    )


def _said(measures: dict[str, float], *doubts: tuple[bool, str]) -> Diagnosis:
    """Measures to three digits, as the rounding of equal runs may differ, and the doubts that hold."""
    return Diagnosis(
        measures={name: float(f"{value:.3g}") for name, value in measures.items()},
        flags=[text for holds, text in doubts if holds],
    )


def _accuracy(case: _Case) -> Diagnosis:
    """A predictor that was not trained needs no attack."""
    accuracy = float(case.correct.mean())
    failed = accuracy <= CHANCE / case.predictor.classes
    return _said({}, (failed, f"clean accuracy {accuracy:.2f} is near chance: training may have failed"))


def _bounds(case: _Case) -> Diagnosis:
    """Perturbations outside the ball or the box."""
    images, threat = case.attacked.images, case.threat
    largest = float(np.max(threat.size255(images, case.test.images)))
    low, high = float(images.min()), float(images.max())
    return _said(
        {},
        (
            largest / 255 - threat.radius > SLACK,
            f"perturbation of {largest:.2f}/255 exceeds the radius {threat.eps255:g}/255",
        ),
        (low < -SLACK or high > 1 + SLACK, f"attacked pixels in [{low:.4f}, {high:.4f}], outside [0, 1]"),
    )


def _effort(case: _Case) -> Diagnosis:
    """An attack without steps shows its random starts, or the images themselves."""
    idle = getattr(case.options, "steps", None) == 0
    return _said({}, (idle, "the attack takes no steps: what it leaves robust says nothing"))


def _repetition(case: _Case) -> Diagnosis:
    """Logits that change from call to call, or with the images beside them; differences relative to the largest."""
    images = case.probe.images
    logits = case.predictor.logits(images)
    largest = max(float(np.abs(logits).max()), float(np.finfo(np.float32).tiny))
    alone = np.concatenate([case.predictor.logits(images[i : i + 1]) for i in range(min(ALONE, len(images)))])
    again = float(np.abs(case.predictor.logits(images) - logits).max()) / largest
    company = float(
        max(np.abs(case.clean_logits[: len(images)] - logits).max(), np.abs(alone - logits[:ALONE]).max()) / largest
    )
    differs = again > ROUNDING
    return _said(
        # what is rounding may differ between equal runs, whose records must not
        {
            "repeated_logits_difference": again if differs else 0.0,
            "batch_logits_difference": company if company > ROUNDING else 0.0,
        },
        (differs, "the predictor is not deterministic: equal images get different logits"),
        (
            company > ROUNDING and not differs,
            "images influence one another: logits of an image alone differ from those in a batch",
        ),
    )


def _gradient_of(case: _Case, loss: LossName) -> np.ndarray:
    """Gradients of a loss at the clean probe, (probe, pixels) float64, 0 where they are NaN: no step follows those."""
    native = case.predictor.native
    _, _, gradient = case.predictor.loss_and_gradient(native(case.probe.images), native(case.probe.labels), loss)
    return np.nan_to_num(to_numpy(gradient).astype(np.float64).reshape(len(case.probe), -1))


def _across_the_box(case: _Case) -> float:
    """Longest distance in the box."""
    pixels = case.probe.images[0].size
    return float({"linf": 1.0, "l2": pixels**0.5, "l1": pixels}[case.threat.norm])


def _gradients(case: _Case) -> Diagnosis:
    """Gradients that are zero, of the margin and of the attack's own loss, or of no consequence for the margin."""
    gradients = {loss: _gradient_of(case, loss) for loss in dict.fromkeys(["margin", *case.losses])}
    zero = {loss: (gradient == 0).all(axis=1) for loss, gradient in gradients.items()}
    target = one_hot(case.probe.labels, case.predictor.classes, np.float64)
    margin, _ = value_and_logit_gradient("margin", case.clean_logits[: len(case.probe)].astype(np.float64), target)
    # a ball below one grey level in every pixel may be too small for any change: that is no fault of the gradient
    reach = max(case.threat.radius, _across_the_box(case) / 255)
    change = reach * np.linalg.norm(gradients["margin"], ord=DUAL_ORDER[case.threat.norm], axis=1)
    vanishing = float(((change < VANISHING * np.abs(margin)) & ~zero["margin"]).mean())
    shares = {loss: float(where.mean()) for loss, where in zero.items()}
    return _said(
        {f"zero_{loss}_gradient_share": share for loss, share in shares.items()}
        | {"vanishing_gradient_share": vanishing},
        *(
            (share >= FEW, f"zero {loss} gradient at {100 * share:.0f}% of the clean images")
            for loss, share in shares.items()
        ),
        (
            vanishing >= ALMOST_ALL,
            "margin gradients vanish: to first order no perturbation in the ball changes a margin noticeably",
        ),
    )


def _output_scale(case: _Case) -> Diagnosis:
    """Logits too large or too small for the attack's loss; medians over the test images."""
    ordered = np.sort(case.clean_logits, axis=1)
    gap = float(np.median(ordered[:, -1] - ordered[:, -2]))
    largest = float(np.median(np.abs(case.clean_logits).max(axis=1)))
    misled = {
        "cross_entropy": "softmax is one-hot in float32 and cross_entropy loses its gradient",
        "squared_error": "squared_error follows the largest logit instead of the target",
    }
    return _said(
        {"median_logit_gap": gap, "median_largest_logit": largest},
        *(
            (gap > SATURATED_GAP, f"logits are so large that {misled[loss]}: evaluate by pgd with loss margin")
            for loss in case.losses
            if loss in misled
        ),
        (gap > SCALED_GAP, "logits look scaled, which hides gradients from attacks on softmax"),
        (
            largest < TINY_LOGIT and "squared_error" in case.losses,
            "logits are so small that squared_error hardly sees them: evaluate by pgd with loss margin",
        ),
    )


def _unbounded(case: _Case) -> Diagnosis:
    """Accuracy where the attacker may show any image: only gradients that mislead leave some."""
    part = case.probe.first(UNBOUNDED_PROBE)
    robust = case.correct[: len(part)]
    for options in UNBOUNDED:
        if robust.any():
            robust = robust & case.right_under(pgd.ENTRY, part, options=options, threat=WHOLE_BOX)
    share = float(robust.mean())
    return _said(
        {"unbounded_robust_share": share},
        (share > 0, f"PGD without bound leaves {100 * share:.0f}% of the images robust: gradients mislead"),
    )


def _noise(case: _Case) -> Diagnosis:
    """Random points of the ball that break what the attack left robust."""
    part = case.probe
    generator = np.random.default_rng(stream_seed(case.seed, "health noise"))
    images, labels = np.tile(part.images, (DRAWS, 1, 1, 1)), np.tile(part.labels, DRAWS)
    images = case.threat.project(images + case.threat.random_offsets(images.shape, generator), images)
    wrong = (case.predictor.logits(images).argmax(axis=1) != labels).reshape(DRAWS, len(part)).any(axis=0)
    broken = int((wrong & case.robust).sum())
    return _said(
        {"probe_broken_by_noise": broken},
        (broken >= SOME, "random noise of the same size breaks images that the attack left robust"),
    )


def _square(case: _Case) -> Diagnosis:
    """Examples that Square, which sees no gradient, broke after gradient attacks had failed."""
    stages = dict(case.attacked.stages)
    square = stages.pop("square", None)
    if square is None or not stages:
        return _said({})
    left = np.all([stage != BROKEN for stage in stages.values()], axis=0) & case.correct
    broken = int((left & (square == BROKEN)).sum())
    return _said(
        {"square_broken_share": broken / max(1, int(left.sum()))},
        (
            broken >= SOME and broken > SQUARE * left.sum(),
            "Square breaks images that the gradient attacks left robust: gradients may mislead",
        ),
    )


def _steps(case: _Case) -> Diagnosis:
    """The same attack with half of its steps: it must not be stronger, and should not be much weaker."""
    steps = getattr(case.options, "steps", 0)
    if steps < 2 or case.attack.chunked:
        return _said({})
    fewer = {"steps": steps // 2}
    ratio = getattr(case.options, "step_ratio", 0.0)
    if steps * ratio >= CROSSING:
        # half the steps of the same size would not reach all of the ball: that is no lack of convergence
        fewer["step_ratio"] = ratio * steps / (steps // 2)
    options = case.options.model_copy(update=fewer)
    right = case.right_under(case.attack, case.probe, options=options, threat=case.threat)
    half, whole = int((right & case.correct[: len(case.probe)]).sum()), int(case.robust.sum())
    gained = half - whole
    return _said(
        {"probe_robust": whole, "probe_robust_half_steps": half},
        (gained <= -SOME, "half as many steps break more images than the whole attack"),
        (
            whole > 0 and gained >= UNCONVERGED_EXAMPLES and gained > UNCONVERGED * len(case.probe),
            "the attack has not converged: half as many steps leave many more images robust",
        ),
    )


def _half_radius(case: _Case) -> Diagnosis:
    """The same attack, or a short one for an attack that takes long, in the ball of half the radius."""
    if not case.robust.any():
        return _said({"probe_broken_at_half_radius": 0})
    attack, options = (pgd.ENTRY, MONOTONE) if case.attack.chunked else (case.attack, case.options)
    threat = ThreatModel(norm=case.threat.norm, eps255=case.threat.eps255 / 2)
    broken = int((case.robust & ~case.right_under(attack, case.probe, options=options, threat=threat)).sum())
    return _said(
        {"probe_broken_at_half_radius": broken},
        (broken >= SOME, "a ball of half the radius breaks images that the attack left robust"),
    )
