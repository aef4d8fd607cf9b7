"""A suite in a few small files, JSON and CSV only: what is published of it, and all that tables and figures need.

``suite.json`` names the configuration, the command that made the suite, and the other files with their SHA-256. JSON
files of splits, records, fits, Gram matrices, sweeps and transfers hold one a line. Outcomes of test images stand with
their record, eight to a byte, in base64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from advntk.foundation import files
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.foundation.findings import Finding
from advntk.foundation.options import Closed
from advntk.foundation.provenance import public
from advntk.foundation.recipes import Check
from advntk.foundation.records import Record, as_model
from advntk.foundation.strength import Sweep, Transfer
from advntk.telling.curves import Curve, curves_csv, read_curves
from advntk.telling.facts import FitFacts, GramFacts, SplitFacts

PUBLISHED = "advntk-published-"
"""How the schema of a published suite begins, whatever its version."""
SCHEMA = f"{PUBLISHED}2"
LIMIT = 2**20
"""Bytes that a file may have."""
_LOCAL: Any = {"compute", "results", "data", "dataset_options", "allow_mixed"}
"""Keys of a configuration that say where things lie on one machine, what one run allowed, or what records tell."""
_AGAIN = "restore it from version control, or publish the suite again"

Model = TypeVar("Model", bound=Closed)


class PackedRecord(Closed):
    """A record and the outcomes of its test images, by checkpoint, packed."""

    record: Record
    clean: dict[str, str]
    robust: dict[str, str]


class _Published(Closed):
    """The content of ``suite.json``, without its schema's name."""

    command: str
    config: SuiteConfig
    parts: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """All of a published suite, unpacked.

    Attributes:
        command: what made the suite.
        records: where each stands, the record, and its outcomes by ``<checkpoint>.clean`` and ``<checkpoint>.robust``.
    """

    command: str
    config: SuiteConfig
    splits: Sequence[SplitFacts]
    records: Sequence[tuple[str, Record, dict[str, np.ndarray]]]
    fits: Sequence[FitFacts]
    grams: Sequence[GramFacts]
    checks: Sequence[Check]
    curves: Sequence[Curve]
    sweeps: Sequence[Sweep]
    transfers: Sequence[Transfer]
    findings: Sequence[Finding] = ()


def write_packed(folder: Path, packed: Packed) -> list[Path]:
    """Write a suite into a folder, ``suite.json`` last; parts that it had before and has no more are deleted.

    Returns:
        The files.

    Raises:
        InputError: a file would be larger than ``LIMIT``, or the folder cannot be written.
    """
    texts = _parts(packed)
    for name, text in texts.items():
        if (size := len(text.encode())) > LIMIT:
            raise InputError(
                f"would take {size / 2**20:.1f} MiB, the limit is {LIMIT / 2**20:.0f}",
                where=folder / name,
                remedy="publish a suite of fewer test images, seeds or attacks",
            )
    listing = folder / "suite.json"
    before = _known_parts(listing)
    for name, text in texts.items():
        files.write_text(folder / name, text)
    content = _Published(
        command=packed.command,
        config=packed.config,
        parts={name: files.sha256_of_file(folder / name) for name in texts},
    )
    files.write_json(listing, {"schema": SCHEMA, **content.model_dump(mode="json", exclude={"config": _LOCAL})})
    for name in before - texts.keys():
        (folder / name).unlink(missing_ok=True)
    return [listing, *(folder / name for name in texts)]


def read_packed(path: Path, content: dict[str, Any]) -> Packed:
    """Read a published suite.

    Args:
        path: of its ``suite.json``.
        content: of that file.

    Returns:
        All of it.

    Raises:
        InputError: a part is missing, changed, or not of its schema.
    """
    own = {key: value for key, value in content.items() if key != "schema"}
    listing = as_model(own, _Published, f"published suite of schema {SCHEMA}", where=path)
    for name, digest in listing.parts.items():
        part = path.parent / name
        if not part.is_file() or files.sha256_of_file(part) != digest:
            raise InputError("is missing or not as it was published", where=part, remedy=_AGAIN)
    records = []
    for name in listing.parts:
        if name.startswith("records"):
            part = path.parent / name
            for line, item in enumerate(_lines_of(part, PackedRecord, "record"), start=1):
                where = f"{part}, record {line}"
                records.append((where, item.record, _outcomes(item, where)))

    def of(name: str, model: type[Model], what: str) -> list[Model]:
        return _lines_of(path.parent / name, model, what) if name in listing.parts else []

    def all_of(prefix: str, model: type[Model], what: str) -> list[Model]:
        return [one for name in listing.parts if name.startswith(prefix) for one in of(name, model, what)]

    return Packed(
        command=listing.command,
        config=listing.config,
        splits=all_of("splits-", SplitFacts, "split"),
        records=records,
        fits=of("fits.json", FitFacts, "fit"),
        grams=of("grams.json", GramFacts, "Gram matrix's file"),
        checks=of("checks.json", Check, "convergence check"),
        curves=read_curves(path.parent / "curves.csv") if "curves.csv" in listing.parts else (),
        sweeps=of("sweeps.json", Sweep, "sweep"),
        transfers=of("transfers.json", Transfer, "transfer"),
        findings=all_of("findings-", Finding, "finding"),
    )


