"""Ridge regression with the NTK, (Θ + λI)⁻¹ Y, with the one ridge λ chosen on val under attack.

What early stopping is among times, this is among ridges: the gradient flow averaged over exponentially distributed
stopping times of mean τ is the ridge λ = 1/τ. The search is that of the early-stopped NTK with 1/t in the place of t.
"""

from __future__ import annotations

from pydantic import Field

from advntk.foundation.errors import NumericalError
from advntk.learning.grid_options import GridOptions
from advntk.learning.kernel_loading import load_kernel
from advntk.learning.method import Fit, Method, Task


class Options(GridOptions):
    """Search of the ridge λ."""

    decades: float = Field(default=4.0, ge=1, description="grid from 10^−decades to 10^decades times the mean diagonal")


def fit(task: Task) -> Fit:
    """The predictor of the opt images at the λ that is best on the selecting images of val.

    Where the Krylov basis that fits into memory does not resolve the smallest λ of the grid, the search begins at the
    smallest one that it resolves; ``training.smallest_ridge`` says which.

    Returns:
        The fit; ``checkpoints.final.ridge`` is λ.

    Raises:
        NumericalError: the basis resolves none of the grid.
    """
    from advntk.learning.kernel_predictor import KernelPredictor, kernel_of, targets_of, theta_of
    from advntk.learning.search import Selection, grid_search
    from advntk.learning.spectral import SpectralFamily

    operator, options = theta_of(task, "opt"), task.options
    unit = operator.mean_diagonal()
    smallest = unit * 10.0**-options.reach
    family = SpectralFamily.of_ridges(operator, targets_of(task.split.opt, task.split.classes), smallest)
    if family.reach > unit * 10.0**options.decades:
        raise NumericalError(
            f"{len(family.values)} Krylov columns resolve ridges from {family.reach:.3g}, above the grid",
            where="ridge_ntk",
            remedy="raise compute.memory_mb",
        )
    kernel = kernel_of(task, "opt")
    ridge, rows = grid_search(
        lambda ridge: KernelPredictor(kernel, family.ridge(ridge), task.split.input_shape),
        Selection.of(task),
        options,
        unit=unit,
        what="ridge",
        least=0.0 if family.reach == smallest else family.reach,  # rounding of the grid is no reason
    )
    return Fit(
        checkpoints={"final": {"ridge": ridge}},
        arrays={"coef.final": family.ridge(ridge)},
        curves=rows,
        training={
            "ridge": ridge,
            "ridge_over_mean_diagonal": ridge / unit,
            "smallest_ridge": family.reach,
            "spectrum_columns": len(family.values),
        },
    )


ENTRY = Method(
    options=Options,
    kind="kernel",
    depends_on_radius=True,
    checkpoints=("final",),
    trains_in_steps=False,
    fit=fit,
    load=load_kernel,
    description="infinitely wide network trained with the one ridge λ that is most robust on val",
)
