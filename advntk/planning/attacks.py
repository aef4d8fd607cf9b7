"""How often an attack asks a predictor: gradients and plain predictions for each image, from its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from advntk.attacks.attack import BATCH
from advntk.measuring import health

ROBUST_SHARE = 0.5
"""Of the images, those that an attack is taken to leave robust: the next restart or stage sees only these. An
assumption, as this is what an evaluation is for."""
CHECKPOINTS = 1.5
"""Distinct checkpoints where there are two: the best one on val is the last one about every other time."""
TARGETS = 9


@dataclass(frozen=True, kw_only=True)
class Passes:
    """What an attack asks for each image.

    Attributes:
        gradients: predictions with a gradient by the image.
        values: predictions without one.
        steps: projections onto the ball.
        batch: images asked at once.
    """

    gradients: float
    values: float
    steps: float
    batch: int = BATCH


def passes(kind: str, options: Any, *, classes: int) -> Passes | None:
    """What an attack asks for each image; None for a kind that is not known here.

    Args:
        kind: registry entry.
        options: its options.
        classes: of the predictor.

    Returns:
        The passes.
    """
    match kind:
        case "pgd":
            return _pgd(options, classes)
        case "fgsm":
            return Passes(gradients=1, values=0, steps=1)
        case "reference_fixed_gradient":
            return Passes(gradients=1, values=0, steps=options.steps)
        case "noise":
            draws = 1 + (options.draws - 1) * ROBUST_SHARE
            return Passes(gradients=0, values=draws, steps=draws)
        case "autoattack":
            return _autoattack(options, classes)
    return None


def training(attack: Any, kind: str = "pgd") -> Passes:
    """What the attack inside of a training asks."""
    return Passes(gradients=attack.steps if kind == "pgd" else 1, values=0, steps=attack.steps)


def _pgd(options: Any, classes: int) -> Passes:
    """Starts after the first see only what is unbroken; ``keep: best`` asks once more, restarts judge each point."""
    starts = options.restarts * (max(1, min(options.targets, classes - 1)))
    tried = 1 + (starts - 1) * ROBUST_SHARE
    asked = options.steps + (options.keep == "best")
    return Passes(gradients=tried * asked, values=tried if starts > 1 else 0, steps=tried * asked)


def _autoattack(options: Any, classes: int) -> Passes:
    """Iterations or queries of each attack, on what those before it left; targeted ones once a target class.

    FAB asks for the gradient by each of two logits at every iteration.

    Returns:
        The passes.
    """
    targets = min(TARGETS, classes - 1)
    each = {
        "apgd-ce": (options.iterations, 0),
        "apgd-t": (targets * options.iterations, 0),
        "fab-t": (2 * targets * options.iterations, 0),
        "square": (0, options.queries),
    }
    gradients = values = 0.0
    for index, name in enumerate(options.attacks):
        tried = ROBUST_SHARE if index and options.cascade else 1.0
        asked, looked = each[name]
        gradients, values = gradients + tried * asked, values + tried * (looked + 1)
    return Passes(gradients=gradients, values=values, steps=gradients + values, batch=options.batch)


def examination(attack: Passes, *, chunked: bool, inside: bool, losses: int, n_test: int) -> Passes:
    """What the examination of an evaluation asks in all, not for each image (:mod:`advntk.measuring.health`).

    Args:
        attack: that evaluates.
        chunked: whether it is one that takes long; a short one then stands in.
        inside: whether it stays in the threat model.
        losses: whose gradients are looked at.
        n_test: test images.

    Returns:
        Passes.
    """
    probe, few = min(health.PROBE, n_test), min(health.UNBOUNDED_PROBE, n_test)
    short, longer = (options.steps for options in health.UNBOUNDED)
    gradients = losses * probe + few * (short + ROBUST_SHARE * longer)
    values = 3 * probe + few
    if inside:
        steps = health.MONOTONE.steps if chunked else attack.gradients
        gradients += probe * steps * (1.0 if chunked else 1.5)
        values += (health.DRAWS + 2) * probe
    return Passes(gradients=gradients, values=values, steps=gradients, batch=few)
