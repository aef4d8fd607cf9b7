"""The suite file: the only list of what belongs to a suite; no folder is ever searched.

There are two kinds: ``results/<suite>/suite.json`` of a suite that ran here, whose paths are relative to the working
directory, and ``suite.json`` of a published one, which has all its parts beside it (:mod:`advntk.telling.packed`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from advntk.foundation import files
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding, read_finding
from advntk.foundation.options import Closed, validated
from advntk.foundation.recipes import Check, read_check
from advntk.foundation.records import Record, read_record
from advntk.foundation.strength import Sweep, Transfer, read_sweep, read_transfer
from advntk.foundation.threat import ThreatModel
from advntk.telling import packed
from advntk.telling.curves import Curve, CurveFile, read_curve
from advntk.telling.facts import FitFacts, GramFacts, SplitFacts, overlap_notes, read_fit, read_gram, read_split_facts
from advntk.telling.mixing import Made, mixes, note, refuse

SCHEMA = "advntk-suite-3"
_REMAKE = "delete it and run the rules that make it again"
_KINDS = ("fits", "grams", "checks", "sweeps", "transfers", "findings")
_AGAIN = "run the suite to its end, then make its suite file again"


class _Listing(Closed):
    """The suite file's content, without its schema's name."""

    root: str
    config: SuiteConfig
    splits: list[str]
    records: list[str]
    fits: list[str]
    grams: list[str]
    checks: list[str] = Field(default_factory=list)
    curves: list[CurveFile]
    sweeps: list[str]
    transfers: list[str]
    findings: list[str] = Field(default_factory=list)


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
        splits: of each dataset and seed.
        fits: each once, whatever radii and attacks it was evaluated under.
        grams: of the kernel methods, each once.
        checks: convergence checks of the recipes of networks.
        command: what made the suite, where it is a published one.
        notes: what every table and figure must say: that training labels are wrong, that test images were trained on,
            that results of different code or data are mixed.
    """

    config: SuiteConfig
    measured: tuple[Measured, ...]
    curves: tuple[Curve, ...]
    splits: tuple[SplitFacts, ...] = ()
    fits: tuple[FitFacts, ...] = ()
    grams: tuple[GramFacts, ...] = ()
    checks: tuple[Check, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    findings: tuple[Finding, ...] = ()
    command: str = ""
    notes: tuple[str, ...] = ()


def read_suite(path: str | Path, *, allow_mixed: bool = False) -> Suite:
    """Read a suite file and all that it lists.

    Args:
        path: ``suite.json``, of a suite that ran here or of a published one.
        allow_mixed: take results of different code or data too; a note then says so.

    Returns:
        The suite. (A missing or unreadable file, one that does not belong, and a mix that is not allowed raise
        ``InputError``.)

    Raises:
        InputError: not a suite file.
    """
    content = files.read_json(path)
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema == packed.SCHEMA:
        suite = _published(packed.read_packed(Path(path), content))
        places = {kind: _entries(f"{Path(path).parent}/{kind}.json", getattr(suite, kind)) for kind in _KINDS}
    elif schema == SCHEMA:
        listing = validated(_Listing, {key: content[key] for key in content if key != "schema"}, str(path))
        suite, places = _live(listing), {kind: getattr(listing, kind) for kind in _KINDS}
    else:
        older = isinstance(schema, str) and schema.startswith(packed.PUBLISHED)
        what = f"not a suite file of schema {SCHEMA} or {packed.SCHEMA}, but of {schema}"
        raise InputError(what, where=path, remedy="publish the suite again from its results" if older else _REMAKE)
    for item in suite.measured:
        _require_in_config(item, suite.config)
    _require_unmixed(suite.measured)
    _require_complete(suite.measured, suite.config)
    _require_complete_curves(suite.curves, suite.config, str(path))
    _require_fits(suite, str(path))
    found = mixes(_made(suite, places))
    if not allow_mixed:
        refuse(found)
    notes = (*_noise(suite.measured), *overlap_notes(suite.splits), *([note(found)] if found else []))
    return replace(suite, notes=notes)


def _noise(measured: Sequence[Measured]) -> list[str]:
    """A note for each dataset with wrong labels."""
    shares = {item.record.dataset: item.record.label_noise for item in measured if item.record.label_noise > 0}
    return [f"{share:.0%} of the training labels of {dataset} (opt) are wrong." for dataset, share in shares.items()]


def _live(listing: _Listing) -> Suite:
    """A suite from the files that its suite file lists."""
    splits = [read_split_facts(place) for place in listing.splits]
    tested = _tested(splits)
    return Suite(
        config=listing.config,
        splits=tuple(splits),
        measured=tuple(_read_measured(record, tested) for record in listing.records),
        fits=tuple(read_fit(place) for place in listing.fits),
        grams=tuple(read_gram(place) for place in listing.grams),
        checks=tuple(read_check(place) for place in listing.checks),
        curves=tuple(read_curve(curve) for curve in listing.curves),
        sweeps=tuple(read_sweep(place) for place in listing.sweeps),
        transfers=tuple(read_transfer(place) for place in listing.transfers),
        findings=tuple(read_finding(place) for place in listing.findings),
    )


def _published(parts: packed.Packed) -> Suite:
    """A suite from the parts of a published one."""
    tested = _tested(parts.splits)
    return Suite(
        config=parts.config,
        splits=tuple(parts.splits),
        measured=tuple(_measured(where, record, found, where, tested) for where, record, found in parts.records),
        fits=tuple(parts.fits),
        grams=tuple(parts.grams),
        checks=tuple(parts.checks),
        curves=tuple(parts.curves),
        sweeps=tuple(parts.sweeps),
        transfers=tuple(parts.transfers),
        findings=tuple(parts.findings),
        command=parts.command,
    )


def _entries(file: str, results: Sequence[Any]) -> list[str]:
    """Where results stand in one file of a published suite."""
    return [f"{file}, entry {line}" for line in range(1, len(results) + 1)]


def _made(suite: Suite, places: Mapping[str, Sequence[str]]) -> list[Made]:
    """What each result of a suite is made from.

    Args:
        suite: as read.
        places: files of its fits, Gram matrices, sweeps and transfers, in its order.

    Returns:
        One for each result.
    """
    made = [
        Made(
            where=item.path,
            dataset=item.record.dataset,
            provenance=item.record.provenance,
            of={"fit": [_fit_of(item.record)]},
        )
        for item in suite.measured
    ]
    of: Mapping[str, Sequence[Hashable]]
    for where, fit in zip(places["fits"], suite.fits, strict=True):
        of = {"gram": [(fit.split_hash, fit.architecture.label)]}
        made.append(Made(where=where, dataset=fit.dataset, provenance=fit.provenance, name=_fit_of(fit), of=of))
    for where, found in zip(places["grams"], suite.grams, strict=True):
        name = (found.split_hash, found.architecture.label)
        made.append(Made(where=where, dataset="", provenance=found.provenance, name=name))
    for where, check in zip(places["checks"], suite.checks, strict=True):
        of = {"fit": [_fit_of(check)]}
        made.append(Made(where=where, dataset=check.dataset, provenance=check.provenance, of=of))
    for where, sweep in zip(places["sweeps"], suite.sweeps, strict=True):
        of = {"fit": [_fit_of(sweep)]}
        made.append(Made(where=where, dataset=sweep.dataset, provenance=sweep.provenance, of=of))
    for where, shown in zip(places["transfers"], suite.transfers, strict=True):
        of = {"fits": _fits_of(shown, suite.fits)}
        made.append(Made(where=where, dataset=shown.dataset, provenance=shown.provenance, of=of))
    for where, finding in zip(places["findings"], suite.findings, strict=True):
        made.append(Made(where=where, dataset=finding.dataset, provenance=finding.provenance))
    return made


def _fits_of(transfer: Transfer, fits: Sequence[FitFacts]) -> list[tuple[object, ...]]:
    """The names of the fits that a transfer shows each other's images, in its order."""
    independent = {_fit_of(fit) for fit in fits if fit.trained_at is None}
    names: list[tuple[object, ...]] = []
    for one in transfer.predictors:
        cell = (transfer.dataset, one.architecture.label, one.method, transfer.seed)
        names.append((*cell, None if (*cell, None) in independent else transfer.threat))
    return names


def _fit_of(result: Record | Sweep | FitFacts | Check) -> tuple[object, ...]:
    """The name of a fit, or of the one that a record or a sweep is about."""
    return result.dataset, result.architecture.label, result.method, result.seed, result.trained_at


Tested = Mapping[tuple[str, int], tuple[str, np.ndarray]]
"""By dataset and seed: hash of the split, and its test images."""


def _tested(splits: Iterable[SplitFacts]) -> Tested:
    return {(split.dataset, split.seed): (split.hash, np.array(split.test)) for split in splits}


def _read_measured(path: str, tested: Tested) -> Measured:
    """Read a record and the outcomes beside it, and check one against the other."""
    record = read_record(path)
    outcomes_path = Path(path).with_suffix(".npz")
    return _measured(path, record, files.read_npz(outcomes_path), outcomes_path, tested)


def _measured(
    path: str,
    record: Record,
    outcomes: Mapping[str, np.ndarray],
    where: object,
    tested: Tested,
) -> Measured:
    """A record with its outcomes and the test images of its split, checked against each other."""
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


def _require_in_config(item: Measured, config: SuiteConfig) -> None:
    """Check that a record is a cell of the configuration."""
    record = item.record
    for key, value, allowed in (
        ("dataset", record.dataset, config.datasets),
        ("architecture", record.architecture.kernel_identity, [spec.kernel_identity for spec in config.specs()]),
        ("method", record.method, config.methods),
        ("attack", record.attack.name, config.attacks),
        ("norm", record.threat.norm, [config.norm]),
        ("eps255", record.threat.eps255, config.eps255),
        ("seed", record.seed, list(range(config.seeds))),
    ):
        if value not in allowed:
            what = f"its {key} ({value}) is not one of this suite's"
            raise InputError(what, where=item.path, remedy="delete the record and run the suite again")


def _require_unmixed(measured: Iterable[Measured]) -> None:
    """Check that what is averaged or compared was made in the same way.

    Raises:
        InputError: two records disagree; names both.
    """
    first: dict[Hashable, tuple[Any, str]] = {}
    for item in measured:
        record = item.record
        attack = record.attack
        fit = (record.dataset, record.architecture.label, record.method)
        under = (record.dataset, attack.name, record.threat.eps255)
        settings = attack.model_dump(include={"kind", "options", "inside_threat_model"})
        tests = {checkpoint: evaluation.n_test for checkpoint, evaluation in record.evaluations.items()}
        for what, key, value in (
            ("the cell", (*fit, *under, record.seed), item.path),
            ("attack settings of the same attack and radius", under, settings),
            ("n_train of the same row", fit, record.n_train),
            ("n_val of the same dataset", record.dataset, record.n_val),
            ("label_noise of the same dataset", record.dataset, record.label_noise),
            ("width of the same row", fit, record.architecture.width if record.kind == "network" else None),
            ("method options of the same row", fit, record.method_options),
            ("checkpoints or n_test of the same row", (*fit, *under), tests),
        ):
            known, where = first.setdefault((what, key), (value, item.path))
            if known == value:
                continue
            twice = what == "the cell"
            problem = f"is the same cell as {where}" if twice else f"mixes {what}: {value}, but {known} in {where}"
            raise InputError(problem, where=item.path, remedy="delete the stale record and run the suite again")


def _require_complete(measured: Iterable[Measured], config: SuiteConfig) -> None:
    """Check that each fit that appears was evaluated for all radii, attacks and seeds of the suite."""
    seen: dict[tuple[str, str, str], set[tuple[float, str, int]]] = defaultdict(set)
    for item in measured:
        record = item.record
        fit = (record.dataset, record.architecture.label, record.method)
        seen[fit].add((record.threat.eps255, record.attack.name, record.seed))
    wanted = [(e, a, s) for e in config.eps255 for a in config.attacks for s in range(config.seeds)]
    for fit, cells in seen.items():
        missing = [cell for cell in wanted if cell not in cells]
        if missing:
            eps255, attack, seed = missing[0]
            raise InputError(
                f"record missing: eps255 {eps255:g}, attack {attack}, seed {seed} ({len(missing)} in all)",
                where=" / ".join(fit),
                remedy=_AGAIN,
            )


def _require_complete_curves(curves: Iterable[Curve], config: SuiteConfig, where: str) -> None:
    """Check that each fit that has a curve has one for every seed of the suite."""
    seeds: dict[tuple[str, str, str, float], list[int]] = defaultdict(list)
    for curve in curves:
        seeds[curve.dataset, curve.architecture, curve.method, curve.eps255].append(curve.seed)
    for fit, found in seeds.items():
        if sorted(found) != list(range(config.seeds)):
            name = " / ".join(str(part) for part in fit)
            what = f"curves of {name} are for seeds {sorted(found)}, the suite has {config.seeds}"
            raise InputError(what, where=where, remedy=_AGAIN)


def _require_fits(suite: Suite, where: str) -> None:
    """Check that fits and Gram matrices are those behind the records: each listed once, none missing.

    Raises:
        InputError: one is missing, listed twice, or of another split.
    """
    hashes = {(item.record.dataset, item.record.seed): item.record.split_hash for item in suite.measured}
    fits, kernels = set(), set()
    for fit in suite.fits:
        key = _fit_of(fit)
        if key in fits:
            raise InputError(f"the fit {_told(key)} is listed twice", where=where, remedy=_AGAIN)
        if hashes.get((fit.dataset, fit.seed), fit.split_hash) != fit.split_hash:
            what = f"the fit {_told(key)} was made on another split than the records"
            raise InputError(what, where=where, remedy=_AGAIN)
        fits.add(key)
        if fit.kind == "kernel":
            kernels.add((fit.split_hash, fit.architecture.label))
    for item in suite.measured:
        record = item.record
        key = _fit_of(record)
        if key not in fits:
            raise InputError(f"its fit {_told(key)} is not listed in {where}", where=item.path, remedy=_AGAIN)
    grams = [(gram.split_hash, gram.architecture.label) for gram in suite.grams]
    odd = [key for key in grams if grams.count(key) > 1] or sorted(set(grams) ^ kernels)
    if odd:
        what = f"Gram matrices are not those of the kernel fits, each once: see {odd[0][1]}, split {odd[0][0]}"
        raise InputError(what, where=where, remedy=_AGAIN)


def _told(key: tuple[object, ...]) -> str:
    """A fit in words."""
    dataset, label, method, seed, threat = key
    at = f", trained at {threat.eps255:g}/255" if isinstance(threat, ThreatModel) else ""
    return f"{dataset} / {label} / {method}, seed {seed}{at}"