def _parts(packed: Packed) -> dict[str, str]:
    """The text of each file but ``suite.json``, by name; records by dataset and network, what is empty not at all."""
    records: dict[str, list[Closed]] = {}
    for _, record, outcomes in packed.records:
        name = f"records-{record.dataset}-{record.architecture.label}.json"
        item = PackedRecord(record=record, clean=_packed(outcomes, "clean"), robust=_packed(outcomes, "robust"))
        records.setdefault(name, []).append(item)
    others: dict[str, Sequence[Closed]] = {
        "fits.json": packed.fits,
        "grams.json": packed.grams,
        "checks.json": packed.checks,
        "sweeps.json": packed.sweeps,
        "transfers.json": packed.transfers,
    }
    splits = _by_file(packed.splits, lambda split: f"splits-{split.dataset}.json")
    findings = _by_file(packed.findings, lambda finding: f"findings-{finding.experiment}.json")
    every: dict[str, Sequence[Closed]] = {**splits, **records, **others, **findings}
    texts = {name: _text(items) for name, items in every.items() if items}
    return texts | ({"curves.csv": curves_csv(packed.curves)} if packed.curves else {})


def _by_file(items: Iterable[Model], name: Callable[[Model], str]) -> dict[str, list[Model]]:
    """Items by the file that they go to, in their order."""
    found: dict[str, list[Model]] = {}
    for item in items:
        found.setdefault(name(item), []).append(item)
    return found


def _text(items: Iterable[Closed]) -> str:
    """A JSON list with one item a line, without the names of hosts, jobs and folders."""
    lines = [json.dumps(_public(item.model_dump(mode="json")), allow_nan=False) for item in items]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _public(content: dict[str, Any]) -> dict[str, Any]:
    if "record" in content:
        return {**content, "record": _public(content["record"])}
    return {**content, "provenance": public(content["provenance"])} if "provenance" in content else content


def _lines_of(path: Path, model: type[Model], what: str) -> list[Model]:
    """The items of a JSON list."""
    content = files.read_json(path)
    items = content if isinstance(content, list) else [content]
    return [as_model(item, model, what, where=f"{path}, entry {line}") for line, item in enumerate(items, start=1)]


def _known_parts(listing: Path) -> set[str]:
    """Names of the parts that a published suite has so far."""
    if not listing.is_file():
        return set()
    content = files.read_json(listing)
    published = isinstance(content, dict) and str(content.get("schema")).startswith(PUBLISHED)
    return {Path(name).name for name in content.get("parts", {})} if published else set()


def _packed(outcomes: dict[str, np.ndarray], kind: str) -> dict[str, str]:
    """Outcomes of one kind by checkpoint."""
    return {
        name.removesuffix(f".{kind}"): base64.b64encode(np.packbits(outcome).tobytes()).decode()
        for name, outcome in outcomes.items()
        if name.endswith(f".{kind}")
    }


def _outcomes(item: PackedRecord, where: str) -> dict[str, np.ndarray]:
    """Outcomes as an evaluation writes them.

    Returns:
        Boolean arrays (n_test,).

    Raises:
        InputError: not base64.
    """
    found = {}
    for checkpoint, evaluation in item.record.evaluations.items():
        for kind, packed in (("clean", item.clean), ("robust", item.robust)):
            if checkpoint not in packed:
                continue
            try:
                raw = np.frombuffer(base64.b64decode(packed[checkpoint], validate=True), np.uint8)
            except ValueError as error:
                raise InputError(f"outcomes of '{checkpoint}' are not base64", where=where, remedy=_AGAIN) from error
            found[f"{checkpoint}.{kind}"] = np.unpackbits(raw, count=evaluation.n_test).astype(bool)
    return found
