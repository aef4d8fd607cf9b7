"""A suite as it was read: its configuration and all that it measured, curves along training among it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed
from advntk.foundation.records import Record
from advntk.telling.kinds.splits import SplitFacts
from advntk.telling.mixing import Accepted

_REMEDY = "delete it and run the fit again"
_REMAKE = "delete it and run the rules that make it again"
_ROW = ("step", "split", "clean_accuracy", "robust_accuracy", "robust_loss")
_CELL = ("dataset", "architecture", "method", "seed", "eps255")
CURVE_COLUMNS = (*_CELL, *_ROW)

Result = TypeVar("Result", bound=Closed)
Results = Mapping[type[Closed], Sequence[tuple[str, Any]]]
"""By model, each with its file or entry."""


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
    cell = file.model_dump(exclude={"path"})
    return Curve(**cell, rows=_read_csv(file.path, _ROW).assign(**cell)[list(CURVE_COLUMNS)])


def read_curves(path: str | Path) -> tuple[Curve, ...]:
    """Read the curves of many fits from one CSV of columns ``CURVE_COLUMNS``; a wrong file is an ``InputError``."""
    frame = _read_csv(path, CURVE_COLUMNS)
    groups = frame.astype({"eps255": float}).groupby(list(_CELL), sort=False)
    return tuple(Curve(**_cell(rows), rows=rows.reset_index(drop=True)) for _, rows in groups)


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
    """Rows of curves; a file that is missing, no CSV, or not of these columns and values is an ``InputError``."""
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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One record with the outcome of each test example.

    Attributes:
        path: of the record.
        record: as written by the evaluation.
        clean: by checkpoint, whether each clean image is classified correctly, (n_test,).
        robust: by checkpoint, whether it is so without attack and under it, (n_test,).
        images: which test images these are, indices into their pool, (n_test,).
    """

    path: str
    record: Record
    clean: dict[str, np.ndarray]
    robust: dict[str, np.ndarray]
    images: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A suite's configuration and all that it measured, checked to belong together.

    Attributes:
        results: by the model of their kind (:mod:`advntk.telling.kinds`), each with its file or entry: of splits one
            for each dataset and seed; fits each once, whatever radii and attacks they were evaluated under; of Gram
            matrices more than one of a split and network only where machines computed other digits.
        command: what made the suite, where it is a published one.
        accepted: replays that showed code of several digests to be equivalent; of a published suite.
        notes: what every table and figure must say: that training labels are wrong, that test images were trained on,
            that cells are missing, that results of different code or data are mixed.
    """

    config: SuiteConfig
    measured: tuple[Measured, ...] = ()
    curves: tuple[Curve, ...] = ()
    results: Results = field(default_factory=dict)
    command: str = ""
    accepted: tuple[Accepted, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, model: type[Result]) -> tuple[Result, ...]:
        """The results of one kind, by its model."""
        return tuple(one for _, one in self.placed(model))

    def placed(self, model: type[Closed]) -> Sequence[tuple[str, Any]]:
        """The same, each after its file or entry."""
        return self.results.get(model, ())


Tested = Mapping[tuple[str, int], tuple[str, np.ndarray]]
"""By dataset and seed: hash of the split, and its test images."""


def tested_in(results: Results) -> Tested:
    """The test images of the splits of a suite."""
    return {(split.dataset, split.seed): (split.hash, np.array(split.test)) for _, split in results.get(SplitFacts, ())}


def measured_in(
    path: str,
    record: Record,
    outcomes: Mapping[str, np.ndarray],
    where: object,
    tested: Tested,
) -> Measured:
    """Return a record with its outcomes and the test images of its split, checked against each other.

    Args:
        path: of the record.
        record: as written by the evaluation.
        outcomes: by ``<checkpoint>.clean`` and ``<checkpoint>.robust``, (n_test,).
        where: the file of these.
        tested: test images of the suite's splits.

    Raises:
        InputError: they do not belong together.
    """
    known, images = tested.get((record.dataset, record.seed), ("none", np.zeros(0)))
    if known != record.split_hash:
        what = f"its split hash is {record.split_hash}, that of the suite's split is {known}"
        raise InputError(what, where=path, remedy="delete the stale record and run the suite again")
    found: dict[str, dict[str, np.ndarray]] = {"clean": {}, "robust": {}}
    for checkpoint, evaluation in record.evaluations.items():
        if evaluation.n_test != len(images):
            what = f"is of {evaluation.n_test} test images, its split has {len(images)}"
            raise InputError(what, where=path, remedy=_REMAKE)
        for kind, correct in (("clean", evaluation.clean_correct), ("robust", evaluation.robust_correct)):
            outcome = outcomes.get(f"{checkpoint}.{kind}")
            if outcome is None or outcome.dtype != np.bool_ or outcome.shape != (evaluation.n_test,):
                what = f"lacks a boolean array '{checkpoint}.{kind}' of {evaluation.n_test} outcomes"
                raise InputError(what, where=where, remedy=_REMAKE)
            if int(outcome.sum()) != correct:
                what = f"'{checkpoint}.{kind}' counts {int(outcome.sum())} correct, its record {correct}"
                raise InputError(what, where=where, remedy=_REMAKE)
            found[kind][checkpoint] = outcome
        if np.any(found["robust"][checkpoint] & ~found["clean"][checkpoint]):
            what = f"checkpoint '{checkpoint}' has examples counted as robust but not as clean"
            raise InputError(what, where=where, remedy=_REMAKE)
    return Measured(path=path, record=record, images=images, **found)
