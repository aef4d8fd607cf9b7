"""A description of reference results in the Croissant format of MLCommons, version 1.0: files, tables, columns.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.telling.columns import SHARED
from advntk.telling.publishing.publish import read_reference
from advntk.telling.report import TABLES

_FORMATS = {".csv": "text/csv", ".json": "application/json"}
_TYPES = {"text": "sc:Text", "integer": "sc:Integer", "number": "sc:Float"}
_TITLES = {name: table.title for name, table in TABLES.items()} | {
    "curves": "Accuracy along training",
    "cpu": "Clean and robust accuracy computed on a CPU",
    "gpu": "Clean and robust accuracy computed on a GPU",
}
"""Of CSV files, by their names."""
COLUMNS = {column.name: column for table in TABLES.values() for column in table.columns if column.meaning} | SHARED
"""Columns of CSV files, by their names."""
_TERMS = """citeAs column conformsTo equivalentProperty extract field fileProperty fileObject fileSet format includes
isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator
source subField transform"""
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
"""The same in every file of this format."""


def write_croissant(reference: Path, held: Iterable[Path], citation: Path, out: Path) -> None:
    """Describe the CSV and JSON files in a folder.

    Args:
        reference: folder of reference results, with its ``index.json``.
        held: all that is in it.
        citation: the project's ``CITATION.cff``: title, authors, version and licence.
        out: JSON-LD to write; its links hold in ``reference``.
    """
    paths = sorted(path for path in held if path.suffix in _FORMATS and path != out)
    tables = [path for path in paths if path.suffix == ".csv"]
    outdated = read_reference(reference).outdated
    content = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **_about(citation),
        "distribution": [_file(path, reference) for path in paths],
        "recordSet": [_record_set(path, reference, outdated) for path in tables],
    }
    files.write_json(out, content)


def _about(citation: Path) -> dict[str, Any]:
    """Name, description, authors, version, licence and citation of the results."""
    try:
        known = yaml.safe_load(citation.read_text(encoding="utf-8"))
        title, version, licence = (known[name] for name in ("title", "version", "license"))
        creators = [_creator(one) for one in known["authors"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        remedy = "give the project's CITATION.cff with --citation"
        raise InputError(f"not a citation ({error})", where=citation, remedy=remedy) from error
    authors = " and ".join(one["name"] for one in creators)
    return {
        "name": "advntk-reference-results",
        "description": f"Published results of {title}. Accuracies, shares and their differences are fractions; times "
        "are in seconds.",
        "creator": creators,
        "version": str(version),
        "license": f"https://spdx.org/licenses/{licence}",
        "citeAs": f"@misc{{advntk, title={{{title}}}, author={{{authors}}}, note={{version {version}}}}}",
    } | ({"datePublished": str(known["date-released"])} if "date-released" in known else {})


def _creator(author: dict[str, str]) -> dict[str, str]:
    """An author of a citation file; one of a single name is a group."""
    if "name" in author:
        return {"@type": "sc:Organization", "name": author["name"]}
    return {"@type": "sc:Person", "name": f"{author['given-names']} {author['family-names']}"}


def _file(path: Path, reference: Path) -> dict[str, str]:
    """A file: where it is and what is in it."""
    place = path.relative_to(reference).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": place,
        "name": path.name,
        "contentUrl": place,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _FORMATS[path.suffix],
        "sha256": files.sha256_of_file(path),
    }


def _record_set(path: Path, reference: Path, outdated: dict[str, str]) -> dict[str, Any]:
    """A table and its columns; what is known to be wrong with its suite stands in the description."""
    place = path.relative_to(reference)
    own, suite = place.with_suffix("").as_posix(), place.parts[0]
    with path.open(encoding="utf-8", newline="") as handle:
        columns = next(csv.reader(handle), [])
    if unknown := [column for column in columns if column not in COLUMNS]:
        remedy = "say its meaning where its table is; that of an earlier version's in advntk/telling/columns.py"
        raise InputError(f"nothing describes its column '{unknown[0]}'", where=path, remedy=remedy)
    warning = f" To be run again: {outdated[suite]}" if suite in outdated else ""
    return {
        "@type": "cr:RecordSet",
        "@id": own,
        "name": own,
        "description": f"{_TITLES.get(path.stem, path.stem)}: {suite}.{warning}",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{own}/{column}",
                "name": column,
                "description": COLUMNS[column].meaning,
                "dataType": _TYPES[COLUMNS[column].type],
                "source": {"fileObject": {"@id": place.as_posix()}, "extract": {"column": column}},
            }
            for column in columns
        ],
    }
