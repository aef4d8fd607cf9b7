"""Options of a search of one number on a grid."""

from __future__ import annotations

from pydantic import Field

from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.options import Closed


class GridOptions(Closed):
    """Search of one positive number, on a logarithmic grid that is refined around its best point."""

    decades: float = Field(default=4.0, ge=1, description="grid from 10^−decades to 10^decades in the number's unit")
    per_decade: int = Field(default=2, ge=1, description="grid points a decade")
    halvings: int = Field(default=2, ge=0, description="times the spacing is halved around the best point")
    attack: AttackOptions = Field(default=AttackOptions(), description="attack that the choice faces on val")

    @property
    def count(self) -> int:
        """Grid points."""
        return round(2 * self.decades * self.per_decade) + 1

    @property
    def reach(self) -> float:
        """The largest decimal exponent that can be tried, and minus the smallest one."""
        return self.decades + (1 - 0.5**self.halvings) / self.per_decade
