"""What a job asks a scheduler for: memory, minutes and disk, from its estimate and the attempt."""

from __future__ import annotations

import math

from advntk.planning import memory
from advntk.planning.estimates import Estimate
from advntk.planning.plan import seconds
from advntk.planning.rates import Rates

SAFETY = 3.0
"""Minutes asked for over minutes expected: other processors, and what an attack leaves robust, are not known."""
LEAST_MINUTES = 10
LONGEST_MINUTES = 7 * 24 * 60
"""Most that a job asks for, whatever it would take."""
SNAKEMAKES_MB = 350
"""Beside a job's own memory: two Snakemakes start it on a cluster and wait in it, each of 150 MB."""
UNMEASURED_MINUTES = 24 * 60
"""Requested where no measurement exists, and at most this on a GPU, whose speed nobody measured."""


def mem_mb(estimate: Estimate, rates: Rates, attempt: int) -> int:
    """MB of a million bytes, as Snakemake counts; each attempt asks for once more of the first."""
    own_mb = math.ceil(estimate.memory.asked_mb(rates.bases) * memory.MIB / 1e6)
    return attempt * (own_mb + SNAKEMAKES_MB)


def runtime(estimate: Estimate, rates: Rates, attempt: int, *, gpu: bool) -> int:
    """Minutes; each attempt asks for once more of the first."""
    _, wall_s = seconds(estimate, rates, estimate.threads)
    expected = UNMEASURED_MINUTES if wall_s is None else LEAST_MINUTES + math.ceil(SAFETY * wall_s / 60)
    longest = UNMEASURED_MINUTES if gpu else LONGEST_MINUTES
    return min(attempt * min(expected, longest), LONGEST_MINUTES)


def disk_mb(estimate: Estimate) -> int:
    """MB of a million bytes of the largest file of a job, and a little."""
    return math.ceil(1.05 * estimate.disk_mb * memory.MIB / 1e6) + 10
