"""Adv-NTK with the loss of TRADES: ϖ minimises (1/2B) Σ ‖f(x) − y‖² + β w ‖f(x') − f(x)‖² over attacked batches of val.

The counterpart of loss ``trades``, w = 1, and of the weights of ``mart``, w = 1 − f_y(x) between 0 and 1. The attack
inside training maximises ‖f(x') − f(x)‖² from x + 0.001 N(0, 1), whatever ``training_attack``, ``attack.loss`` and
``attack.random_start`` say; these are of the choice on val.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from advntk.learning.adv_ntk_options import AdvNtkOptions
from advntk.learning.method import Fit, Task
from advntk.learning.methods import advntk

if TYPE_CHECKING:
    import numpy as np


class Options(AdvNtkOptions):
    """Training of the diagonal, and the weight of the robust term."""

    beta: float = Field(default=6.0, gt=0, description="β, weight of ‖f(x') − f(x)‖² (6: of TRADES' KL)")
    boosted: bool = Field(default=False, description="weigh ‖f(x') − f(x)‖² by 1 − f_y(x) too, as MART does")

    def weights(self, outputs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """β w of images with outputs f(x) and one-hot labels, (B,)."""
        import numpy as np

        of_label = (outputs * wanted).sum(axis=1).clip(0, 1)
        return self.beta * (1 - of_label if self.boosted else np.ones(len(wanted)))


def fit(task: Task) -> Fit:
    """See :func:`advntk.learning.adv_ntk_fit.fit`."""
    from advntk.learning import adv_ntk_fit

    return adv_ntk_fit.fit(task, task.options.weights)


ENTRY = replace(
    advntk.ENTRY,
    options=Options,
    fit=fit,
    description="Adv-NTK whose diagonal learns from clean and attacked images of val by the loss of TRADES",
)
