"""Stochastic weight averaging at infinite width: the gradient flow averaged over all times up to T, T chosen on val.

The counterpart of technique ``swa``. Its filter is (1 − (1 − e^{−λT})/(λT))/λ.
"""

from __future__ import annotations

from dataclasses import replace

from advntk.learning.method import Fit, Task
from advntk.learning.methods import early_stopped_ntk


def fit(task: Task) -> Fit:
    """The predictor at the T that is most robust on val; ``checkpoints.final.t`` is T."""
    from advntk.learning.spectral import SpectralFamily
    from advntk.learning.stopping import stopped_on_val

    return stopped_on_val(task, SpectralFamily.average, "SWA")


ENTRY = replace(
    early_stopped_ntk.ENTRY,
    fit=fit,
    description="infinitely wide network whose weights are averaged up to the one time that is most robust on val",
)
