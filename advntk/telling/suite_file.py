"""The suite file: the only list of what belongs to a suite; no folder is ever searched.

There are two kinds: ``results/<suite>/suite.json`` of a suite that ran here, whose paths are relative to the working
directory, and ``suite.json`` of a published one, with its parts beside it (:mod:`advntk.telling.publishing.packed`).
"""

from __future__ import annotations

import itertools
from pathlib import Path

from advntk.foundation import files
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed, validated
from advntk.foundation.records import read_record
from advntk.telling.consistency import check, settled
from advntk.telling.contents import CurveFile, Suite, measured_in, read_curve, tested_in
from advntk.telling.kinds import kinds
from advntk.telling.publishing import packed
from advntk.telling.publishing.parts import finished_fits, keep

SCHEMA = "advntk-suite-3"


class _Listing(Closed):
    """The suite file's content, without its schema's name.

    Attributes:
        results: files of each kind, by its name.
    """

    root: str
    config: SuiteConfig
    records: list[str]
    curves: list[CurveFile]
    results: dict[str, list[str]]


def read_suite(path: str | Path, *, allow_mixed: bool = False, finished: bool = False) -> Suite:
    """Return a suite: all that its suite file lists.

    Args:
        path: ``suite.json``, of a suite that ran here or of a published one.
        allow_mixed: take results of different code or data too; a note then says so.
        finished: of a suite that ran here, take the pieces that are finished; otherwise it must be whole. A published
            suite may lack cells, and its notes then say which.

    Raises:
        InputError: a file is missing, unreadable or of another schema; results do not belong together; or they are
            mixed, and that is not allowed.
    """
    content = files.read_json(path)
    schema = content.get("schema") if isinstance(content, dict) else None
    published = schema in packed.READ
    if published:
        suite = packed.read_packed(Path(path), content)
    elif schema == SCHEMA:
        lists = {name: content.get(name, []) for name in kinds()}
        own = {key: value for key, value in content.items() if key not in {"schema", *lists}}
        suite = _live(validated(_Listing, {**own, "results": lists}, str(path)), finished=finished)
    else:
        older = isinstance(schema, str) and schema.startswith(packed.PUBLISHED)
        what = f"not a suite file of schema {SCHEMA} or {packed.SCHEMA}, but of {schema}"
        remedy = (
            "publish the suite again from its results" if older else "delete it and run the rules that make it again"
        )
        raise InputError(what, where=path, remedy=remedy)
    check(suite, str(path), whole=not (published or finished))
    return settled(suite, allow_mixed=allow_mixed, published=published)


def _live(listing: _Listing, *, finished: bool) -> Suite:
    """A suite from the files that its suite file lists, or from those of its finished pieces."""
    if finished:
        listing = _whole_folders(listing)
    results = {
        kind.model: [(place, kind.read(place)) for place in listing.results[name]] for name, kind in kinds().items()
    }
    tested = tested_in(results)
    measured = []
    for place in listing.records:
        record, beside = read_record(place), Path(place).with_suffix(".npz")
        if not finished or (record.dataset, record.seed) in tested:
            measured.append(measured_in(place, record, files.read_npz(beside), beside, tested))
    suite = Suite(
        config=listing.config,
        measured=tuple(measured),
        curves=tuple(read_curve(curve) for curve in listing.curves),
        results=results,
    )
    if not finished:
        return suite
    fits = finished_fits(suite)
    return keep(suite, lambda piece: bool(piece.other) or piece in fits)


def _whole_folders(listing: _Listing) -> _Listing:
    """Return the same without folders of which a listed file is missing.

    Files that are of use together only lie in one folder: a fit and what its training left beside it, the records of a
    cell under all attacks, the units of an experiment.
    """
    outcomes = [str(Path(record).with_suffix(".npz")) for record in listing.records]
    curves = [curve.path for curve in listing.curves]
    every = itertools.chain(listing.records, outcomes, curves, *listing.results.values())
    torn = {Path(place).parent for place in every if not Path(place).is_file()}

    def whole(place: str) -> bool:
        return Path(place).parent not in torn

    return listing.model_copy(
        update={
            "records": [record for record in listing.records if whole(record)],
            "curves": [curve for curve in listing.curves if whole(curve.path)],
            "results": {name: [place for place in places if whole(place)] for name, places in listing.results.items()},
        }
    )
