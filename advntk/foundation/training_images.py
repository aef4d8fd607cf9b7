"""Which training images a predictor is made from."""

from __future__ import annotations

from typing import Literal

TrainingImages = Literal["opt", "all"]
"""``opt``, or ``all``: opt followed by val, as the reference code trains NTK and AT."""
