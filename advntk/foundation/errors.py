"""Failures as values with advice: what went wrong, where, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AdvntkError(Exception):
    """A failure that a user can act on; the command line prints it in one line and exits with status 1.

    Args:
        what: what is wrong, with the numbers.
        where: the file, key or object it is about.
        remedy: what to do next.
    """

    def __init__(self, what: str, *, where: object = "", remedy: str = "") -> None:
        self.what = what
        self.where = str(where)
        self.remedy = remedy
        super().__init__(self.line())

    def line(self) -> str:
        """The failure in one line: ``where: what; remedy``."""
        place = f"{self.where}: " if self.where else ""
        advice = f"; {self.remedy}" if self.remedy else ""
        return " ".join(f"{place}{self.what}{advice}".split())


class ConfigError(AdvntkError):
    """A key or value of the configuration is wrong."""


class InputError(AdvntkError, ValueError):
    """A file or array handed in is missing, corrupt, or not of the documented form."""


class NumericalError(AdvntkError):
    """A computation did not reach its tolerance or met NaN."""


class NotPositiveDefinite(NumericalError):
    """A kernel matrix has an eigenvalue below what rounding explains."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """A hint ``(did you mean 'x'?)``, or nothing when no allowed word is close."""
    match = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f" (did you mean '{match[0]}'?)" if match else ""
