"""Forms run in processes of their own, so that peak memory is theirs alone.

A child imports and warms up, says so by ``ready()``, and only then loads its problem. Counted is what it takes beyond
that moment: the peak of its resident memory (``VmHWM``), and the peak of its anonymous memory (``RssAnon``, without the
pages of memory-mapped files), which the parent samples.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from advntk.foundation import threads
from advntk.foundation.errors import AdvntkError

SAMPLE_EVERY_S = 0.01
_KIB_PER_MIB = 1024.0

Ready = Callable[[], None]


def status_mb(field: str, process: int | str = "self") -> float:
    """A field of ``/proc/PROCESS/status``, MiB."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return float(line.split()[1]) / _KIB_PER_MIB
    raise AdvntkError(f"no {field} in /proc", where="memory", remedy="measure on Linux")


def _reset_peak() -> None:
    """Set VmHWM back to VmRSS, where the system lets a process do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def run(task: str, spec: Mapping[str, Any], *, threads_: int) -> dict[str, Any]:
    """Run the ``child`` function of a module of this package in a process of its own.

    Args:
        task: name of the module.
        spec: what its function takes, as JSON.
        threads_: that the libraries of the child may use.

    Returns:
        What the function gave, and ``peak_mb`` and ``peak_anonymous_mb`` beyond the moment it was ready.

    Raises:
        AdvntkError: the child failed; its own words are on standard error.
    """
    command = [sys.executable, "-m", "advntk.bench.child", task, json.dumps({"threads": threads_, "spec": dict(spec)})]
    samples: list[tuple[float, float]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None:
                with suppress(OSError, AdvntkError):  # it may end between the two lines
                    samples.append((time.monotonic(), status_mb("RssAnon", process.pid)))
                time.sleep(SAMPLE_EVERY_S)
        finally:
            process.kill()
        told = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        what = "was killed, likely for its memory" if process.returncode == -9 else "failed"
        raise AdvntkError(f"a process of this bench {what} ({spec})", where=task, remedy="try a smaller n")
    answer: dict[str, Any] = json.loads(told)
    start, before = answer.pop("ready_at"), answer.pop("anonymous_before_mb")
    peak = max([answer.pop("anonymous_after_mb"), *(anonymous for at, anonymous in samples if at >= start)])
    return {**answer, "peak_anonymous_mb": max(0.0, peak - before)}


def main(argv: list[str]) -> None:
    """A child: run one task and print its result as JSON, alone on standard output."""
    task, given = argv[0], json.loads(argv[1])
    threads.limit(given["threads"])
    marks: dict[str, float] = {}

    def ready() -> None:
        _reset_peak()
        marks.update(ready_at=time.monotonic(), before=status_mb("VmRSS"), anonymous_before_mb=status_mb("RssAnon"))

    with redirect_stdout(sys.stderr):
        result = importlib.import_module(f"advntk.bench.{task}").child(given["spec"], ready)
    peak = status_mb("VmHWM") - marks.pop("before")
    marks["anonymous_after_mb"] = status_mb("RssAnon")
    print(json.dumps({**result, **marks, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1:])
