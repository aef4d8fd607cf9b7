"""Projected gradient descent (Madry et al. 2018), a fresh gradient at each step, projected around the clean image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from advntk.attacks.attack import Attack, Attacked, checked, in_batches
from advntk.foundation.attack_options import AttackOptions, Schedule
from advntk.foundation.losses import one_hot, targeted_margin, value_and_logit_gradient
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

if TYPE_CHECKING:
    import numpy as np

    from advntk.attacks.gradient import Oracle


class Options(AttackOptions):
    """Options of PGD as an evaluation."""

    restarts: int = Field(default=1, ge=1, description="independent random starts; the worst case counts")
    keep: Literal["final", "best"] = Field(
        default="final",
        description="final: the last iterate (paper); best: of start and all iterates a misclassified one, else the "
        "one of largest loss",
    )
    schedule: Schedule = Field(
        default="constant", description="step size over the steps: constant, or falling towards 0, linear or cosine"
    )
    targets: int = Field(
        default=0,
        ge=0,
        description="0: untargeted; k: each restart aims in turn at each of the k largest wrong classes of the clean "
        "image, or at all if there are fewer; loss margin only",
    )

    @field_validator("targets")
    @classmethod
    def _targets_have_margins(cls, targets: int, info: ValidationInfo) -> int:
        loss = info.data.get("loss", "margin")
        if targets > 0 and loss != "margin":
            raise ValueError(f"must be 0 unless loss is margin (it is {loss})")
        return targets


def random_starts(images: np.ndarray, threat: ThreatModel, seed: int, restart: int = 0) -> np.ndarray:
    """Where a restart begins: images plus points of the ball, not yet clipped to the box."""
    import numpy as np

    return np.asarray(images + threat.random_offsets(images.shape, np.random.default_rng([seed, restart])))


@checked
def run(
    predictor: Predictor, images: np.ndarray, labels: np.ndarray, *, options: Any, threat: ThreatModel, seed: int
) -> Attacked:
    """PGD from all starts; of these an example keeps the first misclassified point, else the one of largest loss.

    Later starts attack only what those before left unbroken, each example from the random point that it would have had
    among all.

    Returns:
        The perturbed images.
    """
    from advntk.attacks.gradient import WorstPoints

    aims = _aims(predictor, images, labels, options.targets) * options.restarts
    worst = WorstPoints(predictor, images, labels, loss=options.loss)
    attack = _attack(predictor, options, threat)
    for index, aim in enumerate(aims):
        left = worst.unbroken
        if len(left) == 0:
            break
        starts = images
        if options.random_start:
            starts = random_starts(images, threat, seed, index)
        found = in_batches(predictor, images[left], aim[left], starts[left], attack)
        if len(aims) == 1:
            return Attacked(images=found)
        worst.offer(left, found)
    return Attacked(images=worst.images)


def _aims(predictor: Predictor, images: np.ndarray, labels: np.ndarray, targets: int) -> list[np.ndarray]:
    """Of each start of a restart: label and, if targeted, target class of each example, (m, 1 or 2)."""
    import numpy as np

    if targets == 0:
        return [labels[:, None]]
    logits = np.array(predictor.logits(images))
    logits[np.arange(len(labels)), labels] = -np.inf
    order = np.argsort(-logits, axis=1, kind="stable")[:, : min(targets, predictor.classes - 1)]
    return [np.stack([labels, target], axis=1) for target in order.T]


def _attack(predictor: Predictor, options: Options, threat: ThreatModel) -> Any:
    from advntk.attacks.gradient import ascend, ascend_keeping_best

    how: dict[str, Any] = {
        "threat": threat,
        "steps": options.steps,
        "step_size": options.step_ratio * threat.radius,
        "schedule": options.schedule,
    }

    def attack(clean: Any, aim: Any, start: Any) -> Any:
        labels = aim[:, 0]
        oracle = _targeted(predictor, labels, aim[:, 1]) if options.targets else _untargeted(predictor, labels, options)
        if options.keep == "best":
            return ascend_keeping_best(oracle, clean, labels, start, **how)[0]
        return ascend(oracle, clean, start, **how)

    return attack


def _untargeted(predictor: Predictor, labels: Any, options: Options) -> Oracle:
    def oracle(images: Any) -> tuple[Any, Any, Any]:
        return predictor.loss_and_gradient(images, labels, options.loss)

    return oracle


def _targeted(predictor: Predictor, labels: Any, targets: Any) -> Oracle:
    """Climbs f_t − f_y, but reports the margin as its loss: a point that any wrong class wins is worth keeping."""

    def oracle(images: Any) -> tuple[Any, Any, Any]:
        logits, pullback = predictor.linearize(images)
        target, goal = (one_hot(classes, predictor.classes, logits.dtype) for classes in (labels, targets))
        value, _ = value_and_logit_gradient("margin", logits, target)
        return logits, value, pullback(targeted_margin(logits, target, goal)[1])

    return oracle


ENTRY = Attack(
    options=Options,
    run=run,
    inside_threat_model=True,
    description="projected gradient descent, a fresh gradient at each step",
)
