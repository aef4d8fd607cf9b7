"""How the recipe of adversarial training was chosen, and whether it had converged: typed results of their own.

A recipe is trained on seed 0 alone, once for each candidate (:class:`Choice`) and once with twice the updates
(:class:`Check`); all seeds of a suite share what was found.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from advntk.foundation.architecture import Architecture
from advntk.foundation.at_options import AdversarialTrainingOptions
from advntk.foundation.options import Closed
from advntk.foundation.records import read_model
from advntk.foundation.threat import ThreatModel

Row = dict[str, int | float | str]
"""A row of a curve: step, split, clean_accuracy, robust_accuracy, robust_loss."""
LARGEST_CHANGE = 0.01
"""A change of robust accuracy on val below this is none."""
LAST_PART = 0.2
"""Share of the training over which the late gain is measured."""


class _OfRecipe(Closed):
    """Which recipe a result is about."""

    dataset: str
    architecture: Architecture
    method: str
    trained_at: ThreatModel
    seed: int
    split_hash: str
    n_val: int
    provenance: dict[str, Any]
    timing: dict[str, float]


class Tried(Closed):
    """A candidate of a search.

    Attributes:
        changes: the options that it sets.
        step: update after which it was best on val; None if its training diverged.
        clean_accuracy: on val, at that update.
        robust_accuracy: on val, under the attack of the reports; 0 if its training diverged.
        robust_loss: mean training loss under that attack; None if its training diverged.
    """

    changes: dict[str, Any]
    step: int | None
    clean_accuracy: float
    robust_accuracy: float
    robust_loss: float | None


class Choice(_OfRecipe):
    """The result of a search on val.

    Attributes:
        steps: updates that each candidate got.
        tried: the candidates in their order.
        chosen: index of the one with the highest robust accuracy; of equal ones, that with the lowest robust loss.
    """

    schema_version: Literal["advntk-choice-1"] = "advntk-choice-1"
    steps: int
    tried: list[Tried]
    chosen: int

    def facts(self) -> dict[str, Any]:
        """What a fit records of the choice."""
        return self.model_dump(mode="json", include={"seed", "steps", "tried", "chosen"})


class Check(_OfRecipe):
    """The same recipe trained for twice the updates, its schedule stretched with them.

    Attributes:
        once: curve of the recipe on val.
        twice: the same with twice the updates.
    """

    schema_version: Literal["advntk-check-1"] = "advntk-check-1"
    once: list[Row]
    twice: list[Row]

    @property
    def accuracies(self) -> tuple[float, float]:
        """Robust accuracy on val at the best checkpoint, once and twice."""
        return best(self.once), best(self.twice)

    @property
    def standard_error(self) -> float:
        """Of the robust accuracy on val: √(p (1 − p)/n_val)."""
        accuracy = self.accuracies[0]
        return math.sqrt(accuracy * (1 - accuracy) / self.n_val)

    @property
    def passed(self) -> bool:
        """Whether twice the updates move the robust accuracy by less than a point, or than its standard error."""
        once, twice = self.accuracies
        return abs(twice - once) < max(LARGEST_CHANGE, self.standard_error)


def best(rows: list[Row]) -> float:
    """Highest robust accuracy on val of a curve."""
    return max(float(row["robust_accuracy"]) for row in rows if row["split"] == "val")


def first_half(rows: list[Row]) -> list[Row]:
    """The rows of a curve up to half of its updates."""
    end = max(int(row["step"]) for row in rows) / 2
    return [row for row in rows if int(row["step"]) <= end]


def late_gain(rows: list[Row]) -> float:
    """Gain of robust accuracy on val over the last fifth of the updates.

    Returns:
        The gain; where no report lies at four fifths of the updates, since the last report before it.
    """
    val = sorted((int(row["step"]), float(row["robust_accuracy"])) for row in rows if row["split"] == "val")
    start = (1 - LAST_PART) * val[-1][0]
    return val[-1][1] - [accuracy for step, accuracy in val if step <= start][-1]


def chosen_options(options: AdversarialTrainingOptions, choice: Choice) -> AdversarialTrainingOptions:
    """Options with the chosen candidate's changes in place of the search."""
    content = {**options.model_dump(), "search": [], **choice.tried[choice.chosen].changes}
    return type(options).model_validate(content)


def read_choice(path: str | Path) -> Choice:
    """Read and check the result of a search; a wrong file is an ``InputError``."""
    return read_model(path, Choice, "search's result")


def read_check(path: str | Path) -> Check:
    """Read and check a convergence check; a wrong file is an ``InputError``."""
    return read_model(path, Check, "convergence check")
