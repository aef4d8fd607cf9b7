"""The early-stopped NTK made anew from opt and val, at the t that val chose while it was held out.

Adv-NTK learns its diagonal from val's labels. What a predictor gets from these labels by being trained on them as well,
with nothing learned but one number, is what the diagonal must beat.
"""

from __future__ import annotations

from dataclasses import replace

from advntk.learning.kernel_predictor import load_kernel, targets_of
from advntk.learning.method import Fit, Method, Task
from advntk.learning.methods.early_stopped_ntk import Options, TimeFamily, stopped_on_val, theta


def fit(task: Task) -> Fit:
    """Choose t with opt alone, then P(t) of opt and val; the rows tell of the choice."""
    chosen = stopped_on_val(task)
    t = chosen.checkpoints["final"]["t"]
    family = TimeFamily.of(theta(task, "all"), targets_of(task.training, task.split.classes), t)
    return replace(chosen, arrays={"coef.final": family.coef(t)})


ENTRY = Method(
    options=Options,
    kind="kernel",
    depends_on_radius=True,
    checkpoints=("final",),
    trains_in_steps=False,
    images="all",
    fit=fit,
    load=load_kernel,
    description="the early-stopped NTK with val among its training images, at the time that val chose before",
)
