"""Distillation at infinite width: early stopping on soft labels, which an early-stopped teacher gives.

The counterpart of loss ``distillation``. The teacher trained on clean images for ever says Y on them; the robust one,
stopped at the time t₁ that is most robust on val, says ΘP(t₁). The student is trained on (1 − s) Y + s ΘP(t₁), and
stopped at a time t₂ of its own, chosen in the same way: its filter is (1 − e^{−t₂λ})(1 − s e^{−t₁λ})/λ.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from advntk.learning.method import Fit, Task
from advntk.learning.methods import early_stopped_ntk


class Options(early_stopped_ntk.Options):
    """Search of both times, and the teacher's share."""

    share: float = Field(
        default=0.6, gt=0, le=1, description="s, weight of the robust teacher (Chen et al. 2021: 0.6), Y has the rest"
    )


def fit(task: Task) -> Fit:
    """Two searches on val; ``checkpoints.final.t`` is t₂, ``training.teacher_t`` is t₁."""
    from advntk.learning.kernel_predictor import kernel_of, targets_of, theta_of
    from advntk.learning.spectral import SpectralFamily
    from advntk.learning.stopping import best_time, family_of

    operator, kernel = theta_of(task, "opt"), kernel_of(task, "opt")
    unit = 1.0 / operator.mean_diagonal()
    family = family_of(task, operator, targets_of(task.split.opt, task.split.classes), stretch=2.0)
    teacher = best_time(task, family, kernel, unit, SpectralFamily.flow, "teacher")
    t = teacher.checkpoints["final"]["t"]
    student = family.distilled(t, task.options.share)
    found = best_time(task, student, kernel, unit, SpectralFamily.flow, "student")
    return replace(found, training={**found.training, "teacher_t": t})


ENTRY = replace(
    early_stopped_ntk.ENTRY,
    options=Options,
    fit=fit,
    description="infinitely wide network trained on soft labels of an early-stopped one, stopped where robust on val",
)
