"""Options of Adv-NTK."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from advntk.foundation.attack_options import AttackOptions
from advntk.foundation.options import Closed

Rate = Annotated[float, Field(gt=0)]


class AdvNtkOptions(Closed):
    """Training of the diagonal."""

    diagonal: Literal["shared", "per_class"] = Field(
        default="shared", description="ϖ with n entries (reference code) or n·c (the paper's algorithm)"
    )
    steps: int = Field(default=50, ge=1, description="updates of ϖ")
    batch: int = Field(default=128, ge=1, description="images of val attacked at each step; at most n_val")
    learning_rate: Rate | Annotated[list[Rate], Field(min_length=1)] = Field(
        default=1.0, description="ζ, length of each update of ϖ; of a list, trainings of larger loss on val end early"
    )
    normalize: bool = Field(
        default=False,
        description="divide the kernel by its mean diagonal: ζ is then in units of 1 over that, and one ζ serves all "
        "depths",
    )
    report_every: int = Field(default=5, ge=1, description="updates between two measurements on val (best_val, curves)")
    tolerance: float = Field(default=1e-9, gt=0, lt=1e-2, description="relative error at which a Krylov basis stops")
    attack: AttackOptions = Field(default=AttackOptions(), description="attack inside training and on val")
    training_attack: Literal["pgd", "reference_fixed_gradient"] = Field(
        default="pgd",
        description="kind of the attack inside training; the reference code's leaves the threat model, up to 2ε",
    )

    def rates(self) -> list[float]:
        """All ζ to try."""
        return self.learning_rate if isinstance(self.learning_rate, list) else [self.learning_rate]
