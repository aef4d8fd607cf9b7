"""Exponential moving average of the weights (adversarial training: Rebuffi et al. 2021, code by google-deepmind).

After update k = 1, 2, …: ā_k = d_k ā_{k−1} + (1 − d_k) w_k, with ā_0 = w_0 and d_k = min(τ, k/(k + 9)), so that the
initial weights are soon forgotten.
"""

from __future__ import annotations

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.techniques._averaging import Averaging


class Options(Closed):
    """How far back it remembers."""

    tau: float = Field(default=0.995, ge=0, lt=1, description="τ, share of the old average that an update leaves")


class Ema(Averaging):
    """Exponential moving average."""

    options = Options
    chosen: Options

    def share(self) -> float:
        """1 − min(τ, k/(k + 9))."""
        step = self.run.step
        return 1 - min(self.chosen.tau, step / (step + 9))


ENTRY = Ema
