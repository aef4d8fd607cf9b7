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
    """The predictor of the opt images at the t that is best on the selecting images of val.

    They are attacked with a seed that evaluation does not use.

    Returns:
        The fit; ``checkpoints.final.t`` is the time.
    """
    from advntk.learning.kernel_predictor import KernelPredictor, kernel_of, targets_of, theta_of
    from advntk.learning.search import Selection, grid_search
    from advntk.learning.spectral import SpectralFamily

    operator, options = theta_of(task, "opt"), task.options
    unit = 1.0 / operator.mean_diagonal()
    longest = unit * 10.0**options.reach
    family = SpectralFamily.of_times(operator, targets_of(task.split.opt, task.split.classes), longest)
    family.check(longest)
    kernel = kernel_of(task, "opt")
    t, rows = grid_search(
        lambda t: KernelPredictor(kernel, family.flow(t), task.split.input_shape),
        Selection.of(task),
        options,
        unit=unit,
        what="early stopping",
    )
    return Fit(
        checkpoints={"final": {"t": t}},
        arrays={"coef.final": family.flow(t)},
        curves=rows,
        training={"t": t, "t_times_mean_diagonal": t / unit, "spectrum_columns": len(family.values)},
    )


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
