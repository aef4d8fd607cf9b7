"""Mixed results: a suite's files that were made by different code, from different data, or from other fits.

A run of the workflow leaves none: what an edit makes stale is made again. They come about when that was switched off
(``--rerun-triggers mtime``), when files were copied from elsewhere, or when a checkout changed under a running cluster.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed
from advntk.foundation.provenance import code_digest

UNKNOWN = "unknown"
"""Where a digest should stand: the file is older than such digests."""
_SHOWN = 3
"""Replays that a note names."""
_REMEDY = (
    "run snakemake without --rerun-triggers, which makes stale files again (a file copied from elsewhere: delete it "
    "first); if parts of a published suite differ in code, run one of its cells again and `advntk accept` the code; "
    "or allow the mix with --allow-mixed or snakemake --config allow_mixed=true"
)


class Accepted(Closed):
    """Code of two digests that a replay has shown to be equivalent: the same cell, computed by both.

    Attributes:
        cell: in words.
        sources: by module, its digest in the published result and in the replay.
        images: test images of the cell.
        differing: those with another outcome, clean or under attack, of any checkpoint.
        points: largest difference of an accuracy, percentage points.
        curve_points: mean difference of accuracies along training, percentage points.
        bound: what was allowed of both, percentage points.
        date: of the acceptance, UTC.
        published: when and on what the published cell was computed.
        replay: the same of the replay.
    """

    cell: str
    sources: dict[str, tuple[str, str]]
    images: int
    differing: int
    points: float
    curve_points: float
    bound: float
    date: str
    published: dict[str, Any]
    replay: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Made:
    """One result of a suite, and its inputs.

    Attributes:
        where: the file.
        dataset: empty where the file does not tell.
        name: of a fit or a Gram matrix, which other results use; None for all others.
        of: names of its inputs by kind: one ``fit`` or ``gram``, or several ``fits``.
    """

    where: str
    dataset: str
    provenance: Mapping[str, Any]
    name: Hashable | None = None
    of: Mapping[str, Sequence[Hashable]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Two results that should agree and do not.

    Attributes:
        what: they disagree about: a module, the data of a dataset, or an input.
        where: the file that is stale, as far as that is known.
        problem: in words, with the other file.
    """

    what: str
    where: str
    problem: str


def mixes(made: Sequence[Made], accepted: Sequence[Accepted] = ()) -> list[Mix]:
    """Return what is mixed in a suite: one for each module, dataset and kind of input.

    Digests of code that replays showed to be equivalent are no mix. Results without any digests of code are older than
    these: they cannot be distinguished from each other, but do not belong with a result that has digests.
    """
    if not any("sources" in one.provenance for one in made):
        return []
    return [*_of_code(made, accepted), *_of_data(made), *_of_inputs(made)]


def accepted_note(made: Sequence[Made], accepted: Sequence[Accepted]) -> list[str]:
    """The note of a suite whose parts have different code that replays showed to be equivalent; none otherwise."""
    by_module = _by_module(made)
    used = [
        one
        for one in accepted
        if any(
            len(by_module.get(name, {})) > 1 and by_module[name].keys() & {*pair} for name, pair in one.sources.items()
        )
    ]
    if not used:
        return []
    names = "; ".join([one.cell for one in used[:_SHOWN]] + (["…"] if len(used) > _SHOWN else []))
    differing, images = sum(one.differing for one in used), sum(one.images for one in used)
    return [
        f"Parts were computed by different versions of the code, accepted as equivalent: in replays ({names}), "
        f"{differing} of {images} test images had a different outcome, and accuracies differed by at most "
        f"{max(one.points for one in used):.2f} points."
    ]


def outdated(made: Sequence[Made], accepted: Sequence[Accepted]) -> list[str]:
    """Modules of which results carry another digest than this checkout's code, and none that is equivalent to it."""
    found = []
    for module, by_digest in sorted(_by_module(made).items()):
        same, current = equivalents(module, accepted), current_digest(module)
        if current and {same.get(digest, digest) for digest in by_digest} != {same.get(current, current)}:
            found.append(module)
    return found


def note(found: Iterable[Mix]) -> str:
    """The footnote of tables and figures that show mixed results."""
    what = "; ".join(dict.fromkeys(mix.what for mix in found))
    return f"Results of different origin are mixed here, as was allowed: {what}. They may not be comparable."


