"""Types of command-line arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def at_least(least: int) -> Callable[[str], int]:
    """A whole number from ``least`` on, for argparse."""

    def parsed(text: str) -> int:
        if (number := int(text)) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
        return number

    parsed.__name__ = "whole number"  # what argparse calls it where it is none
    return parsed
