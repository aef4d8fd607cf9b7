"""Whether results of a suite belong together: the same settings, images and inputs, none missing, none twice."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from typing import Any

from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.telling.contents import Curve, Measured, Suite
from advntk.telling.kinds import kinds, traced
from advntk.telling.kinds.fits import FitFacts
from advntk.telling.kinds.grams import GramFacts
from advntk.telling.kinds.splits import SplitFacts, overlap_notes
from advntk.telling.mixing import Made, accepted_note, mixes, note, refuse
from advntk.telling.publishing.parts import missing
from advntk.telling.publishing.pieces import Piece, gram_name, of_fit

_OPTIONS = ("attack settings", "method options")
_AGAIN = "run the suite to its end, then make its suite file again"


def check(suite: Suite, where: str, *, whole: bool) -> None:
    """Check all that a suite measured against its configuration and against each other.

    Args:
        suite: as read.
        where: its file, for messages.
        whole: refuse a suite of which anything is missing.

    Raises:
        InputError: something does not belong, or is missing; names it.
    """
    for item in suite.measured:
        _require_in_config(item, suite.config)
    _require_unmixed(suite.measured, same=agree if suite.accepted else operator.eq)
    if whole:
        _require_complete(suite.measured, suite.config)
        _require_complete_curves(suite.curves, suite.config, where)
    _require_fits(suite, where)
    for kind in kinds().values():
        kind.check(suite)


def settled(suite: Suite, *, allow_mixed: bool, published: bool) -> Suite:
    """Return the suite with the notes that every table and figure must show.

    Args:
        suite: as read.
        allow_mixed: take results of different code or data too, and note that; otherwise they are an ``InputError``.
        published: something may be missing; a note then says what.
    """
    made = made_of(suite)
    found = mixes(made, suite.accepted)
    if not allow_mixed:
        refuse(found)
    notes = [
        *_noise(suite.measured),
        *overlap_notes(suite.of(SplitFacts)),
        *([note(found)] if found else []),
        *accepted_note(made, suite.accepted),
    ]
    return replace(suite, notes=(*notes, *(missing(suite).notes() if published else [])))


def made_of(suite: Suite) -> list[Made]:
    """What each result of a suite was computed from."""
    return [
        Made(
            where=where,
            dataset=getattr(one, "dataset", ""),
            provenance=one.provenance,
            **(kinds()[name].made(one, suite) if name in kinds() else {"of": {"fit": [of_fit(one)]}}),
        )
        for name, placed in traced(suite).items()
        for where, one in placed
    ]


def _noise(measured: Iterable[Measured]) -> list[str]:
    """A note for each dataset with wrong labels."""
    shares = {item.record.dataset: item.record.label_noise for item in measured if item.record.label_noise > 0}
    return [f"{share:.0%} of the training labels of {dataset} (opt) are wrong." for dataset, share in shares.items()]


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


def agree(first: Any, second: Any) -> bool:
    """Whether two settings are equal as far as both are known: older code may lack an option, at any depth."""
    if isinstance(first, dict) and isinstance(second, dict):
        return all(agree(first[key], second[key]) for key in first.keys() & second.keys())
    return bool(first == second)


def _require_unmixed(measured: Iterable[Measured], *, same: Callable[[Any, Any], bool]) -> None:
    """Check that what is averaged or compared was made in the same way; ``same`` compares options."""
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
            if known == value or (what.startswith(_OPTIONS) and same(known, value)):
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
    """Check that fits and Gram matrices are those behind the records: of their splits, each listed once."""
    hashes = {(item.record.dataset, item.record.seed): item.record.split_hash for item in suite.measured}
    fits: set[Piece] = set()
    kernels = set()
    for fit in suite.of(FitFacts):
        piece = of_fit(fit)
        if piece in fits:
            raise InputError(f"the fit {piece.words} is listed twice", where=where, remedy=_AGAIN)
        if hashes.get((fit.dataset, fit.seed), fit.split_hash) != fit.split_hash:
            what = f"the fit {piece.words} was made on another split than the records"
            raise InputError(what, where=where, remedy=_AGAIN)
        fits.add(piece)
        if fit.kind == "kernel":
            kernels.add(gram_name(fit))
    for item in suite.measured:
        piece = of_fit(item.record)
        if piece not in fits:
            raise InputError(f"its fit {piece.words} is not listed in {where}", where=item.path, remedy=_AGAIN)
    grams = [(*gram_name(gram), gram.provenance.get("content")) for gram in suite.of(GramFacts)]
    odd = [key[:2] for key in grams if grams.count(key) > 1] or sorted({key[:2] for key in grams} ^ kernels)
    if odd:
        what = f"Gram matrices are not those of the kernel fits, each once: see {odd[0][1]}, split {odd[0][0]}"
        raise InputError(what, where=where, remedy=_AGAIN)
