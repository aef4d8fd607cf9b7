"""The jobs behind a suite: what each Gram matrix, fit, attack, evaluation, sweep and transfer took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from advntk.foundation.architecture import Architecture
from advntk.foundation.records import Record
from advntk.telling.labels import attack_label
from advntk.telling.suite_file import Suite

RULES = ("gram", "fit", "train", "attack", "evaluate", "sweep", "transfer")
PARTS = ("solve_s", "attack_s", "gradient_s", "curves_s")
"""Parts into which the seconds of a job are divided."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One result and what it took.

    Attributes:
        rule: that made it.
        spec: the network; None for a transfer, which has many.
        method: empty for a Gram matrix and a transfer.
        attack: empty for Gram matrices and fits.
        wall_s: seconds of its processes. Parts of a Gram matrix and chunks of an attack are added up.
        peak_mb: largest memory of its process, MiB; None where it is not known.
        parts: those of ``PARTS`` that are known.
        images: that were attacked, of an attack or an evaluation that attacks.
    """

    rule: str
    dataset: str
    spec: Architecture | None = None
    method: str = ""
    attack: str = ""
    attack_label: str = ""
    wall_s: float
    peak_mb: float | None
    parts: Mapping[str, float] = field(default_factory=dict)
    images: int | None = None

    @property
    def network(self) -> str:
        """Label of the network; empty for a transfer."""
        return self.spec.label if self.spec else ""


def jobs(suite: Suite) -> list[Job]:
    """All jobs that were timed, in the order of the rules and, within each, of the configuration's lists."""
    config = suite.config
    networks = [spec.label for spec in config.specs()]

    def position(job: Job) -> tuple[int, ...]:
        def place(name: str, names: list[str]) -> int:
            return names.index(name) if name in names else len(names)

        where = (place(job.network, networks), place(job.method, config.methods), place(job.attack, config.attacks))
        return (config.datasets.index(job.dataset), RULES.index(job.rule), *where)

    return sorted([*_grams(suite), *_fits(suite), *_evaluations(suite), *_strength(suite)], key=position)


def _grams(suite: Suite) -> Iterator[Job]:
    datasets = {fit.split_hash: fit.dataset for fit in suite.fits}
    for gram in suite.grams:
        if timed(gram.timing):
            yield Job(
                rule="gram",
                dataset=datasets[gram.split_hash],
                spec=gram.architecture,
                wall_s=gram.timing["wall_s"] + gram.timing.get("parts_s", 0.0),
                peak_mb=gram.timing["peak_mb"],
            )


def _fits(suite: Suite) -> Iterator[Job]:
    for fit in suite.fits:
        if timed(fit.timing):
            yield Job(
                rule="fit" if fit.kind == "kernel" else "train",
                dataset=fit.dataset,
                spec=fit.architecture,
                method=fit.method,
                wall_s=fit.timing["wall_s"],
                peak_mb=fit.timing["peak_mb"],
                parts={name: fit.timing[name] for name in PARTS if name in fit.timing},
            )


def _evaluations(suite: Suite) -> Iterator[Job]:
    """Evaluations, and before them the attacks that jobs of their own ran, in chunks."""
    for item in suite.measured:
        record = item.record
        if not timed(record.timing):
            continue
        attack_s, wall_s, peak_mb = (record.timing[name] for name in ("attack_s", "wall_s", "peak_mb"))
        inside = record.attack.inside_threat_model
        cell: dict[str, Any] = {
            "dataset": record.dataset,
            "spec": record.architecture,
            "method": record.method,
            "attack": record.attack.name,
            "attack_label": attack_label(record.attack.name, inside_threat_model=inside),
        }
        attacked: dict[str, Any] = {"parts": {"attack_s": attack_s}, "images": _images(record)}
        if "chunks" in record.attack.options:
            yield Job(rule="attack", wall_s=attack_s, peak_mb=None, **cell, **attacked)
            yield Job(rule="evaluate", wall_s=wall_s, peak_mb=peak_mb, **cell)
        else:
            yield Job(rule="evaluate", wall_s=wall_s, peak_mb=peak_mb, **cell, **attacked)


def _strength(suite: Suite) -> Iterator[Job]:
    """Sweeps and transfers."""
    for sweep in suite.sweeps:
        if timed(sweep.timing):
            yield Job(
                rule="sweep",
                dataset=sweep.dataset,
                spec=sweep.architecture,
                method=sweep.method,
                attack=sweep.attack.name,
                attack_label=attack_label(sweep.attack.name, inside_threat_model=sweep.attack.inside_threat_model),
                wall_s=sweep.timing["wall_s"],
                peak_mb=sweep.timing["peak_mb"],
            )
    for transfer in suite.transfers:
        if timed(transfer.timing):
            inside = transfer.attack.inside_threat_model
            yield Job(
                rule="transfer",
                dataset=transfer.dataset,
                attack=transfer.attack.name,
                attack_label=attack_label(transfer.attack.name, inside_threat_model=inside),
                wall_s=transfer.timing["wall_s"],
                peak_mb=transfer.timing["peak_mb"],
            )


def timed(timing: Mapping[str, float]) -> bool:
    """Whether a result reports its cost."""
    return timing.keys() >= {"wall_s", "peak_mb"}


def _images(record: Record) -> int:
    """Images that were attacked: checkpoints of the same step are one predictor, evaluated once."""
    distinct = []
    for evaluation in record.evaluations.values():
        if evaluation not in distinct:
            distinct.append(evaluation)
    return sum(evaluation.n_test for evaluation in distinct)
