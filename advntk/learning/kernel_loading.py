"""How kernel methods give their predictor back: apart from it, as methods are listed where there is no numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from advntk.learning.kernel_predictor import KernelPredictor
    from advntk.learning.method import Saved


def load_kernel(saved: Saved, checkpoint: str) -> KernelPredictor:
    """The predictor of one checkpoint of a kernel method's fit."""
    from advntk.learning import kernel_predictor

    return kernel_predictor.load_kernel(saved, checkpoint)
