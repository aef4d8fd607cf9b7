"""The zoo: its files are whole, its predictors load by name and give their records again, and a suite becomes a zoo."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

import advntk
from advntk import cli, zoo
from advntk import suite as suites
from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.planning.jobs import jobs_of

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
ENTRIES = zoo.entries()
NAMES = [entry.name for entry in ENTRIES]
STRONG = ["pgd_strong", "autoattack"]
ELSEWHERE = 1
"""Images by which counts may differ on a machine other than that of the records."""
TINY = {
    "suite": "tiny",
    "seeds": 1,
    "datasets": ["digits"],
    "architectures": [{"family": "mlp", "depth": 3}],
    "methods": ["ntk", "at"],
    "eps255": [16],
    "attacks": ["pgd_margin"],
    "network": {"width": {"mlp": 16}},
    "dataset_options": {"digits": {"n_opt": 100, "n_val": 20, "n_test": 20}},
    "method_options": {
        "at": {"steps": 2, "batch": 8, "report_every": 1, "warmup": 0, "search": [], "convergence_check": False}
    },
}


def test_the_zoo_is_what_its_list_says():
    assert len(set(NAMES)) == len(NAMES) >= 15
    listed = {name for entry in ENTRIES for name in (*entry.predictor, *entry.records)}
    there = {path.relative_to(zoo.ZOO).as_posix() for path in zoo.ZOO.rglob("*") if path.is_file()}
    assert there == listed | {zoo.LIST}
    sizes = [(zoo.ZOO / name).stat().st_size for name in there]
    assert max(sizes) <= zoo.LIMIT
    assert sum(sizes) <= 10 * 2**20
    assert {(row["dataset"], row["method"]) for row in zoo.rows()} == {
        (dataset, method)
        for dataset in ("digits", "fashion_mnist")
        for method in ("ntk", "ridge_ntk", "early_stopped_ntk", "advntk", "at")
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_a_predictor_gives_its_record_again(entry):
    assert zoo.replay(entry, attacks=["pgd_margin"], slack=ELSEWHERE) == []


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=NAMES)
def test_a_predictor_gives_its_records_under_strong_attacks_again(entry):
    assert [record.attack.name for record in zoo.records_of(entry).values()] == ["pgd_margin", *STRONG]
    assert zoo.replay(entry, attacks=STRONG, slack=ELSEWHERE) == []


def test_predictors_load_by_name(tmp_path, monkeypatch):
    name = "digits/seed0/mlp-3/advntk/eps16"
    predictor = advntk.load(name)
    images = np.random.default_rng(0).random((2, 8, 8, 1))
    assert predictor.logits(images).shape == (2, 10)
    other = "digits/seed0/mlp-3/ntk/anyeps"
    shutil.copytree(zoo.ZOO / "fits" / other, tmp_path / "fits" / name)
    shutil.copytree(zoo.ZOO / "splits", tmp_path / "splits")
    monkeypatch.chdir(tmp_path / "fits")
    expected = advntk.load(other).logits(images)
    np.testing.assert_array_equal(advntk.load(name).logits(images), expected)  # a folder of the name comes first


def test_a_name_that_is_none_has_a_hint():
    with pytest.raises(InputError, match="did you mean 'digits/seed0/mlp-3/advntk/eps16'"):
        advntk.load("digits/seed0/mlp-3/adv-ntk/eps16")


def test_a_changed_file_is_refused(tmp_path):
    copy, entry = tmp_path / "zoo", ENTRIES[0]
    shutil.copytree(zoo.ZOO, copy)
    assert zoo.folder_of(entry.name, copy).is_dir()
    for name in (*entry.predictor, *entry.records):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[:-1] + b" ")
        with pytest.raises(InputError, match="not as it was published"):
            zoo.folder_of(entry.name, copy) if name in entry.predictor else zoo.records_of(entry, copy)
        (copy / name).write_bytes(whole)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The suite file of a finished suite."""
    folder = tmp_path_factory.mktemp("tiny")
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    places = {"results": str(folder / "results"), "data": str(folder / "data")}
    suite = suites.resolve(suites.merged(suites.merged(config, TINY), places))
    for job in jobs_of(suite):
        if job.rule in ("tabulate", "plot", "webpage"):
            continue
        where = ["--threads", "1", "--device", "cpu"] if job.step.gpu else []
        assert cli.main([job.step.verb, *job.step.words(suite, job.wildcards), *where]) == 0
    return folder / "results" / "tiny" / "suite.json"


def test_a_finished_suite_becomes_a_zoo(tiny, tmp_path, capsys):
    out = tmp_path / "zoo"
    assert cli.main(["zoo", "build", str(tiny), "--zoo", str(out)]) == 0
    names = [entry.name for entry in zoo.entries(out)]
    assert names == ["digits/seed0/mlp-3/ntk/anyeps", "digits/seed0/mlp-3/at/eps16"]
    assert cli.main(["zoo", "replay", "--zoo", str(out)]) == 0
    assert cli.main(["zoo", "list", "--zoo", str(out)]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in names)
    fit = files.read_json(out / "fits" / names[1] / "fit.json")
    assert fit["provenance"]["sources"]
    assert not {"host", "places"} & fit["provenance"].keys()


def test_a_replay_tells_other_counts(tiny, tmp_path, capsys):
    out = tmp_path / "zoo"
    (entry, *_) = zoo.build([tiny], out)
    (place,) = entry.records
    record = files.read_json(out / place)
    record["evaluations"]["final"]["robust_correct"] += 1
    files.write_json(out / place, record)
    listed = files.read_json(out / zoo.LIST)
    listed["entries"][0]["records"][place] = files.sha256_of_file(out / place)
    files.write_json(out / zoo.LIST, listed)
    assert cli.main(["zoo", "replay", entry.name, "--zoo", str(out)]) == 1
    assert "robust_correct" in capsys.readouterr().out
    assert cli.main(["zoo", "replay", entry.name, "--slack", "1", "--zoo", str(out)]) == 0


def test_names_that_a_verb_would_ignore_are_errors(capsys):
    assert cli.main(["zoo", "list", NAMES[0]]) == 1
    assert "name none" in capsys.readouterr().err
    assert cli.main(["zoo", "replay", NAMES[0], "--attack", "pgd"]) == 1
    assert "no record of attack 'pgd'; give pgd_margin, pgd_strong, autoattack" in capsys.readouterr().err
    assert cli.main(["leaderboard", "build", "mine"]) == 1
    assert "add submissions first" in capsys.readouterr().err


def test_suites_whose_files_have_the_same_names_are_not_mixed(tiny, tmp_path):
    with pytest.raises(InputError, match="fit of this name"):
        zoo.build([tiny, tiny], tmp_path / "zoo")
    (tmp_path / "split.npz").write_bytes(b"one")
    digests = zoo._copied([tmp_path / "split.npz"], tmp_path, tmp_path / "copy")
    assert zoo._copied([tmp_path / "split.npz"], tmp_path, tmp_path / "copy") == digests
    (tmp_path / "split.npz").write_bytes(b"other")
    with pytest.raises(InputError, match="another file of this name"):
        zoo._copied([tmp_path / "split.npz"], tmp_path, tmp_path / "copy")


def test_what_no_zoo_is_made_of(tiny, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="published suite"):
        zoo.build([ROOT / "results/reference/deviations/suite.json"], tmp_path / "zoo")
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="something else"):
        zoo.build([tiny], tmp_path)
    monkeypatch.setattr(zoo, "LIMIT", 1000)
    with pytest.raises(InputError, match="MiB"):
        zoo.build([tiny], tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()
