"""Stochastic weight averaging, SWA (Izmailov et al. 2018; with adversarial training: Chen et al. 2021).

The mean of the weights at the end of each epoch from a share of the training on; before that, the weights themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.errors import ConfigError
from advntk.foundation.options import Closed
from advntk.learning.techniques._averaging import Averaging

if TYPE_CHECKING:
    from torch import nn

    from advntk.learning.at_run import Run


class Options(Closed):
    """When it begins."""

    start: float = Field(
        default=0.275, ge=0, lt=1, description="share of the updates before the first epoch averaged (55 of 200 epochs)"
    )


def _averaged(first: float, step: int, epoch: int) -> int:
    """Epochs that begin after ``first`` updates and end by a step."""
    return sum(index * epoch >= first for index in range(step // epoch))


class Swa(Averaging):
    """Mean over epochs."""

    options = Options
    chosen: Options

    def __init__(self, options: Any, run: Run) -> None:
        super().__init__(options, run)
        if problem := self.problem(options, steps=run.options.steps, epoch_steps=run.epoch_steps):
            raise ConfigError(problem, where="swa")

    @staticmethod
    def problem(options: Any, *, steps: int, epoch_steps: int) -> str | None:
        """Whether there is an epoch to average."""
        if _averaged(options.start * steps, steps, epoch_steps):
            return None
        return (
            f"no epoch of {epoch_steps} updates lies after {options.start:g} of the {steps} updates: lower swa's start"
        )

    def _counted(self, step: int) -> int:
        """Epochs that are averaged by a step."""
        return _averaged(self.chosen.start * self.run.options.steps, step, self.run.epoch_steps)

    def share(self) -> float:
        """1 over the number of epochs, at their ends."""
        step, epoch = self.run.step, self.run.epoch_steps
        ends = step % epoch == 0 and self._counted(step) > self._counted(step - epoch)
        return 1 / self._counted(step) if ends else 0.0

    def deployed(self) -> nn.Module | None:
        """The averaged network, once there is one."""
        return super().deployed() if self._counted(self.run.step) else None


ENTRY = Swa
