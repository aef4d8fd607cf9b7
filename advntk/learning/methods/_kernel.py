"""How kernel methods give their predictor back, without reading numpy before it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advntk.learning.kernel_predictor import KernelPredictor
    from advntk.learning.method import Saved


def load(saved: Saved, checkpoint: str) -> KernelPredictor:
    """See :func:`advntk.learning.kernel_predictor.load_kernel`."""
    from advntk.learning.kernel_predictor import load_kernel

    return load_kernel(saved, checkpoint)
