"""A fit's folder: ``fit.json`` (what it is), ``fit.npz`` (its arrays), ``curves.csv``; written, and read back."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from advntk.foundation import files
from advntk.foundation import provenance as made_by
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed, named_entries
from advntk.foundation.roots import behind
from advntk.foundation.threat import ThreatModel
from advntk.foundation.training_images import TrainingImages
from advntk.learning.method import Fit, Method, Task

CURVE_COLUMNS = ("step", "split", "clean_accuracy", "robust_accuracy", "robust_loss")


class FitFile(Closed):
    """Content of ``fit.json``; equal runs give equal files outside provenance and timing.

    Attributes:
        method: by the user's name.
        entry: the registry entry that it is; empty: of the same name.
        split: path of the split's manifest, relative to the fit's folder.
        images: which training images the predictor is made from.
        checkpoints: by name, the default one first.
        training: numbers about the training.
    """

    schema_version: Literal["advntk-fit-1"] = "advntk-fit-1"
    method: str
    entry: str = ""
    kind: Literal["kernel", "network"]
    dataset: str
    seed: int
    split: str
    split_hash: str
    images: TrainingImages = "opt"
    architecture: Architecture
    options: dict[str, Any]
    trained_at: ThreatModel | None
    checkpoints: dict[str, dict[str, float]]
    training: dict[str, Any]
    provenance: dict[str, Any]
    timing: dict[str, float]

    @property
    def registered(self) -> str:
        """Name of the registry entry."""
        return self.entry or self.method


def made_from(task: Task, entry: str, split_path: Path) -> dict[str, Any]:
    """What a fit will be made from, for its provenance; asked before the training (see ``provenance.sources``).

    Args:
        task: of the training; its Gram matrix is known by the digest in the JSON beside it.
        entry: registry entry of the method.
        split_path: of the split's manifest.

    Returns:
        Digests of code, data and Gram matrix, and where split and matrix lie beside the fit.
    """
    inputs, places = {}, {"split": os.path.relpath(split_path, task.workdir)}
    if task.gram is not None:
        facts = task.gram.with_suffix(".json")
        content = made_by.told_content(facts)
        inputs = {"gram": content} if content else {}
        places["gram"] = os.path.relpath(facts, task.workdir)
    named = sorted(named_entries(task.options))
    sources = made_by.sources(*behind(__name__, *named, method=entry, family=task.spec.family))
    return {"sources": sources, "data": task.split.data, "inputs": inputs, "places": places}


def write_fit(
    folder: Path,
    fit: Fit,
    *,
    name: str,
    entry: str = "",
    method: Method,
    task: Task,
    split_path: Path,
    provenance: dict[str, Any],
    timing: dict[str, float],
) -> None:
    """Write arrays, curves and last ``fit.json``, each atomically; then delete what was kept for resuming."""
    files.write_npz(folder / "fit.npz", fit.arrays)
    table = io.StringIO()
    writer = csv.DictWriter(table, CURVE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(fit.curves)
    files.write_text(folder / "curves.csv", table.getvalue())
    content = FitFile(
        method=name,
        entry=entry,
        kind=method.kind,
        dataset=task.split.dataset,
        seed=task.seed,
        split=os.path.relpath(split_path, folder),
        split_hash=task.split.hash,
        images=task.images,
        architecture=task.spec,
        options=task.options.model_dump(mode="json"),
        trained_at=task.threat if method.depends_on_radius else None,
        checkpoints=fit.checkpoints,
        training=fit.training,
        provenance={**provenance, "content": made_by.content_digest(fit.arrays)},
        timing={**timing, **fit.timing},
    )
    files.write_json(folder / "fit.json", content.model_dump(mode="json"))
    for state in fit.states:
        state.unlink(missing_ok=True)


def read_fit(folder: Path) -> tuple[FitFile, dict[str, np.ndarray]]:
    """What a fit is, and its arrays.

    Returns:
        Content of ``fit.json``, and the arrays by name.

    Raises:
        InputError: the folder holds no fit of this schema.
    """
    path = folder / "fit.json"
    try:
        content = FitFile.model_validate(files.read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            f"not a fit ({'.'.join(map(str, first['loc']))}: {first['msg']})", where=path, remedy="fit again"
        ) from error
    return content, files.read_npz(folder / "fit.npz")
