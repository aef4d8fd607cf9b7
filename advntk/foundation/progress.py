"""Progress of long work on standard error: what, how far, how fast, how much longer."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator


class Progress:
    """Prints a line at most every ``every_s`` seconds, and one at the end.

    Args:
        what: name of the work.
        total: number of units.
        unit: name of a unit, plural.
        done: units already done before (a resumed job).
        every_s: least seconds between lines.
    """

    def __init__(self, what: str, total: int, *, unit: str = "steps", done: int = 0, every_s: float = 5.0) -> None:
        self.what, self.total, self.unit, self.every_s = what, total, unit, every_s
        self.done = self._before = done
        self._start = time.perf_counter()
        self._last = self._start
        if done:
            self._say(f"resuming after {done} of {total} {unit}")

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count units as done; ``note`` is shown at the end of the line."""
        self.done += count
        now = time.perf_counter()
        if now - self._last >= self.every_s or self.done >= self.total:
            elapsed = now - self._start
            left = elapsed / max(self.done - self._before, 1) * (self.total - self.done)
            tail = f", {note}" if note else ""
            self._say(f"{self.done}/{self.total} {self.unit}, {elapsed:.0f} s, {left:.0f} s left{tail}")
            self._last = now

    def _say(self, text: str) -> None:
        print(f"{self.what}: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def counted(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the time that a block takes to ``seconds[phase]``."""
    start = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - start
