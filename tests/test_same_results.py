"""The comparison of two results folders sees what changed, and nothing else."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from advntk.foundation import files
from tests.same_results import differences, main

RECORD = {"method": "ntk", "robust": [0.5, 0.25], "provenance": {"host": "a"}, "timing": {"wall_s": 1.0}}
PLACES = {"record": "records/digits/r.json", "arrays": "records/digits/r.npz", "table": "tables/robust_accuracy.csv"}


@pytest.fixture
def folders(tmp_path):
    old = tmp_path / "old"
    for place in PLACES.values():
        (old / place).parent.mkdir(parents=True, exist_ok=True)
    (old / PLACES["record"]).write_text(json.dumps(RECORD))
    np.savez(old / PLACES["arrays"], robust=np.array([True, False]), loss=np.array([0.1, np.nan]))
    (old / PLACES["table"]).write_text("method,robust\nntk,0.5\nat,\n")
    (old / "tables/cost.csv").write_text("rule,total_s\nfit,3\n")
    shutil.copytree(old, tmp_path / "new")
    return old, tmp_path / "new"


def test_times_and_places_are_no_difference(folders):
    old, new = folders
    changed = RECORD | {"provenance": {"host": "b"}, "timing": {"wall_s": 2.0}}
    (new / PLACES["record"]).write_text(json.dumps(changed))
    (new / "tables/cost.csv").write_text("rule,total_s\nfit,4\n")
    for folder, second in ((old, 1.0), (new, 2.0)):
        chunk = {"digest": np.array(str(folder)), "final.seconds": np.array([second]), "final.robust": np.array([True])}
        (folder / "records/digits/autoattack.chunks").mkdir()
        np.savez(folder / "records/digits/autoattack.chunks/0.npz", **chunk)
        made = dict.fromkeys(("code", "environment"), str(folder)) | {"sources": {}, "versions": {}, "hardware": {}}
        files.write_json(
            folder / "robustbench/ntk.json", {"advntk": {"attacks": [{"name": "pgd", "data": "d", **made}]}}
        )
        files.write_json(folder / "grams/digits/gram.json", {"n": 10, "code": str(folder), "parts": second})
    assert differences(old, new) == []
    assert main([str(old), str(new)]) == 0


def test_the_folder_of_results_is_no_difference(folders):
    for folder in folders:
        paths = {"records": [f"{folder}/records/r.json"], "curves": [{"path": f"{folder}/fits/curves.csv"}]}
        config = {"suite": "it", "results": str(folder.parent), "data": str(folder), "seeds": 1}
        files.write_json(folder / "suite.json", {"root": str(folder), "config": config, **paths})
    assert differences(*folders) == []
    changed = {"root": str(folders[1]), "config": {**config, "seeds": 2}, **paths, "records": ["x"]}
    files.write_json(folders[1] / "suite.json", changed)
    assert differences(*folders) == [
        "suite.json › config › seeds: 1, now 2",
        "suite.json › records[0]: 'records/r.json', now 'x'",
    ]


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("experiments/it/unit.json", ("found", "parts")),
        ("experiments/it/unit.json", ("found", "code")),
        ("experiments/it/unit.json", ("found", "by", "timing")),
        ("experiments/it/unit.json", ("settings", "parts")),
        ("records/digits/other.json", ("method_options", "timing")),
        ("records/digits/other.json", ("code",)),
        ("robustbench/it.json", ("advntk", "attacks", "data")),
        ("grams/digits/gram.json", ("engine",)),
    ],
)
def test_what_only_shares_the_name_of_a_left_out_key_is_compared(folders, place, keys):
    for folder, value in zip(folders, (1, 2), strict=True):
        content = value
        for key in reversed(keys):
            content = {key: content}
        files.write_json(folder / place, content)
    assert differences(*folders) == [f"{place} › {' › '.join(keys)}: 1, now 2"]


@pytest.mark.parametrize(
    ("before", "after", "equal"),
    [
        (2e-14, 9e-14, True),
        (2e-14, 3e-13, False),
        (0.0, 0.0, True),
        (2e-14, np.nan, False),
    ],
)
def test_measures_of_rounding_agree_in_their_order(folders, before, after, equal):
    for folder, residual in zip(folders, (before, after), strict=True):
        np.savez(folder / "fit.npz", relative_residual=np.array(residual), coef=np.ones(3))
    assert (differences(*folders) == []) == equal
    np.savez(folders[1] / "fit.npz", coef=np.ones(3))
    assert differences(*folders) == ["fit.npz › relative_residual: gone"]


@pytest.mark.parametrize(
    ("place", "text", "told"),
    [
        ("record", json.dumps(RECORD | {"robust": [0.5, 0.26]}), "records/digits/r.json › robust[1]: 0.25, now 0.26"),
        ("record", json.dumps(RECORD | {"robust": [0.5]}), "records/digits/r.json › robust: 2 entries, now 1"),
        ("record", json.dumps(RECORD | {"method": 1}), "records/digits/r.json › method: 'ntk', now 1"),
        ("table", "method,robust\nntk,0.5\nat,0.1\n", "tables/robust_accuracy.csv[1] › robust: '', now 0.1"),
        ("table", "method,accuracy\nntk,0.5\nat,\n", "tables/robust_accuracy.csv[0] › robust: gone"),
    ],
)
def test_a_change_is_reported_with_its_place(folders, place, text, told):
    old, new = folders
    (new / PLACES[place]).write_text(text)
    assert told in differences(old, new)
    assert main([str(old), str(new)]) == 1


def test_arrays_and_missing_files(folders):
    old, new = folders
    np.savez(new / PLACES["arrays"], robust=np.array([True, True]), loss=np.array([0.1 + 1e-9, np.nan]))
    assert differences(old, new) == [
        "records/digits/r.npz › robust: 1 of 2 entries",
        "records/digits/r.npz › loss: 1 of 2 entries, by up to 1e-09",
    ]
    assert differences(old, new, tolerance=1e-6) == ["records/digits/r.npz › robust: 1 of 2 entries"]
    (new / PLACES["record"]).unlink()
    assert f"records/digits/r.json: only in {old}" in differences(old, new)


def test_folders_without_results_are_not_equal(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 1
