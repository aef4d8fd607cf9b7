"""Label smoothing (Szegedy et al. 2016; Rebuffi et al. 2021): the update takes (1 − α) y + α/c; the attack takes y."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from advntk.foundation.options import Closed
from advntk.learning.at_parts import Technique

if TYPE_CHECKING:
    from torch import Tensor


class Options(Closed):
    """How much."""

    alpha: float = Field(default=0.1, ge=0, lt=1, description="α, weight that is spread over all classes alike")


class LabelSmoothing(Technique):
    """(1 − α) y + α/c."""

    options = Options
    chosen: Options

    def softened(self, target: Tensor) -> Tensor:
        """(1 − α) y + α/c."""
        return (1 - self.chosen.alpha) * target + self.chosen.alpha / target.shape[1]


ENTRY = LabelSmoothing
