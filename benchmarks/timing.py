"""Medians of alternating runs, counts of compilations, and the machine that they were made on."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
from numba.core import event

from advntk.foundation import provenance, threads
from advntk.foundation.progress import Progress
from benchmarks.options import Device, Measured

Made = TypeVar("Made")

_XLA_COMPILED = "/jax/core/compile/backend_compile_duration"
PEAK_SIZES: dict[Device, int] = {"cpu": 2048, "gpu": 8192}  # rows of the square matrices


def timed(run: Callable[[], Made]) -> tuple[Made, float]:
    """What one run gives, and its wall time, s."""
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def medians(
    forms: Mapping[str, Callable[[], object]], *, repeats: int, what: str, warm: bool = False, turn_s: float = 0.25
) -> dict[str, float]:
    """Median wall time of each form, s: every form runs once to warm up (unless ``warm``), then they take turns.

    A form returns when its work is done. A turn runs it again until ``turn_s`` has passed and counts with its median: a
    form of a few milliseconds is then not timed by what the other one left in the caches and by its spinning threads.

    Returns:
        Medians by name.
    """
    progress = Progress(what, len(forms) * (repeats + (not warm)), unit="runs")
    for run in () if warm else forms.values():
        run()
        progress.advance()
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, run in forms.items():
            gc.collect()
            runs = [timed(run)[1]]
            while sum(runs) < turn_s:
                runs.append(timed(run)[1])
            times[name].append(statistics.median(runs))
            progress.advance()
    return {name: statistics.median(found) for name, found in times.items()}


def peak_gflops(multiply: Callable[[], object], size: int) -> float:
    """The speed of a product of two square matrices with ``size`` rows, the fastest of six, 10⁹ FLOP/s."""
    return 2 * size**3 / min(timed(multiply)[1] for _ in range(6)) / 1e9


_xla_events: list[str] = []


def _note(event: str, duration_secs: float, **_: str | int) -> None:
    _xla_events.append(event)


jax.monitoring.register_event_duration_secs_listener(_note)  # JAX has no public way to remove it


def compilations(run: Callable[[], Made]) -> tuple[Made, int]:
    """What a run gives, and how many programs XLA and numba compile in it (those loaded from disk do not count)."""
    before = _xla_events.count(_XLA_COMPILED)
    with event.install_recorder("numba:compile") as recorded:
        made = run()
    by_numba = sum(bool(found.is_start) for _, found in recorded.buffer)
    return made, _xla_events.count(_XLA_COMPILED) - before + by_numba


def machine(options: Measured) -> dict[str, Any]:
    """What ends every result: repeats, seed, versions and hardware, without the machine's name."""
    found = provenance.environment("cpu", options.threads)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return {
        "repeats": options.repeats,
        "seed": options.seed,
        "versions": {**found["versions"], "python": found["python"], "code": found["code"]},
        "hardware": {
            "processor": found["processor"],
            "device": found["device_name"],
            "cores": threads.available(),
            "threads": options.threads,
            "memory_mb": round(memory),
        },
    }
