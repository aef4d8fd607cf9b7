"""What a unit of work takes on one core, and what libraries hold in memory: measured, kept in one file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.planning.work import UNITS, Work

SCHEMA = "advntk-rates-1"
RATES = Path(__file__).with_name("rates.json")
"""The rates that come with the package."""
BASES = ("plain", "telling", "kernel", "evaluation", "jax", "network", "network.evaluation", "ensemble")
"""What processes load: no large library, pandas and matplotlib, numba (with what evaluates), JAX, torch (with what
evaluates), AutoAttack with torch and numba."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Rates of one machine.

    Attributes:
        seconds: of one core, by unit; units that were not measured are missing.
        bases: MiB of a process with these libraries and no data.
        machine: what was measured on.
        sources: of the measurements.
    """

    seconds: Mapping[str, float]
    bases: Mapping[str, float]
    machine: Mapping[str, Any]
    sources: tuple[str, ...]

    def cpu_s(self, work: Work | None) -> float | None:
        """Seconds of one core; None where a unit was not measured, or the work itself is not known."""
        if work is None or self.unmeasured(work):
            return None
        return sum(amount * self.seconds[unit] for unit, amount in work.items() if amount)

    def unmeasured(self, work: Work) -> list[str]:
        """Units of a work that have no rate."""
        return [unit for unit, amount in work.items() if amount and unit not in self.seconds]

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "schema": SCHEMA,
            "machine": dict(self.machine),
            "sources": list(self.sources),
            "seconds": dict(self.seconds),
            "bases_mb": dict(self.bases),
        }


def read_rates(path: Path = RATES) -> Rates:
    """The rates in a file.

    Returns:
        The rates.

    Raises:
        InputError: not such a file, or units that this version does not know.
    """
    content = files.read_json(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise InputError(f"is not a file of rates ({SCHEMA})", where=path, remedy="make it with 'advntk calibrate'")
    unknown = [*(content["seconds"].keys() - UNITS.keys()), *(set(BASES) - content["bases_mb"].keys())]
    if unknown:
        raise InputError(
            f"does not fit this version: {', '.join(sorted(unknown))}",
            where=path,
            remedy="run 'advntk calibrate' again",
        )
    return Rates(
        seconds=content["seconds"],
        bases=content["bases_mb"],
        machine=content["machine"],
        sources=tuple(content["sources"]),
    )