def refuse(found: Sequence[Mix]) -> None:
    """Refuse what is mixed: an ``InputError`` that names the first mix, and how many more there are."""
    if found:
        more = f" ({len(found) - 1} more such)" if len(found) > 1 else ""
        raise InputError(f"{found[0].problem}{more}", where=found[0].where, remedy=_REMEDY)


def _files_by(marks: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, list[str]]]:
    """Files by the digest that they carry of each thing, from triples of thing, digest and file."""
    found: dict[str, dict[str, list[str]]] = {}
    for thing, digest, where in marks:
        found.setdefault(thing, {}).setdefault(digest, []).append(where)
    return found


def _by_module(made: Sequence[Made]) -> dict[str, dict[str, list[str]]]:
    """Files by the digest that they carry of each module."""
    return _files_by((*pair, one.where) for one in made for pair in one.provenance.get("sources", {}).items())


def equivalents(module: str, accepted: Sequence[Accepted]) -> dict[str, str]:
    """One digest for all digests of a module that replays showed to be equivalent, by each of these."""
    same: dict[str, str] = {}
    for one in accepted:
        if module in one.sources:
            first, second = (same.setdefault(digest, digest) for digest in one.sources[module])
            same = {digest: first if known == second else known for digest, known in same.items()}
    return same


def _of_code(made: Sequence[Made], accepted: Sequence[Accepted]) -> Iterator[Mix]:
    """Modules of which results carry several digests that are not known to be equivalent."""
    for module, by_digest in sorted(_by_module(made).items()):
        same, merged = equivalents(module, accepted), dict[str, list[str]]()
        for digest, places in by_digest.items():
            merged.setdefault(same.get(digest, digest), []).extend(places)
        current = current_digest(module) or ""
        yield from _told(f"code of {module}", merged, current=same.get(current, current))
    what = "results with and without digests of their code"
    marks = ((what, "with" if "sources" in one.provenance else "without", one.where) for one in made)
    yield from _told(what, _files_by(marks)[what], current="with")


def _of_data(made: Sequence[Made]) -> Iterator[Mix]:
    """Datasets of which results used several versions."""
    known = (one for one in made if one.dataset and "sources" in one.provenance)
    marks = ((one.dataset, str(one.provenance.get("data", UNKNOWN)), one.where) for one in known)
    for dataset, by_digest in _files_by(marks).items():
        yield from _told(f"data of {dataset}", by_digest)


def _of_inputs(made: Sequence[Made]) -> Iterator[Mix]:
    """Results computed from another fit or Gram matrix than the one now in its place."""
    there: dict[Hashable, list[Made]] = {}
    for one in made:
        if one.name is not None:
            there.setdefault(one.name, []).append(one)
    for one in made:
        told = one.provenance.get("inputs", {})
        for kind, names in one.of.items():
            digests = told[kind] if isinstance(told.get(kind), list) else [told.get(kind)]
            what = kind.removesuffix("s")
            for digest, name in zip(digests, names, strict=False):
                sources = there.get(name, [])
                now = [source.provenance.get("content") for source in sources]
                if sources and digest and all(now) and digest not in now:
                    problem = f"was computed from another {what} (digest {digest}) than {sources[0].where} ({now[0]})"
                    yield Mix(what=f"{what}s that changed after their results", where=one.where, problem=problem)


def _told(what: str, by_digest: Mapping[str, Sequence[str]], current: str | None = None) -> Iterator[Mix]:
    """A mix, if there is more than one digest: the stale file, and one of those that it should agree with.

    These are the current ones, or else the most.
    """
    if len(by_digest) < 2:
        return
    most = max(by_digest, key=lambda digest: (digest == current, len(by_digest[digest])))
    stale = min((digest for digest in by_digest if digest != most), key=lambda digest: len(by_digest[digest]))
    here, there = by_digest[stale], by_digest[most]
    yield Mix(
        what=what,
        where=here[0],
        problem=f"mixes {what}: {stale} ({_files(len(here))}), but {most} in {there[0]} ({_files(len(there))})",
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def current_digest(module: str) -> str | None:
    """The digest that a module has in this checkout; None where it is not there any more."""
    try:
        return code_digest(module)
    except ModuleNotFoundError:
        return None
