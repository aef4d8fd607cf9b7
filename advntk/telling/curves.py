"""Curves: accuracy along the training steps of a fit, read from the fit's own CSV file and checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed

_REMEDY = "delete it and run the fit again"
_ROW = ("step", "split", "clean_accuracy", "robust_accuracy", "robust_loss")
_CELL = ("dataset", "architecture", "method", "seed", "eps255")
CURVE_COLUMNS = (*_CELL, *_ROW)


class CurveFile(Closed):
    """Where the curve of one fit lies: accuracy along its training steps."""

    dataset: str
    architecture: str
    method: str
    seed: int
    eps255: float
    path: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The curve of one fit at one radius.

    Attributes:
        architecture: the label with the depth, such as ``mlp-3``.
        rows: columns ``CURVE_COLUMNS``; accuracies are fractions.
    """

    dataset: str
    architecture: str
    method: str
    seed: int
    eps255: float
    rows: pd.DataFrame


def read_curve(file: CurveFile) -> Curve:
    """Read the curve of one fit; a wrong file is an ``InputError``."""
    frame = _read_csv(file.path, _ROW)
    cell = file.model_dump(exclude={"path"})
    for place, name in enumerate(_CELL):
        frame.insert(place, name, cell[name])
    return Curve(**cell, rows=frame)


def read_curves(path: str | Path) -> tuple[Curve, ...]:
    """Read the curves of many fits from one CSV of columns ``CURVE_COLUMNS``; a wrong file is an ``InputError``."""
    frame = _read_csv(path, CURVE_COLUMNS)
    groups = frame.astype({"eps255": float}).groupby(list(_CELL), sort=False)
    return tuple(Curve(**_cell(rows), rows=rows.reset_index(drop=True)) for _, rows in groups)


def curves_csv(curves: Iterable[Curve]) -> str:
    """All curves as one CSV, which ``read_curves`` reads back with every digit."""
    return frame_of(curves).to_csv(index=False, lineterminator="\n")


def frame_of(curves: Iterable[Curve]) -> pd.DataFrame:
    """All curves in one frame of columns ``CURVE_COLUMNS``; ``architecture`` has the depth too, as in ``mlp-3``."""
    frames = [curve.rows for curve in curves]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(CURVE_COLUMNS))


def _cell(rows: pd.DataFrame) -> dict[str, Any]:
    """What the rows of one curve belong to."""
    first = rows.iloc[0]
    words = {name: str(first[name]) for name in ("dataset", "architecture", "method")}
    return {**words, "seed": int(first["seed"]), "eps255": float(first["eps255"])}


def _read_csv(path: str | Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows of curves, checked.

    Returns:
        These columns.

    Raises:
        InputError: missing, not CSV, or not of the documented columns and values.
    """
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError as error:
        raise InputError("file not found", where=path, remedy="run the rule that makes it first") from error
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"not a readable CSV file ({error})", where=path, remedy=_REMEDY) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing or frame.empty:
        what = f"lacks column(s) {', '.join(missing)}" if missing else "is empty"
        raise InputError(what, where=path, remedy=_REMEDY)
    accuracies = frame[["clean_accuracy", "robust_accuracy"]].to_numpy(dtype=float)
    if not np.all((accuracies >= 0) & (accuracies <= 1)) or not frame["split"].isin(["train", "val", "test"]).all():
        what = "accuracies must lie in [0, 1] and split must be train, val or test"
        raise InputError(what, where=path, remedy=_REMEDY)
    return frame[list(columns)]
