"""Export of results in the field names of RobustBench's model files, with what it takes to check them beside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from advntk.foundation import files, paths
from advntk.foundation.architecture import Architecture
from advntk.foundation.options import Closed
from advntk.foundation.records import Record, Stage
from advntk.foundation.statistics import wilson
from advntk.foundation.threat import Norm, ThreatModel
from advntk.telling.contents import Measured, Suite
from advntk.telling.labels import method_label

AUTOATTACK = "autoattack"
"""Kind of attack whose accuracy RobustBench ranks by."""
_LINK = "https://arxiv.org/abs/2310.06112"
_NOT_RUN = "AutoAttack was not run"
_HARDWARE = ("python", "platform", "processor", "device", "threads", "finished")  # on what, not on whose machine

Percent = Annotated[str, Field(pattern=r"^\d{1,3}\.\d{2}$")]
Interval = tuple[float, float]


class AttackResult(Closed):
    """One attack on the predictor."""

    name: str = Field(description="its name in the suite")
    kind: str = Field(description="its name in the registry of attacks")
    options: dict[str, Any] = Field(description="its settings")
    seed: int = Field(description="its seed")
    inside_threat_model: bool = Field(description="whether its images are promised to stay within eps")
    robust_acc: Percent = Field(description="percent of images classified correctly, clean and attacked")
    interval: Interval = Field(description="95% Wilson interval of robust_acc, fractions")
    stages: list[Stage] = Field(description="of an attack made of several, what each of them broke")
    health: dict[str, float] = Field(description="measurements behind the flags")
    flags: list[str] = Field(description="warnings about this evaluation")
    code: str = Field(description="digest of all sources of the package that ran")
    sources: dict[str, str] = Field(description="digests of those that made this, by module; empty: not known")
    environment: str = Field(description="digest of Python and all installed distributions; empty: not known")
    data: str = Field(description="digest of the prepared dataset; empty: not known")
    versions: dict[str, str] = Field(description="of the libraries that ran")
    hardware: dict[str, Any] = Field(description="processor, device, threads, system, time of the end")
    timing: dict[str, float] = Field(description="wall time in s and peak memory in MiB")


class Measurement(Closed):
    """What this suite knows beyond RobustBench's fields."""

    suite: str = Field(description="name of the suite")
    method: str = Field(description="training method, by its name in the registry")
    kind: Literal["kernel", "network"] = Field(description="infinitely wide (kernel) or finite (network)")
    checkpoint: str = Field(description="which of the fit's checkpoints")
    method_options: dict[str, Any] = Field(description="settings of the training")
    architecture: Architecture = Field(description="the network in full")
    norm: Norm = Field(description="norm of the threat model")
    eps255: float = Field(description="radius of the threat model in 1/255")
    trained_at: ThreatModel | None = Field(description="threat model trained for; null: none")
    seed: int = Field(description="of the split, the training and the attacks")
    n_opt: int = Field(description="images of opt, which build kernels")
    n_val: int = Field(description="images that choose rates, times and checkpoints")
    n_train: int = Field(description="training images: opt, or opt and val")
    label_noise: float = Field(description="share of the opt images whose label is wrong")
    n_test: int = Field(description="images evaluated")
    split_hash: str = Field(description="of the split's indices, pixels and labels")
    clean_interval: Interval = Field(description="95% Wilson interval of the clean accuracy, fractions")
    worst_case_interval: Interval | None = Field(description="the same of `reported`; null without such attacks")
    attacks: list[AttackResult] = Field(description="every attack of the suite on this predictor")


class RobustBenchEntry(Closed):
    """One predictor under one threat model, in the field names of RobustBench's model_info files."""

    link: str = Field(description="paper of the methods")
    name: str = Field(description="what is ranked: method and checkpoint")
    authors: str = Field(description="empty, as in RobustBench's own models: nobody submitted it")
    additional_data: bool = Field(description="whether more than the dataset was trained on: never here")
    number_forward_passes: int = Field(description="forward passes a prediction: one")
    dataset: str = Field(description="dataset; only a part of it is evaluated, see n_test")
    venue: str = Field(description="N/A: not published")
    architecture: str = Field(description="network, with its width or as infinitely wide")
    eps: str = Field(description="radius: N/255 in linf, on the scale of [0, 1] in l2 and l1")
    clean_acc: Percent = Field(description="clean accuracy, percent")
    reported: Percent | None = Field(
        description="robust accuracy, percent, image by image the worst case over all attacks of the suite inside the "
        "threat model; null without such attacks"
    )
    autoattack_acc: Percent | None = Field(description="robust accuracy under AutoAttack, percent; null: not run")
    footnote: str | None = Field(
        description="warnings about AutoAttack's evaluation; where it was not run, that, and the warnings about "
        "each attack behind `reported` after its name; and whether results of different code or data are mixed; "
        "null: none"
    )
    unreliable: bool | None = Field(
        description="whether AutoAttack's evaluation carries a flag; null: AutoAttack was not run, nothing is known"
    )
    advntk: Measurement = Field(description="how this was measured")


