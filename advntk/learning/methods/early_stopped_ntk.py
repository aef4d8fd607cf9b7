"""The early-stopped NTK: D = t·I with the one scalar t chosen on val under attack.

For kernels whose κ(x) is constant (ReLU without pooling) adversarial training in the infinite-width limit is exactly
this, on a rescaled clock; so it is the baseline that a learned diagonal must beat.
"""

from __future__ import annotations

from pydantic import Field

from advntk.learning.grid_options import GridOptions
from advntk.learning.kernel_loading import load_kernel
from advntk.learning.method import Fit, Method, Task


class Options(GridOptions):
    """Search of the stopping time t."""

    decades: float = Field(default=4.0, ge=1, description="grid from 10^−decades to 10^decades over the mean diagonal")


def stopped_on_val(task: Task) -> Fit:
    """See :func:`advntk.learning.stopping.stopped_on_val`."""
    from advntk.learning import stopping

    return stopping.stopped_on_val(task)


ENTRY = Method(
    options=Options,
    kind="kernel",
    depends_on_radius=True,
    checkpoints=("final",),
    trains_in_steps=False,
    fit=stopped_on_val,
    load=load_kernel,
    description="infinitely wide network stopped at the one time t that is most robust on val",
)
