"""The leaderboard: what published suites, the zoo and submissions withstand, as one page.

A submission is a folder with ``record.json``, as ``advntk.benchmark`` writes it, and ``submission.py``, which gives the
model and its test images, so that the record can be measured again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from advntk import zoo
from advntk.foundation.records import Evaluation
from advntk.foundation.threat import ThreatModel
from advntk.leaderboard.submissions import listed
from advntk.telling import webpage
from advntk.telling.frames import CLEAN, ROBUST, results
from advntk.telling.kinds.certificates import certified
from advntk.telling.labels import NORMS, method_label
from advntk.telling.publishing.publish import read_reference
from advntk.telling.suite_file import read_suite

_PROOF = ["dataset", "network", "method", "checkpoint", "eps255", "attack"]
"""What a certified share is of, and the attack that it stands beside."""
WORST = "all of its attacks"
"""Stands for the attack where an image counts as robust if no attack of a submission breaks it."""


def build(out: Path, *, board: Path, reference: Path, zoo_folder: Path = zoo.ZOO) -> int:
    """Write the page.

    Args:
        out: html to write, with all that it needs in it.
        board: folder of submissions; there need not be one.
        reference: folder of published suites.
        zoo_folder: of the zoo.

    Returns:
        Number of its rows. (Files that are not as they were published raise ``InputError``.)
    """
    here = out.absolute().parent
    found = [
        row | {"record": webpage.link("record", os.path.relpath(row["record"].absolute(), here))}
        for rows in (_of_suites(reference), _of_zoo(zoo_folder), _of_submissions(board))
        for row in rows
    ]
    frame = pd.DataFrame(found).dropna(axis=1, how="all")  # nothing may be certified
    datasets, sources = frame["dataset"].nunique(), frame["source"].nunique()
    lead = [
        f"{len(frame)} measurements of robust accuracy on {datasets} datasets, from {sources} sources.",
        "Each is an upper bound: an attack may miss a perturbation. Compare rows of one dataset, threat model and "
        "attack. A model with a warning may be less robust than it looks.",
    ]
    table = webpage.sortable(frame, name="leaderboard", order=[("robust %", "desc")])
    sections = [webpage.Section(title="All results", parts=[table])]
    if outdated := [f"Suite {name}: {why}" for name, why in read_reference(reference).outdated.items()]:
        sections.append(webpage.Section(title="Outdated", parts=[webpage.paragraphs(*outdated)]))
    webpage.write_page(out, title="Leaderboard", lead=lead, sections=sections)
    return len(frame)


def _row(
    *,
    dataset: str,
    threat: ThreatModel,
    model: str,
    attack: str,
    clean: float,
    robust: Sequence[float],
    images: int,
    warnings: Sequence[str],
    source: str,
    record: Path,
    proven: float | None = None,
) -> dict[str, Any]:
    """A line of the page; accuracies are fractions, ``robust`` with the ends of its interval, ``proven`` certified."""
    value, low, high = (round(100 * share, 1) for share in robust)
    return {
        "dataset": dataset,
        "threat model": f"{NORMS[threat.norm]} {threat.eps255:g}/255",
        "model": model,
        "attack": attack,
        "clean %": round(100 * clean, 1),
        "robust %": value,
        "95% interval": f"{low:.1f} to {high:.1f}",
        "certified %": None if proven is None else round(100 * proven, 1),
        "source": source,
        "record": record,
        "warnings": "; ".join(warnings),
        "images": images,
    }


def _of_suites(reference: Path) -> Iterator[dict[str, Any]]:
    """Published suites, means over their seeds; attacks that may leave the threat model are not compared."""
    listing = read_reference(reference)
    for name in listing.published:
        suite = read_suite(reference / name / "suite.json")
        outdated = ["outdated, see below"] if name in listing.outdated else []
        proofs = certified(suite).set_index(_PROOF)["certified_mean"].to_dict()
        for row in results(suite).to_dict("records"):
            if row["attack_label"] != row["attack"]:
                continue
            yield _row(
                dataset=row["dataset"],
                threat=ThreatModel(norm=suite.config.norm, eps255=row["eps255"]),
                model=f"{method_label(row['method'], row['checkpoint'])}, {row['network']}",
                attack=row["attack"],
                clean=row[CLEAN[0]],
                robust=[row[key] for key in ROBUST],
                images=row["n_test"],
                warnings=[*outdated, *row["flags"]],
                source=f"suite {name}",
                record=reference / name / f"records-{row['dataset']}-{row['network']}.json",
                proven=proofs.get(tuple(row[key] for key in _PROOF)),
            )


def _of_zoo(folder: Path) -> Iterator[dict[str, Any]]:
    """Predictors of the zoo at their first checkpoint, which ``advntk.load`` gives."""
    for entry in zoo.entries(folder):
        for path, record in zoo.records_of(entry, folder).items():
            checkpoint, evaluation = next(iter(record.evaluations.items()))
            yield _measured(
                evaluation,
                dataset=record.dataset,
                threat=record.threat,
                model=f"{method_label(record.method, checkpoint)}, {record.architecture.label}",
                attack=record.attack.name,
                source="zoo",
                record=folder / path,
            )


def _of_submissions(board: Path) -> Iterator[dict[str, Any]]:
    """Each attack of a submission, and all of them together."""
    for path, one in listed(board):
        record = one.record
        source = "submission, measured again" if one.verified else "submission, as sent"
        shared: dict[str, Any] = {"dataset": one.dataset, "threat": record.threat, "model": record.name}
        shared |= {"source": source, "record": path}
        for name, result in record.attacks.items():
            yield _measured(result.evaluation, attack=name, **shared)
        yield _row(
            attack=WORST,
            clean=record.clean_accuracy,
            robust=[record.robust_accuracy, *record.robust_interval],
            images=record.n_test,
            warnings=record.flags,
            **shared,
        )


def _measured(evaluation: Evaluation, **shared: Any) -> dict[str, Any]:
    """A line of one evaluation."""
    return _row(
        clean=evaluation.clean_accuracy,
        robust=[evaluation.robust_accuracy, *evaluation.robust_interval],
        images=evaluation.n_test,
        warnings=evaluation.flags,
        **shared,
    )
