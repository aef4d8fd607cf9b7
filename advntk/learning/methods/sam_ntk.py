"""Sharpness-aware minimisation at infinite width, stopped at the time t that is most robust on val.

The counterpart of technique ``awp``: dP/dt = −(r + ρ Θr/√(tr rᵀΘr)) with r = ΘP − Y, whose filter is in
:mod:`advntk.learning.spectral`. AWP's length γ‖w‖ has no limit at infinite width, so ρ has a unit of the labels: along
an eigenvector of Θ with the mean eigenvalue the step changes the outputs by ``rho`` times the norm of Y.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from advntk.learning.method import Fit, Task
from advntk.learning.methods import early_stopped_ntk


class Options(early_stopped_ntk.Options):
    """Search of the stopping time t, and the step in the weights."""

    rho: float = Field(default=0.01, gt=0, description="ρ, in ‖Y‖ over the root of the mean diagonal of Θ")


def fit(task: Task) -> Fit:
    """The predictor at the t that is most robust on val; ``training.rho`` is ρ without a unit of its own."""
    from advntk.learning.kernel_predictor import theta_of
    from advntk.learning.stopping import stopped_on_val

    rho = task.options.rho * (len(task.split.opt) / theta_of(task, "opt").mean_diagonal()) ** 0.5
    found = stopped_on_val(task, lambda family, t: family.sam(t, rho), "SAM")
    return replace(found, training={**found.training, "rho": rho})


ENTRY = replace(
    early_stopped_ntk.ENTRY,
    options=Options,
    fit=fit,
    description="infinitely wide network trained by sharpness-aware minimisation, stopped where most robust on val",
)
