"""Filters of the spectrum of Θ whose one number, a time, is chosen on val under attack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from advntk.ingredients.gram_operator import GramOperator
from advntk.ingredients.kernels.engine import BoundKernel
from advntk.learning.kernel_predictor import KernelPredictor, kernel_of, targets_of, theta_of
from advntk.learning.method import Fit, Task
from advntk.learning.search import Selection, grid_search
from advntk.learning.spectral import SpectralFamily

Filter = Callable[[SpectralFamily, float], np.ndarray]
"""Family and time → P, (n, c)."""


def family_of(task: Task, operator: GramOperator, targets: np.ndarray, *, stretch: float = 1.0) -> SpectralFamily:
    """The family that resolves gradient flow up to the longest time of a task's search.

    Args:
        task: with options of a search.
        operator: Θ.
        targets: Y, (n, c).
        stretch: times longer by this factor are resolved too.

    Returns:
        The family. (Where memory does not suffice: ``NumericalError``.)
    """
    longest = stretch * 10.0**task.options.reach / operator.mean_diagonal()
    family = SpectralFamily.of_times(operator, targets, longest)
    family.check(longest)
    return family


def best_time(task: Task, family: SpectralFamily, kernel: BoundKernel, unit: float, filtered: Filter, what: str) -> Fit:
    """The predictor at the t that is most robust on the selecting images of val.

    They are attacked with a seed that evaluation does not use.

    Args:
        task: with options of a search.
        family: of Θ and Y.
        kernel: Θ(·, X).
        unit: of the times, 1 over the mean diagonal of Θ.
        filtered: P of a time.
        what: name of the search, for progress.

    Returns:
        The fit; ``checkpoints.final.t`` is the time.
    """
    t, rows = grid_search(
        lambda t: KernelPredictor(kernel, filtered(family, t), task.split.input_shape),
        Selection.of(task),
        task.options,
        unit=unit,
        what=what,
    )
    return Fit(
        checkpoints={"final": {"t": t}},
        arrays={"coef.final": filtered(family, t)},
        curves=rows,
        training={"t": t, "t_times_mean_diagonal": t / unit, "spectrum_columns": len(family.values)},
    )


def stopped_on_val(task: Task, filtered: Filter = SpectralFamily.flow, what: str = "early stopping") -> Fit:
    """:func:`best_time` of the opt images."""
    operator = theta_of(task, "opt")
    family = family_of(task, operator, targets_of(task.split.opt, task.split.classes))
    return best_time(task, family, kernel_of(task, "opt"), 1.0 / operator.mean_diagonal(), filtered, what)
