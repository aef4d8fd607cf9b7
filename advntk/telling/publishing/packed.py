"""A suite in a few small files, JSON and CSV only: what is published of it, and all that tables and figures need.

``suite.json`` names the configuration, the command that made the suite, replays that were accepted, and the other files
with their SHA-256. The JSON files hold one result a line. Outcomes of test images stand with their record, eight to a
byte, in base64.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import Field

from advntk.foundation import files
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.foundation.options import Closed
from advntk.foundation.provenance import public
from advntk.foundation.records import Record, as_model
from advntk.telling.contents import Suite, frame_of, measured_in, read_curves, tested_in
from advntk.telling.kinds import kinds
from advntk.telling.mixing import Accepted

PUBLISHED = "advntk-published-"
"""How the schema of a published suite begins, whatever its version."""
SCHEMA = f"{PUBLISHED}3"
READ = (f"{PUBLISHED}2", SCHEMA)
"""Schemas that are read: 2 is a whole suite without replays."""
LIMIT = 2**20
"""Bytes that a file may have."""
LOCAL: Any = {"compute", "results", "data", "dataset_options", "allow_mixed", "plugins"}
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
    accepted: list[Accepted] = Field(default_factory=list)
    parts: dict[str, str]


def write_packed(folder: Path, suite: Suite) -> list[Path]:
    """Return the files of a suite once they are written, ``suite.json`` last; parts that it has no more are deleted.

    Raises:
        InputError: a file would be larger than ``LIMIT``, or the folder cannot be written.
    """
    texts = _parts(suite)
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
        command=suite.command,
        config=suite.config,
        accepted=list(suite.accepted),
        parts={name: files.sha256_of_file(folder / name) for name in texts},
    )
    files.write_json(listing, {"schema": SCHEMA, **content.model_dump(mode="json", exclude={"config": LOCAL})})
    for name in before - texts.keys():
        (folder / name).unlink(missing_ok=True)
    return [listing, *(folder / name for name in texts)]


def read_packed(path: Path, content: dict[str, Any]) -> Suite:
    """Return a published suite from the path and the content of its ``suite.json``.

    Raises:
        InputError: a part is missing, changed, or not of its schema.
    """
    own = {key: value for key, value in content.items() if key != "schema"}
    listing = as_model(own, _Published, f"published suite of schema {SCHEMA}", where=path)
    for name, digest in listing.parts.items():
        part = path.parent / name
        if not part.is_file() or files.sha256_of_file(part) != digest:
            raise InputError("is missing or not as it was published", where=part, remedy=_AGAIN)
    results = {
        kind.model: [
            (f"{part}, entry {line}", one)
            for part in (path.parent / file for file in listing.parts if re.fullmatch(rf"{name}(-.*)?\.json", file))
            for line, one in enumerate(_lines_of(part, kind.model, kind.what), start=1)
        ]
        for name, kind in kinds().items()
    }
    measured, tested = [], tested_in(results)
    for part in (path.parent / name for name in listing.parts if name.startswith("records")):
        for line, item in enumerate(_lines_of(part, PackedRecord, "record"), start=1):
            where = f"{part}, record {line}"
            measured.append(measured_in(where, item.record, _outcomes(item, where), where, tested))
    return Suite(
        config=listing.config,
        measured=tuple(measured),
        curves=read_curves(path.parent / "curves.csv") if "curves.csv" in listing.parts else (),
        results=results,
        command=listing.command,
        accepted=tuple(listing.accepted),
    )


def _parts(suite: Suite) -> dict[str, str]:
    """The text of each file but ``suite.json``, by name; records by dataset and network, what is empty not at all."""
    items: dict[str, list[Closed]] = {}
    for item in suite.measured:
        name = f"records-{item.record.dataset}-{item.record.architecture.label}.json"
        packed = PackedRecord(record=item.record, clean=_packed(item.clean), robust=_packed(item.robust))
        items.setdefault(name, []).append(packed)
    for name, kind in kinds().items():
        for one in suite.of(kind.model):
            part = kind.part(one)
            items.setdefault(f"{name}-{part}.json" if part else f"{name}.json", []).append(one)
    texts = {name: _text(mine) for name, mine in items.items()}
    curves = frame_of(suite.curves).to_csv(index=False, lineterminator="\n")
    return texts | ({"curves.csv": curves} if suite.curves else {})


def _text(items: Iterable[Closed]) -> str:
    """A JSON list with one item a line."""
    lines = [json.dumps(as_published(item), allow_nan=False) for item in items]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def as_published(item: Closed) -> dict[str, Any]:
    """A result as JSON, without the names of hosts, jobs and folders."""
    content = item.model_dump(mode="json")
    if isinstance(item, PackedRecord):
        return {**content, "record": as_published(item.record)}
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


def _packed(outcomes: dict[str, np.ndarray]) -> dict[str, str]:
    """Outcomes by checkpoint."""
    return {name: base64.b64encode(np.packbits(outcome).tobytes()).decode() for name, outcome in outcomes.items()}


def _outcomes(item: PackedRecord, where: str) -> dict[str, np.ndarray]:
    """Outcomes as an evaluation writes them, boolean arrays (n_test,); an ``InputError`` where they are not base64."""
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
