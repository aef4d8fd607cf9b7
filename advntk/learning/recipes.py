"""Choosing the recipe of adversarial training on val, and checking that it has converged."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from advntk.foundation import files, provenance, registry
from advntk.foundation.at_options import AdversarialTrainingOptions, Candidate
from advntk.foundation.errors import ConfigError, InputError, NumericalError
from advntk.foundation.options import Compute, named_entries, validated
from advntk.foundation.recipes import Check, Choice, Row, Tried
from advntk.foundation.roots import behind
from advntk.learning.adversarial_training import (
    STATE_FILE,
    AdversarialTrainingResult,
    TrainingData,
    adversarial_training,
    to_stderr,
)
from advntk.learning.fits import read_fit
from advntk.learning.loading import split_of
from advntk.learning.method import METHODS, NETWORK_CURVE_IMAGES, Method, Task


def train(
    task: Task, options: AdversarialTrainingOptions, workdir: Path, *, curves: bool = True
) -> AdversarialTrainingResult:
    """Train on the task's images under some options.

    Args:
        task: what to train, and on what.
        options: of training.
        workdir: where the state lies while training runs.
        curves: measure parts of the training and test images at each report too, not only all of val. They choose
            nothing.

    Returns:
        Checkpoints and curves.
    """
    split = task.split
    monitors = {"val": split.val}
    if curves:
        train_part, test_part = (part.first(NETWORK_CURVE_IMAGES) for part in (task.training, split.test))
        monitors = {"train": train_part, **monitors, "test": test_part}
        monitors = {name: part for name, part in monitors.items() if len(part)}
    return adversarial_training(
        spec=task.spec,
        data=TrainingData(images=task.training.images, labels=task.training.labels, classes=split.classes),
        monitors={name: (part.images, part.labels) for name, part in monitors.items()},
        options=options,
        threat=task.threat,
        seed=task.seed,
        workdir=workdir,
        device=task.compute.device,
    )


def search(task: Task, out: Path, *, method: str, entry: str, split_path: Path, threads: int) -> Choice:
    """Train every candidate for a share of the updates; choose the one whose best checkpoint is most robust on val.

    Of equally robust candidates the one with the lowest robust loss is chosen. A candidate whose training diverges
    counts as not robust at all.

    Args:
        task: of seed 0; val is held out whatever the protocol.
        out: file of the result; states from which a killed search resumes lie beside it until it is written.
        method: name of the method in tables.
        entry: its registry entry.
        split_path: of the split's manifest, for provenance.
        threads: for provenance.

    Returns:
        The choice.

    Raises:
        ConfigError: there are no candidates.
        NumericalError: the training of every candidate diverged.
    """
    start, task = time.perf_counter(), replace(task, images="opt")
    options: AdversarialTrainingOptions = task.options
    if not options.search:
        raise ConfigError("there are no candidates", where="search", remedy="list some in the option 'search'")
    sources = _sources(entry, task)
    tried = []
    for index, (candidate, changed) in enumerate(zip(options.search, options.candidates(), strict=True)):
        to_stderr(f"candidate {index + 1} of {len(options.search)}: {candidate.changes()}")
        tried.append(_try(task, candidate, changed.scaled(options.search_share), _workdir(out, index)))
    scores = [(one.robust_accuracy, -one.robust_loss) for one in tried if one.robust_loss is not None]
    if not scores:
        raise NumericalError(
            f"the training of all {len(tried)} candidates diverged", where="search", remedy="add lower learning rates"
        )
    best = max(scores)
    chosen = [one.robust_loss is not None and (one.robust_accuracy, -one.robust_loss) == best for one in tried]
    found = Choice(
        **_about(task, method),
        steps=options.scaled(options.search_share).steps,
        tried=tried,
        chosen=chosen.index(True),
        provenance=provenance.environment(
            task.compute.device,
            threads,
            sources=sources,
            data=task.split.data,
            places={"split": os.path.relpath(split_path, out.parent)},
        ),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )
    _write(out, found)
    return found


def _try(task: Task, candidate: Candidate, options: AdversarialTrainingOptions, workdir: Path) -> Tried:
    """Train one candidate; its best checkpoint on val."""
    try:
        result = train(task, options, workdir, curves=False)
    except NumericalError as error:
        to_stderr(error.line())
        return Tried(changes=candidate.changes(), step=None, clean_accuracy=0.0, robust_accuracy=0.0, robust_loss=None)
    step = result.checkpoints["best_val"].step
    row = next(row for row in _of_val(result.rows) if row["step"] == step)
    values = {name: float(row[name]) for name in ("clean_accuracy", "robust_accuracy", "robust_loss")}
    return Tried(changes=candidate.changes(), step=step, **values)


def check(folder: Path, out: Path, *, compute: Compute, threads: int) -> Check:
    """Train the recipe of a fit with twice the updates.

    Val is held out. For a fit that was trained on val too, the recipe is first trained once without it.

    Args:
        folder: of the fit.
        out: file of the result; states from which a killed check resumes lie beside it until it is written.
        compute: device.
        threads: for provenance.

    Returns:
        The check.

    Raises:
        ConfigError: the fit is not of a network method.
    """
    start = time.perf_counter()
    content, arrays = read_fit(folder)
    entry: Method = registry.get(METHODS, content.registered)
    if content.kind != "network" or content.trained_at is None:
        raise ConfigError(f"'{content.method}' trains no network", where=folder, remedy="check fits of at")
    split = split_of(folder, content)
    task = Task(
        split=split,
        spec=content.architecture,
        threat=content.trained_at,
        options=validated(entry.options, content.options, content.method),
        seed=content.seed,
        compute=compute,
        gram=None,
        workdir=out.parent,
    )
    sources = _sources(content.registered, task)
    if content.images == "opt":
        once = _read_curve(folder / "curves.csv")
    else:
        to_stderr("the recipe with val held out")
        once = train(task, task.options, _workdir(out, 0), curves=False).rows
    to_stderr("the recipe with twice the updates")
    twice = train(task, task.options.scaled(2), _workdir(out, 1), curves=False).rows
    found = Check(
        **_about(task, content.method),
        once=_of_val(once),
        twice=_of_val(twice),
        provenance=provenance.environment(
            compute.device,
            threads,
            sources=sources,
            data=split.data,
            inputs={"fit": provenance.content_digest(arrays)},
            places={"fit": os.path.relpath(folder / "fit.json", out.parent)},
        ),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )
    _write(out, found)
    return found


def _read_curve(path: Path) -> list[Row]:
    """The rows of a fit's curve."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            return [
                {name: text if name == "split" else float(text) for name, text in row.items()}
                | {"step": int(row["step"])}
                for row in csv.DictReader(handle)
            ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"not a readable curve ({error})", where=path, remedy="train again") from error


def _of_val(rows: list[Row]) -> list[Row]:
    """The rows of a curve that are about val."""
    return [row for row in rows if row["split"] == "val"]


def _sources(entry: str, task: Task) -> Mapping[str, str]:
    """Digests of the code behind a training, asked before it begins."""
    named = sorted(named_entries(task.options))
    return provenance.sources(*behind(__name__, *named, method=entry, family=task.spec.family))


def _workdir(out: Path, index: int) -> Path:
    """Where the state of one of several trainings lies."""
    return out.parent / f".{out.stem}.{index}"


def _write(out: Path, found: Choice | Check) -> None:
    """Write a result, then delete the states of its trainings."""
    files.write_json(out, found.model_dump(mode="json"))
    for folder in out.parent.glob(f".{out.stem}.*/"):
        for state in folder.glob(f"*{STATE_FILE}"):
            state.unlink()
        folder.rmdir()


def _about(task: Task, method: str) -> dict[str, Any]:
    """Which recipe a result is about."""
    return {
        "dataset": task.split.dataset,
        "architecture": task.spec,
        "method": method,
        "trained_at": task.threat,
        "seed": task.seed,
        "split_hash": task.split.hash,
        "n_val": len(task.split.val),
    }
