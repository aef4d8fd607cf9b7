"""AutoAttack (Croce & Hein 2020), its standard version, on predictors of every kind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from advntk.attacks.attack import Attack, Attacked, checked
from advntk.foundation.options import Closed
from advntk.foundation.predictor import Predictor
from advntk.foundation.threat import ThreatModel

if TYPE_CHECKING:
    import numpy as np

Member = Literal["apgd-ce", "apgd-t", "fab-t", "square"]

MEMBERS: tuple[Member, ...] = ("apgd-ce", "apgd-t", "fab-t", "square")
ITERATIONS, QUERIES = 100, 5000
"""Of the standard version."""


class Options(Closed):
    """Options of AutoAttack; the defaults are its standard version."""

    attacks: list[Member] = Field(
        default=list(MEMBERS), min_length=1, description="attacks of the ensemble, in the order in which they are run"
    )
    cascade: bool = Field(
        default=True,
        description="true: an attack sees only what those before it left robust (authors); false: all that is "
        "classified correctly",
    )
    iterations: int = Field(default=ITERATIONS, ge=2, description="iterations of apgd-ce, apgd-t and fab-t")
    queries: int = Field(default=QUERIES, ge=1, description="queries of square per image")
    batch: int = Field(default=250, ge=1, description="images attacked at once")
    chunks: int = Field(default=1, ge=1, description="parts of the test images, each a job of its own")

    @field_validator("attacks")
    @classmethod
    def _attacks_differ(cls, attacks: list[Member]) -> list[Member]:
        if len(set(attacks)) < len(attacks):
            raise ValueError("must not name an attack twice")
        return attacks


@checked
def run(
    predictor: Predictor,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    options: Any,
    threat: ThreatModel,
    seed: int,
    state: Path | None = None,
) -> Attacked:
    """See :func:`advntk.attacks.ensemble.run`."""
    from advntk.attacks import ensemble  # torch is for those who run it: a suite is resolved without

    settings = {"options": options, "threat": threat, "seed": seed, "state": state}
    return ensemble.run(predictor, images, labels, **settings)


ENTRY = Attack(
    options=Options,
    run=run,
    inside_threat_model=True,
    description="AutoAttack, the standard ensemble of apgd-ce, apgd-t, fab-t and square",
    libraries=("pyautoattack",),
    resumable=run,
)
