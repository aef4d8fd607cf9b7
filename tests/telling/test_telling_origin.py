"""``advntk provenance``: the chain behind a result, where each link ran, and whether its code is this checkout's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from advntk.cli import main
from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.provenance import code_digest, content_digest
from advntk.telling.origin import as_json, as_text, origin

MODULE = "advntk.foundation.losses"
RAN = {
    **{"code": "c", "environment": "e1", "python": "3.11.9", "prefix": "env7", "versions": {"numpy": "2.0"}},
    **{"processor": "Chip", "host": "node3", "scheduler": "slurm", "job": "42", "step": "0", "device": "cpu"},
    **{"threads": 2, "finished": "2026-01-02T03:04:05Z", "sources": {MODULE: code_digest(MODULE)}},
}
SPEC = {"family": "mlp", "depth": 3}


@pytest.fixture
def chain(tmp_path):
    """Files of a record, a sweep and a transfer, and all that is behind them; a function that changes one."""
    images = np.zeros((3, 2, 2, 1), np.uint8)
    labels = np.zeros(3, np.int64)
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:1], "y_test": labels[:1], "classes": np.array(2)}
    data = content_digest(arrays)
    (tmp_path / "fit").mkdir()
    files.write_npz(tmp_path / "data.npz", {**arrays, "provenance": np.array(json.dumps(RAN))})
    cell = {"dataset": "digits", "seed": 1, "architecture": SPEC, "split_hash": "s", "timing": {"wall_s": 2.5}}
    attack = {"attack": {"name": "pgd"}, "threat": {"norm": "linf", "eps255": 16.0}}
    about = {"inputs": {"fit": "f"}, "places": {"fit": "fit/fit.json"}, "data": data}
    several = {"inputs": {"fits": ["f"]}, "places": {"fits": ["fit/fit.json"]}, "data": data}
    fit = {"inputs": {"gram": "g"}, "places": {"gram": "../gram.json"}, "content": "f", "data": data}
    gram = {"places": {"split": "split.json"}, "content": "g", "data": data, "parts": [{"host": "node4"}, {}]}
    contents = {
        "record.json": {"schema_version": "advntk-record-2", "method": "ntk", **cell, **attack, "provenance": about},
        "sweep.json": {"schema_version": "advntk-sweep-1", "method": "ntk", **cell, **attack, "provenance": about},
        "transfer.json": {"schema_version": "advntk-transfer-1", **cell, **attack, "provenance": several},
        "fit/fit.json": {"schema_version": "advntk-fit-1", "method": "ntk", **cell, "provenance": fit},
        "gram.json": {"schema": "advntk-gram-1", **cell, "n": 3, "engine": "numba", "provenance": gram},
        "split.json": {"schema": "advntk-split-1", "dataset": "digits", "seed": 1, "hash": "s", "data": data},
    }
    contents["fit/fit.json"]["split"] = "../split.json"
    contents["split.json"]["provenance"] = {"places": {"prepared": "data.npz"}, "data": data}
    for name, content in contents.items():
        files.write_json(tmp_path / name, {**content, "provenance": {**RAN, **content["provenance"]}})
    files.write_npz(tmp_path / "record.npz", {"final.clean": np.array([True])})

    def change(name, **provenance):
        content = files.read_json(tmp_path / name)
        files.write_json(tmp_path / name, {**content, "provenance": {**content["provenance"], **provenance}})

    change.folder = tmp_path
    return change


WHOLE = ["fit", "gram", "split", "prepared"]


@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("record.json", ["record", *WHOLE]),
        ("record.npz", ["record", *WHOLE]),
        ("sweep.json", ["sweep", *WHOLE]),
        ("transfer.json", ["transfer", *WHOLE]),
        ("fit", WHOLE),
        ("fit/fit.json", WHOLE),
        ("gram.json", WHOLE[1:]),
        ("split.json", WHOLE[2:]),
        ("data.npz", WHOLE[3:]),
    ],
)
def test_every_kind_of_result_leads_to_its_data(chain, file, kinds):
    links = origin(chain.folder / file)
    assert [link.kind for link in links] == kinds
    assert all(link.code == {MODULE: "current"} and not link.doubts for link in links)


def test_where_each_ran_is_told_in_words(chain, capsys):
    assert main(["provenance", str(chain.folder / "record.json")]) == 0
    record, fit, gram, _, prepared = capsys.readouterr().out.split("\n\n")
    for text in (
        "ntk, mlp-3, digits, seed 1, under pgd at 16/255 (linf)",
        "2026-01-02T03:04:05Z, 2.5 s",
        "host node3, slurm job 42, step 0, device cpu, threads 2",
        "e1 (Python 3.11.9 in env7)",
        "numpy 2.0",
        "current: that of this checkout",
        code_digest(MODULE),
    ):
        assert text in record
    assert "numpy 2.0" not in fit  # of the same environment: it stands above
    assert "part 0" in gram
    assert "host node4" in gram
    assert "3 training and 1 test images, 2 classes" in prepared


def test_json_is_the_same_for_programs(chain, capsys):
    assert main(["provenance", str(chain.folder / "record.json"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(json.dumps(as_json(origin(chain.folder / "record.json"))))
    assert told[0]["provenance"]["host"] == "node3"
    assert told[0]["code"] == {MODULE: "current"}


def test_code_that_is_not_this_checkouts_is_named(chain):
    chain("record.json", sources={MODULE: "old", "advntk.gone": "x"})
    links = origin(chain.folder / "record.json")
    assert links[0].code == {MODULE: "differs", "advntk.gone": "gone"}
    assert f"not that of this checkout: {MODULE} (differs), advntk.gone (gone)" in as_text(links)


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [("fit/fit.json", {"content": "f2"}, "fit"), ("gram.json", {"content": "g2"}, "gram")],
)
def test_an_input_that_changed_since_is_told(chain, name, changes, kind):
    chain(name, **changes)
    links = {link.kind: link for link in origin(chain.folder / "record.json")}
    (doubt,) = links.pop(kind).doubts
    assert f"digest {kind[0]} then, {kind[0]}2 now" in doubt
    assert not any(link.doubts for link in links.values())


def test_other_prepared_data_are_told(chain):
    arrays = files.read_npz(chain.folder / "data.npz")
    files.write_npz(chain.folder / "data.npz", {**arrays, "y_train": np.ones(3, np.int64)})
    *_, prepared = origin(chain.folder / "record.json")
    assert "is not the one that the split" in prepared.doubts[0]


def test_what_is_not_there_any_more_ends_the_chain(chain):
    (chain.folder / "gram.json").unlink()
    links = origin(chain.folder / "record.json")
    assert [link.kind for link in links] == ["record", *WHOLE]
    assert [link.there for link in links] == [True, True, False, True, True]
    assert "not there any more" in as_text(links)


def test_older_results_say_that_they_do_not_know(chain):
    content = files.read_json(chain.folder / "record.json")
    old = {"code": "abc", "versions": {"numpy": "1"}, "host": "h", "device": "cpu"}
    files.write_json(chain.folder / "old.json", {**content, "provenance": old})
    (link,) = origin(chain.folder / "old.json")
    text = as_text([link])
    assert "unknown by module; package abc" in text
    assert "unknown (Python unknown)" in text
    files.write_json(chain.folder / "older.json", {**content, "provenance": {}})
    assert "unknown: the file is older" in as_text(origin(chain.folder / "older.json"))


def test_a_suite_is_told_as_a_whole(build):
    builder = build(architectures=[SPEC], methods=["ntk"], eps255=[16], seeds=1)
    builder.provenance = RAN
    text = as_text(origin(builder.fill().write()))
    for part in ("1 records, 1 fits, 1 grams", "node3 (3)", "e1 (3)", f"{code_digest(MODULE)}: 3"):
        assert part in text
    assert "mixed" not in text
    content = files.read_json(builder.paths[0])
    files.write_json(builder.paths[0], {**content, "provenance": {**RAN, "sources": {MODULE: "old"}}})
    text = as_text(origin(builder.folder / "suite.json"))
    assert f"mixed here, as was allowed: code of {MODULE}" in text
    assert "old (differs): 1" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "is not a result with provenance; give a record"),
        ('{"schema": "advntk-reference-1"}', "is not a result with provenance"),
        ('{"schema_version": "advntk-record-2", "provenance": 3}', "is not a result with provenance"),
        ("{", "not valid JSON"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=message):
        origin(tmp_path / "x.json")


def test_files_without_origin_are_refused(tmp_path):
    files.write_npz(tmp_path / "x.npz", {"x": np.zeros(2)})
    with pytest.raises(InputError, match="holds no prepared dataset"):
        origin(tmp_path / "x.npz")
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(InputError, match="is not a result"):
        origin(tmp_path / "x.txt")
    for name in ("none.json", "none.npz", "folder"):
        with pytest.raises(InputError, match="file not found"):
            origin(tmp_path / name)


def test_a_folder_moved_elsewhere_and_linked_back_is_left_by_its_link(chain):
    folder = chain.folder
    whole = [link.kind for link in origin(folder / "record.json")]
    (folder / "disk/deep").mkdir(parents=True)
    (folder / "fit").rename(folder / "disk/deep/fit")
    (folder / "fit").symlink_to(folder / "disk/deep/fit")
    links = origin(folder / "record.json")
    assert [link.kind for link in links] == whole
    assert all(link.there for link in links)
