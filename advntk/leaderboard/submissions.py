"""Submissions to the leaderboard: how they are read, and measured again."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from advntk.foundation import files, registry
from advntk.foundation.errors import AdvntkError, InputError
from advntk.foundation.options import Closed
from advntk.foundation.provenance import public
from advntk.foundation.records import Evaluation, read_model
from advntk.foundation.statistics import wilson
from advntk.measuring.benchmark import Benchmark, benchmark

RECORD, CODE = "record.json", "submission.py"
SLACK = 1
"""Images by which a count may differ where a record is measured again, on another machine."""
_SETTINGS = {"batch", "classes", "device", "layout"}
"""Arguments of ``advntk.benchmark`` that a submission may set: all others are the record's."""
_LETTERS = 80
"""Of a file's name on a board, at most."""


class Listed(Closed):
    """A submission on a board.

    Attributes:
        dataset: that the test images are of.
        verified: whether it was measured again with the submitted model.
        record: of the benchmark: the second one where it was measured again.
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
        InputError: it has no name of its own on this board, or is of an attack outside the threat model.
    """
    name = re.sub(r"[^a-z0-9]+", "-", one.record.name.lower()).strip("-")[:_LETTERS]
    if not name:
        raise InputError("the record's name has no letter or digit", where=board, remedy="give benchmark a name")
    dataset = re.sub(r"[^a-z0-9]+", "-", one.dataset.lower()).strip("-")[:_LETTERS]
    for attack, result in one.record.attacks.items():
        if not result.attack.inside_threat_model:
            what = f"attack '{attack}' may leave the threat model"
            raise InputError(what, where=one.record.name, remedy="benchmark the model under other attacks")
    path = board / f"{dataset}-{name}.json".removeprefix("-")
    if path.exists():
        other = read_model(path, Listed, "submission")
        if (other.dataset, other.record.name) != (one.dataset, one.record.name):
            what = f"'{other.record.name}' on '{other.dataset}' has this file, '{one.record.name}' would have the same"
            raise InputError(what, where=path, remedy="give benchmark another name")
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
        dataset, then, record = _measured_again(path)
        if problems := _differences(then, record, SLACK):
            raise InputError("; ".join(problems), where=path, remedy="run the benchmark again, and send its record")
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
        What differs, one a line. (A folder without a submission, or whose code fails, raises ``InputError``.)
    """
    _, then, now = _measured_again(folder)
    return _differences(then, now, slack)


def _measured_again(folder: Path) -> tuple[str, Benchmark, Benchmark]:
    """The dataset of a submission, its record, and what its benchmark finds now."""
    record, code = _record(folder / RECORD), _code(folder)
    given = getattr(code, "SETTINGS", {})
    if not isinstance(given, dict) or not given.keys() <= _SETTINGS:
        raise InputError(
            f"SETTINGS {given!r}", where=folder / CODE, remedy=f"give {', '.join(sorted(_SETTINGS))} alone"
        )
    attacks = {name: {"kind": one.attack.kind, **one.attack.options} for name, one in record.attacks.items()}
    settings: dict[str, Any] = {"eps255": record.threat.eps255, "norm": record.threat.norm, "name": record.name}
    settings |= {"seed": next(iter(record.attacks.values())).attack.seed, "attacks": attacks, **given}
    parts = ("DATASET", "model", "images_and_labels")
    dataset, model, images_and_labels = (_part(code, name, folder) for name in parts)
    if not isinstance(dataset, str) or not dataset:
        raise InputError(f"DATASET {dataset!r}", where=folder / CODE, remedy="give the dataset's name")
    try:
        images, labels = images_and_labels()
        return dataset, record, benchmark(model(), images, labels, **settings)
    except AdvntkError:
        raise
    except (Exception, SystemExit) as error:  # the code may raise anything
        raise InputError(f"{type(error).__name__}: {error}", where=folder / CODE) from error


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
    if now.flags != then.flags:
        found.append(f"warnings {now.flags}, the record has {then.flags}")
    worst = abs(then.robust_accuracy - now.robust_accuracy) * now.n_test
    if worst > slack + 0.5:
        found.append(f"worst case: {now.robust_accuracy:.4f}, the record has {then.robust_accuracy:.4f}")
    return found


def _record(path: Path) -> Benchmark:
    """A record whose numbers fit one another."""
    record = read_model(path, Benchmark, "record of advntk.benchmark")
    if problem := next(_contradictions(record), None):
        raise InputError(problem, where=path, remedy="send the record as advntk.benchmark writes it")
    return record


def _contradictions(record: Benchmark) -> Iterator[str]:
    """What no benchmark writes."""
    if not record.attacks:
        yield "the record has no attack"
        return
    for name, result in record.attacks.items():
        kind, one = result.attack.kind, result.evaluation
        if name != result.attack.name or (name in registry.names(registry.ATTACKS) and name != kind):
            yield f"attack '{name}' is '{result.attack.name}' of kind '{kind}'"
        if not 0 <= one.robust_correct <= one.clean_correct <= one.n_test == record.n_test or one.n_test == 0:
            yield f"{name}: {one.robust_correct} robust of {one.clean_correct} correct of {one.n_test} images"
            return
        yield from _wrong_shares(name, one, clean=one.clean_correct, robust=one.robust_correct)
    fewest = min(result.evaluation.robust_correct for result in record.attacks.values())
    robust = round(record.robust_accuracy * record.n_test)
    if not 0 <= robust <= fewest:
        yield f"worst case: {robust} robust images, an attack left {fewest}"
        return
    first = next(iter(record.attacks.values())).evaluation
    yield from _wrong_shares("worst case", record, clean=first.clean_correct, robust=robust)


def _wrong_shares(name: str, one: Benchmark | Evaluation, *, clean: int, robust: int) -> Iterator[str]:
    """Accuracies and intervals that are not those of the counts."""
    for what, count in (("clean", clean), ("robust", robust)):
        share, interval = getattr(one, f"{what}_accuracy"), getattr(one, f"{what}_interval")
        if not np.allclose([share, *interval], [count / one.n_test, *wilson(count, one.n_test)], atol=1e-9):
            yield f"{name}: {what} accuracy {share:g} {[*interval]}, {count} of {one.n_test} images"


def _code(folder: Path) -> ModuleType:
    """The module of a submission."""
    path = folder / CODE
    spec = importlib.util.spec_from_file_location(f"advntk_submission_{folder.name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError("file not found", where=path, remedy="define model(), images_and_labels() and DATASET in it")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the code may raise anything
        raise InputError(f"{type(error).__name__}: {error}", where=path) from error
    return module


def _part(code: ModuleType, name: str, folder: Path) -> Any:
    if not hasattr(code, name):
        raise InputError(f"defines no {name}", where=folder / CODE, remedy=f"define {name}")
    return getattr(code, name)
