"""Adv-NTK with the loss of TRADES: ϖ minimises (1/2B) Σ ‖f(x) − y‖² + β ‖f(x') − f(x)‖² over attacked batches of val.

The counterpart of loss ``trades``. The attack inside training maximises ‖f(x') − f(x)‖² from x + 0.001 N(0, 1),
whatever ``training_attack``, ``attack.loss`` and ``attack.random_start`` say; these are of the choice on val.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.learning.method import Fit, Task
from advntk.learning.methods import advntk


class Options(AdvNtkOptions):
    """Training of the diagonal, and the weight of the robust term."""

    beta: float = Field(default=6.0, gt=0, description="β, weight of ‖f(x') − f(x)‖² (6: of TRADES' KL)")


def fit(task: Task) -> Fit:
    """See :func:`advntk.learning.adv_ntk_fit.fit`."""
    from advntk.learning import adv_ntk_fit

    return adv_ntk_fit.fit(task, beta=task.options.beta)


ENTRY = replace(
    advntk.ENTRY,
    options=Options,
    fit=fit,
    description="Adv-NTK whose diagonal learns from clean and attacked images of val by the loss of TRADES",
)
