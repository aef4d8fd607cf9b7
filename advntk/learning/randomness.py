"""Seeds of everything drawn after the split: one stream a purpose, so that no two share random numbers."""

from __future__ import annotations

import zlib

import numpy as np


def stream_seed(seed: int, purpose: str) -> int:
    """A seed for one purpose of a run, such as ``evaluate`` or ``select``; 32 bits."""
    return int(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())]).generate_state(1)[0])


def batch_indices(count: int, size: int, step: int, seed: int) -> np.ndarray:
    """Batch ``step`` of an endless sequence of permutations of ``range(count)``: always ``size`` long, no memory."""
    first, last = step * size, (step + 1) * size
    epochs = range(first // count, (last - 1) // count + 1)
    order = np.concatenate([np.random.default_rng([seed, epoch]).permutation(count) for epoch in epochs])
    offset = first - epochs[0] * count
    return np.asarray(order[offset : offset + size])
