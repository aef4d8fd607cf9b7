"""What the Snakefile needs beside the suite: the interpreter, and what jobs cost in memory (MiB)."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def put_interpreter_first() -> None:
    """Let ``python`` in jobs without a conda environment be the one that runs Snakemake, activated or not."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def gram_mb(n: int) -> float:
    """One float32 Gram matrix of n images."""
    return n**2 * 4 / 2**20


def _temporaries_mb(n: int, memory_mb: float) -> float:
    """Kernel temporaries: bounded by the config, and small for small n."""
    return min(memory_mb, 60 * gram_mb(n))


def kernel_mb(n: int, memory_mb: float) -> int:
    """Computing a Gram matrix: libraries, temporaries, and the matrix itself."""
    return int(700 + _temporaries_mb(n, memory_mb) + gram_mb(n))


def evaluate_mb(n: int, memory_mb: float) -> int:
    """Evaluating: libraries and temporaries; the Gram matrix is not read."""
    return int(900 + _temporaries_mb(n, memory_mb))


def solve_mb(n: int, memory_mb: float, method: str) -> int:
    """Solving: as for the Gram, and what the method holds in float64.

    That is the factor (``ntk``), the dense spectrum (``early_stopped_ntk``, small n), or a copy of the matrix or Krylov
    bases within ``memory_mb``.

    Returns:
        MiB.
    """
    whole = 2 * gram_mb(n)
    if method == "ntk":
        extra = 1.5 * whole
    elif method == "early_stopped_ntk" and n <= 3000:
        extra = 4 * whole
    else:
        extra = min(2 * whole, memory_mb)
    return int(kernel_mb(n, memory_mb) + extra)
