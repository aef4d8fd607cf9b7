"""Logits of predictors under measurement: NaN is refused, or it would count as the class 0."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advntk.foundation.arrays import unchecked_values
from advntk.foundation.errors import NumericalError
from advntk.foundation.predictor import Predictor

OF_A_FIT = "look at the fit's diagnostics; a ridge or a smaller learning rate may help"
"""What helps against NaN of a predictor that was trained here."""


def predictor_name(folder: Path, checkpoint: str) -> str:
    """What messages call a checkpoint of the fit in a folder."""
    return f"checkpoint '{checkpoint}' of {folder}"


def finite_logits(
    predictor: Predictor, images: np.ndarray, *, what: str, where: str, remedy: str = OF_A_FIT
) -> np.ndarray:
    """Logits of a predictor, all of them finite: ``argmax`` takes NaN for the largest, and the first of several.

    The images may leave [0, 1], as those of an attack may: a flag of the evaluation reports it.

    Args:
        predictor: of any kind.
        images: float32 (m, H, W, C).
        what: kind of the images, for the message.
        where: name of the predictor, for the message.
        remedy: for the message.

    Returns:
        Logits (m, classes).

    Raises:
        NumericalError: one is NaN or infinite.
    """
    with unchecked_values():
        logits = predictor.logits(images)
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise NumericalError(
            f"NaN or infinite logits on {int((~finite).sum())} of {len(images)} {what} images",
            where=where,
            remedy=remedy,
        )
    return logits
