"""Work in a process of its own, so that its peak memory is its own.

The work imports and warms up, calls ``ready()``, and only then loads its problem. Counted is what it takes beyond that
moment: the peak of resident memory (``VmHWM``), and the peak of anonymous memory (``RssAnon``, without the pages of
memory-mapped files), which this process samples.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from advntk.foundation.errors import AdvntkError

Ready = Callable[[], None]
Work = Callable[[Mapping[str, Any], Ready], dict[str, Any]]


def status_mb(field: str, process: int | str = "self") -> float:
    """A field of ``/proc/PROCESS/status``, MiB; 0 for a process that has ended."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return float(line.split()[1]) / 1024
    return 0.0


def run(work: Work, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Run a function of a module in a process of its own, with the threads of this one.

    Returns:
        What it gave, and ``peak_mb`` and ``peak_anonymous_mb`` beyond the moment it was ready.

    Raises:
        AdvntkError: the process failed; its own words are on standard error.
    """
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(there, work, dict(spec)))
    process.start()
    there.close()
    try:
        resident, anonymous = here.recv()
        peak = anonymous
        while not here.poll(0.01):  # seconds
            peak = max(peak, status_mb("RssAnon", str(process.pid)))
        result, highest, last = here.recv()
    except EOFError as error:
        process.join()
        how = "was killed, likely for its memory" if process.exitcode == -9 else "failed"
        what = f"a process {how} ({dict(spec)})"
        raise AdvntkError(what, where=work.__module__, remedy="try a smaller n") from error
    finally:
        process.kill()
        process.join()
    return {**result, "peak_mb": highest - resident, "peak_anonymous_mb": max(peak, last) - anonymous}


def _child(answer: Connection, work: Work, spec: Mapping[str, Any]) -> None:
    def ready() -> None:
        with suppress(OSError):  # VmHWM back to VmRSS, where the system lets a process do that
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        answer.send((status_mb("VmRSS"), status_mb("RssAnon")))

    with redirect_stdout(sys.stderr):
        result = work(spec, ready)
    answer.send((result, status_mb("VmHWM"), status_mb("RssAnon")))
