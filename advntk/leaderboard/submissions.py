"""Submissions to the leaderboard: how they are read, and measured again."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed
from advntk.foundation.provenance import public
from advntk.foundation.records import read_model
from advntk.measuring.benchmark import Benchmark, benchmark

RECORD, CODE = "record.json", "submission.py"
SLACK = 1
"""Images by which a count may differ where a record is measured again, on another machine."""


class Listed(Closed):
    """A submission on a board.

    Attributes:
        dataset: that the test images are of.
        verified: whether it was measured again with the submitted model.
        record: of the benchmark.
    """

    schema_version: Literal["advntk-submission-1"] = "advntk-submission-1"
    dataset: str
    verified: bool
    record: Benchmark


def listed(board: Path) -> Iterator[tuple[Path, Listed]]:
    """The submissions on a board with their files, by name."""
    for path in sorted(board.glob("*.json")):
        yield path, read_model(path, Listed, "submission")


def add(board: Path, one: Listed) -> Path:
    """Add a submission to a board, in the place of an earlier one of its name on its dataset.

    Args:
        board: folder of submissions.
        one: the submission.

    Returns:
        The file that holds it.

    Raises:
        InputError: its name has no letter or digit, or it is of an attack outside the threat model.
    """
    name = re.sub(r"[^a-z0-9]+", "-", f"{one.dataset} {one.record.name}".lower()).strip("-")
    if not name:
        raise InputError("the record has no name", where=board, remedy="give benchmark a name")
    for attack, result in one.record.attacks.items():
        if not result.attack.inside_threat_model:
            what = f"attack '{attack}' may leave the threat model"
            raise InputError(what, where=one.record.name, remedy="benchmark the model under other attacks")
    path = board / f"{name}.json"
    files.write_json(path, one.model_dump(mode="json"))
    return path


def read_submission(path: Path, *, dataset: str = "") -> Listed:
    """A submission, measured again if it has a model.

    Args:
        path: record of ``advntk.benchmark`` (json), or folder of a submission, whose code is run.
        dataset: of a record alone, which does not name it.

    Returns:
        The submission.

    Raises:
        InputError: a record without a dataset, or one that differs from what the model does.
    """
    if path.is_dir():
        if problems := verify(path):
            raise InputError("; ".join(problems), where=path, remedy="run the benchmark again, and send its record")
        dataset, record = str(_part(_code(path), "DATASET", path)), _record(path / RECORD)
    elif dataset:
        record = _record(path)
    else:
        raise InputError("a record does not name its dataset", where=path, remedy="give --dataset")
    shown = record.model_copy(update={"provenance": public(record.provenance)})
    return Listed(dataset=dataset, verified=path.is_dir(), record=shown)


def verify(folder: Path, *, slack: int = SLACK) -> list[str]:
    """Run a submission's benchmark again, and compare. This runs its code: read it first.

    Args:
        folder: with ``record.json`` and ``submission.py``.
        slack: images by which a count may differ.

    Returns:
        What differs, one a line.

    Raises:
        InputError: the folder holds no submission, or its code fails.
    """
    record, code = _record(folder / RECORD), _code(folder)
    try:
        model = _part(code, "model", folder)()
        images, labels = _part(code, "images_and_labels", folder)()
    except Exception as error:  # the code may raise anything
        raise InputError(f"{type(error).__name__}: {error}", where=folder / CODE) from error
    attacks = {name: {"kind": one.attack.kind, **one.attack.options} for name, one in record.attacks.items()}
    settings: dict[str, Any] = {"eps255": record.threat.eps255, "norm": record.threat.norm, "name": record.name}
    settings |= {"seed": next(iter(record.attacks.values())).attack.seed, **getattr(code, "SETTINGS", {})}
    return _differences(record, benchmark(model, images, labels, attacks=attacks, **settings), slack)


def _differences(then: Benchmark, now: Benchmark, slack: int) -> list[str]:
    """What differs between two records of one benchmark."""
    if now.images_digest != then.images_digest:
        return ["images or labels are not those of the record"]
    found = []
    for name, result in then.attacks.items():
        again = now.attacks[name].evaluation
        for key in ("clean_correct", "robust_correct"):
            claimed, counted = getattr(result.evaluation, key), getattr(again, key)
            if abs(claimed - counted) > slack:
                found.append(f"{name}: {key} {counted}, the record has {claimed}")
        if again.flags != result.evaluation.flags:
            found.append(f"{name}: warnings {again.flags}, the record has {result.evaluation.flags}")
    worst = abs(then.robust_accuracy - now.robust_accuracy) * now.n_test
    if worst > slack + 0.5:
        found.append(f"worst case: {now.robust_accuracy:.4f}, the record has {then.robust_accuracy:.4f}")
    return found


def _record(path: Path) -> Benchmark:
    return read_model(path, Benchmark, "record of advntk.benchmark")


def _code(folder: Path) -> ModuleType:
    """The module of a submission."""
    path = folder / CODE
    spec = importlib.util.spec_from_file_location(f"advntk_submission_{folder.name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError("file not found", where=path, remedy="define model(), images_and_labels() and DATASET in it")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the code may raise anything
        raise InputError(f"{type(error).__name__}: {error}", where=path) from error
    return module


def _part(code: ModuleType, name: str, folder: Path) -> Any:
    if not hasattr(code, name):
        raise InputError(f"defines no {name}", where=folder / CODE, remedy=f"define {name}")
    return getattr(code, name)
