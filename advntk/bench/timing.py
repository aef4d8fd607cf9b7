"""Medians of alternating runs, counts of compilations, and the machine that they were made on."""

from __future__ import annotations

import functools
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import jax
import numpy as np
from numba.core import event

from advntk.foundation import provenance, threads
from advntk.foundation.device import float64_mode
from advntk.foundation.progress import Progress

_XLA_COMPILED = "/jax/core/compile/backend_compile_duration"
PEAK_SIZES = {"cpu": 2048, "gpu": 8192}
"""Rows of the square matrices whose product shows a peak."""


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one run, s."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternate(
    forms: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    what: str,
    warm: bool = False,
    turn_s: float = 0.25,
) -> dict[str, float]:
    """Median wall time of each form, s: every form runs once to warm up, then they take turns.

    Args:
        forms: what to time; each must return only when its work is done.
        repeats: turns of each.
        what: name for the progress lines.
        warm: they have been run already.
        turn_s: a turn runs its form again until this time has passed, and counts with its median: a form of a few
            milliseconds is not timed by what the other one left in the caches and by its threads that still spin.

    Returns:
        Medians by name, s.
    """
    progress = Progress(what, len(forms) * (repeats + (not warm)), unit="runs")
    for run in () if warm else forms.values():
        run()
        progress.advance()
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, run in forms.items():
            gc.collect()
            runs = [seconds(run)]
            while sum(runs) < turn_s:
                runs.append(seconds(run))
            times[name].append(statistics.median(runs))
            progress.advance()
    return {name: statistics.median(found) for name, found in times.items()}


class Compilations(event.Listener):
    """Counts programs that XLA compiles and functions that numba compiles (not those that it loads from disk)."""

    def __init__(self) -> None:
        self.count = 0

    def on_start(self, event: Any) -> None:
        """One more from numba; its event is told at the start of a compilation and at its end."""
        self.count += 1

    def on_end(self, event: Any) -> None:
        """Nothing: it was counted at its start."""


_xla_counters: list[Compilations] = []


@functools.cache
def _listen() -> None:
    """Register with JAX, once: it has no public way to remove one listener, so this one stays and tells who counts."""
    jax.monitoring.register_event_duration_secs_listener(_tell_counters)


def _tell_counters(event: str, duration_secs: float, **kwargs: str | int) -> None:
    for counter in _xla_counters:
        counter.count += event == _XLA_COMPILED


@contextmanager
def compilations() -> Iterator[Compilations]:
    """Count compilations while the block runs."""
    _listen()
    counter = Compilations()
    with ExitStack() as stack:
        stack.enter_context(event.install_listener("numba:compile", counter))
        _xla_counters.append(counter)
        stack.callback(_xla_counters.remove, counter)
        yield counter


def gemm_gflops(dtype: type = np.float64, *, repeats: int = 5, device: Literal["cpu", "gpu"] = "cpu") -> float:
    """Fastest of some products of two square matrices with this dtype, 10⁹ FLOP/s: what this machine can do."""
    size = PEAK_SIZES[device]
    here: np.ndarray = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    with float64_mode(dtype == np.float64):
        matrix = jax.device_put(here) if device == "gpu" else here

        def run() -> object:
            return jax.numpy.matmul(matrix, matrix, precision="highest").block_until_ready()

        best = min(seconds(run if device == "gpu" else lambda: here @ here) for _ in range(repeats + 1))
    return 2 * size**3 / best / 1e9


def machine(thread_count: int) -> dict[str, Any]:
    """Versions and hardware, without the machine's name; as device the GPU that was computed on, if any.

    Args:
        thread_count: threads that the libraries may use.

    Returns:
        ``versions`` and ``hardware``, to be part of a result.
    """
    found = provenance.environment("cpu", thread_count)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    return {
        "versions": {**found["versions"], "python": found["python"], "code": found["code"]},
        "hardware": {
            "processor": found["processor"],
            "device": found["device_name"],
            "cores": threads.available(),
            "threads": thread_count,
            "memory_mb": round(memory),
        },
    }
