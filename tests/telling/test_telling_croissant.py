"""Reference results described in the Croissant format: as the format wants it, and as the files are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlcroissant
import pandas as pd
import pytest

from advntk.cli import main
from advntk.foundation.files import sha256_of_file
from advntk.telling.contents import CURVE_COLUMNS
from advntk.telling.publishing.croissant import COLUMNS
from advntk.telling.publishing.publish import read_reference
from advntk.telling.report import TABLES

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results/reference"
OWN = REFERENCE / "croissant.json"
READ = {"text": bytes, "integer": int, "number": float}


def croissant(folder: Path, *more: str) -> int:
    return main(["croissant", "--reference", str(folder), "--out", str(folder / "croissant.json"), *more])


def test_the_committed_description_is_what_the_command_writes(tmp_path):
    folder = Path(shutil.copytree(REFERENCE, tmp_path / "reference"))
    assert croissant(folder, "--citation", str(ROOT / "CITATION.cff")) == 0
    assert (folder / "croissant.json").read_bytes() == OWN.read_bytes()


def test_every_file_of_data_is_listed_with_its_digest():
    listed = {one["contentUrl"]: one["sha256"] for one in json.loads(OWN.read_text())["distribution"]}
    there = [path for path in REFERENCE.rglob("*") if path.is_file() and path not in (OWN, REFERENCE / "README.md")]
    assert listed == {path.relative_to(REFERENCE).as_posix(): sha256_of_file(path) for path in there}


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning:rdflib")
def test_the_library_of_the_format_reads_every_table_in_its_types():
    dataset = mlcroissant.Dataset(OWN)
    assert not dataset.metadata.issues.errors
    assert all("datePublished" in warning for warning in dataset.metadata.issues.warnings)  # nothing is released yet
    tables = {path.relative_to(REFERENCE).with_suffix("").as_posix(): path for path in REFERENCE.rglob("*.csv")}
    assert {one.id for one in dataset.metadata.record_sets} == set(tables)
    for name, path in tables.items():
        records, frame = list(dataset.records(name)), pd.read_csv(path)
        assert len(records) == len(frame), name
        assert list(records[0]) == [f"{name}/{column}" for column in frame], name
        for column in frame:
            read = [record[f"{name}/{column}"] for record in records]
            known = [value for value in read if not pd.isna(value)]
            assert len(known) == frame[column].notna().sum(), f"{name}: {column}"
            assert {type(value) for value in known} <= {READ[COLUMNS[column].type]}, f"{name}: {column}"


def test_the_columns_that_are_described_are_those_of_tables():
    ours = {column.name for table in TABLES.values() for column in table.columns if column.name} | {*CURVE_COLUMNS}
    published = {column for path in REFERENCE.rglob("*.csv") for column in pd.read_csv(path, nrows=0)}
    assert set(COLUMNS) == ours | published


def test_what_must_be_run_again_says_so():
    outdated = read_reference(REFERENCE).outdated
    sets = json.loads(OWN.read_text())["recordSet"]
    assert outdated
    assert {one["@id"].split("/")[0] for one in sets if "To be run again" in one["description"]} == set(outdated)


def test_a_column_that_nothing_describes_is_refused(tmp_path, capsys):
    shutil.copy(REFERENCE / "index.json", tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/methods.csv").write_text("dataset,colour\ndigits,red\n")
    assert croissant(tmp_path, "--citation", str(ROOT / "CITATION.cff")) == 1
    message = capsys.readouterr().err
    assert "'colour'" in message
    assert "say its meaning where its table is" in message


@pytest.mark.parametrize("text", [None, "title: [", "title: a title\n", "- a list\n"])
def test_a_wrong_citation_is_refused_in_a_line(tmp_path, capsys, text):
    shutil.copy(REFERENCE / "index.json", tmp_path)
    if text is not None:
        (tmp_path / "CITATION.cff").write_text(text)
    assert croissant(tmp_path, "--citation", str(tmp_path / "CITATION.cff")) == 1
    message = capsys.readouterr().err
    assert "--citation" in message
    assert message.count("\n") == 1