def schema() -> dict[str, Any]:
    """JSON schema of an exported file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **RobustBenchEntry.model_json_schema()}


def export(suite: Suite, out_dir: str | Path) -> list[Path]:
    """Write one JSON file a predictor and radius, whose paths are given, and ``schema.json`` into a folder."""
    written = {Path(out_dir, name): entry for name, entry in entries(suite)}
    for path, entry in written.items():
        files.write_json(path, entry.model_dump(mode="json"))
    files.write_json(Path(out_dir, "schema.json"), schema())
    return list(written)


def entries(suite: Suite) -> Iterator[tuple[str, RobustBenchEntry]]:
    """File name and content for each dataset × architecture × method × checkpoint × radius × seed."""
    groups: dict[tuple[str, str, str, float, int], list[Measured]] = {}
    for item in suite.measured:
        record = item.record
        cell = (record.dataset, record.architecture.label, record.method, record.threat.eps255, record.seed)
        groups.setdefault(cell, []).append(item)
    for (dataset, label, method, eps255, seed), group in groups.items():
        for checkpoint in group[0].record.evaluations:
            end = f"eps{paths.radius_name(eps255)}_seed{seed}"
            yield f"{dataset}_{label}_{method}_{checkpoint}_{end}.json", _entry(suite, group, checkpoint)


def _entry(suite: Suite, group: list[Measured], checkpoint: str) -> RobustBenchEntry:
    """One predictor from its records, one an attack."""
    record = group[0].record
    evaluation = record.evaluations[checkpoint]
    automatic = [item.record for item in group if item.record.attack.kind == AUTOATTACK]
    # the suite may run it with several settings: the strongest counts
    strongest = min(automatic, key=lambda run: run.evaluations[checkpoint].robust_correct, default=None)
    judged = strongest.evaluations[checkpoint] if strongest else None
    inside = [item for item in group if item.record.attack.inside_threat_model]
    worst = int(np.logical_and.reduce([item.robust[checkpoint] for item in inside]).sum()) if inside else None
    named = [f"{one.record.attack.name}: {flag}" for one in inside for flag in one.record.evaluations[checkpoint].flags]
    doubts = judged.flags if judged else [_NOT_RUN, *named]
    width = "infinitely wide" if record.kind == "kernel" else f"width {record.architecture.width}"
    return RobustBenchEntry(
        link=_LINK,
        name=method_label(record.method, checkpoint),
        authors="",
        additional_data=False,
        number_forward_passes=1,
        dataset=record.dataset,
        venue="N/A",
        architecture=f"{record.architecture.label}, {width}",
        eps=_radius(record.threat),
        clean_acc=_percent(evaluation.clean_correct, evaluation.n_test),
        reported=None if worst is None else _percent(worst, evaluation.n_test),
        autoattack_acc=_percent(judged.robust_correct, judged.n_test) if judged else None,
        footnote="; ".join([*doubts, *suite.notes]) or None,
        unreliable=bool(judged.flags) if judged else None,
        advntk=Measurement(
            suite=suite.config.suite,
            checkpoint=checkpoint,
            norm=record.threat.norm,
            eps255=record.threat.eps255,
            n_test=evaluation.n_test,
            clean_interval=evaluation.clean_interval,
            worst_case_interval=None if worst is None else wilson(worst, evaluation.n_test),
            attacks=[_attack(item.record, checkpoint) for item in group],
            **{name: getattr(record, name) for name in Measurement.model_fields if hasattr(record, name)},
        ),
    )


def _attack(record: Record, checkpoint: str) -> AttackResult:
    """One record's part."""
    evaluation = record.evaluations[checkpoint]
    made = record.provenance
    return AttackResult(
        **record.attack.model_dump(),
        robust_acc=_percent(evaluation.robust_correct, evaluation.n_test),
        interval=evaluation.robust_interval,
        stages=evaluation.stages,
        health=evaluation.health,
        flags=evaluation.flags,
        code=str(made.get("code", "")),
        sources=made.get("sources", {}),
        environment=made.get("environment", ""),
        data=made.get("data", ""),
        versions=made.get("versions", {}),
        hardware={key: made[key] for key in _HARDWARE if key in made},
        timing=record.timing,
    )


def _radius(threat: ThreatModel) -> str:
    """The radius as RobustBench writes it."""
    return f"{threat.eps255:g}/255" if threat.norm == "linf" else f"{threat.radius:.4g}"


def _percent(correct: int, total: int) -> str:
    """``73.71``."""
    return f"{100 * correct / total:.2f}"
