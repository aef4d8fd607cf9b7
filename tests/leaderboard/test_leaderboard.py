"""The leaderboard: records and submissions come onto a page, which sorts, filters and fits; false records do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import advntk
from advntk import cli, leaderboard, zoo
from advntk.foundation import files
from advntk.foundation.errors import AdvntkError, InputError
from advntk.foundation.statistics import wilson
from advntk.leaderboard import submissions

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
ROWS = "#table-leaderboard tbody tr"
CODE = """
import torch

DATASET = "bright or dark"
SETTINGS = {"layout": "NCHW"}


def model():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
    torch.nn.init.constant_(net[1].weight, 1.0)
    with torch.no_grad():
        net[1].weight[0] *= -1
    return torch.nn.Sequential(Centred(), net)


class Centred(torch.nn.Module):
    def forward(self, images):
        return images - 0.5


def images_and_labels():
    images = torch.rand(40, 2, 2, 1, generator=torch.Generator().manual_seed(0)).numpy()
    return images, (images.sum((1, 2, 3)) > 2).astype(int)
"""
"""A submission: images of four pixels, bright ones and dark ones."""


@pytest.fixture
def submission(tmp_path):
    """Folder of a submission whose record is right."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "submission.py").write_text(CODE)
    code = submissions._code(folder)
    attacks = {"pgd_margin": {"kind": "pgd", "loss": "margin", "keep": "best"}, "fgsm": {}}
    given = {"attacks": attacks, "eps255": 20, "name": "Bright <b>1</b>", "out": folder / "record.json"}
    found = advntk.benchmark(code.model(), *code.images_and_labels(), **code.SETTINGS, **given)
    assert found.robust_accuracy < found.clean_accuracy == 1
    return folder


def changed(folder, change):
    content = files.read_json(folder / "record.json")
    change(content)
    files.write_json(folder / "record.json", content)


def test_a_right_submission_is_measured_again_and_added(submission, tmp_path, capsys):
    board = tmp_path / "board"
    assert cli.main(["leaderboard", "verify", str(submission)]) == 0
    assert cli.main(["leaderboard", "add", str(submission), "--board", str(board)]) == 0
    ((path, one),) = submissions.listed(board)
    assert (one.verified, one.dataset, path.name) == (True, "bright or dark", "bright-or-dark-bright-b-1-b.json")
    assert not {"host", "places"} & one.record.provenance.keys()
    record = str(submission / "record.json")
    assert cli.main(["leaderboard", "add", record, "--board", str(board)]) == 1
    assert "--dataset" in capsys.readouterr().err
    assert cli.main(["leaderboard", "add", record, "--board", str(board), "--dataset", "other"]) == 0
    assert [one.verified for _, one in submissions.listed(board)] == [True, False]


def _robust(record):
    """Claim that no attack broke an image, in numbers that fit one another."""
    for result in record["attacks"].values():
        one = result["evaluation"]
        one |= {"robust_correct": 40, "robust_accuracy": 1.0, "robust_interval": wilson(40, 40)}


def _worst(record):
    one = min((result["evaluation"] for result in record["attacks"].values()), key=lambda one: one["robust_correct"])
    count = one["robust_correct"] - 3
    record |= {"robust_accuracy": count / 40, "robust_interval": wilson(count, 40)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_robust, "robust_correct"),
        (_worst, "worst case"),
        (lambda record: record.update(images_digest="0" * 64), "images or labels"),
        (lambda record: record["attacks"]["fgsm"]["evaluation"]["flags"].append("mine"), "warnings"),
        (lambda record: record["flags"].append("mine"), "warnings"),
    ],
)
def test_a_false_record_is_refused(change, told, submission, tmp_path, capsys):
    changed(submission, change)
    assert cli.main(["leaderboard", "verify", str(submission)]) == 1
    assert told in capsys.readouterr().out
    assert cli.main(["leaderboard", "add", str(submission), "--board", str(tmp_path / "board")]) == 1
    assert not (tmp_path / "board").exists()


def _renamed(record):
    found = record["attacks"].pop("fgsm")
    found["attack"]["name"] = "autoattack"
    record["attacks"]["autoattack"] = found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda record: record.update(robust_accuracy=37.5), "worst case: 1500 robust images"),
        (lambda record: record.update(robust_interval=[0.99, 1.0]), "worst case: robust accuracy"),
        (lambda record: record.update(clean_accuracy=0.5), "worst case: clean accuracy"),
        (lambda record: record.update(n_test=10_000), "of 40 images"),
        (lambda record: record["attacks"]["fgsm"]["evaluation"].update(robust_accuracy=1.0), "fgsm: robust accuracy"),
        (lambda record: record["attacks"]["fgsm"]["evaluation"].update(robust_correct=-1), "fgsm: -1 robust"),
        (lambda record: record.update(attacks={}), "no attack"),
        (_renamed, "'autoattack' is 'autoattack' of kind 'fgsm'"),
    ],
)
def test_a_record_that_no_benchmark_writes_is_refused_with_and_without_its_model(change, told, submission, tmp_path):
    changed(submission, change)
    (submission / "submission.py").write_text("raise RuntimeError('the record is read first')")
    for path, dataset in ((submission, ""), (submission / "record.json", "digits")):
        with pytest.raises(InputError, match=told):
            submissions.read_submission(path, dataset=dataset)


def test_the_board_has_what_was_measured_again_not_what_was_sent(submission):
    changed(submission, lambda record: record["attacks"]["fgsm"]["evaluation"].update(attacked_correct=7, health={}))
    sent = submissions.read_submission(submission / "record.json", dataset="digits").record
    again = submissions.read_submission(submission).record
    assert sent.attacks["fgsm"].evaluation.attacked_correct == 7
    assert again.attacks["fgsm"].evaluation.attacked_correct != 7
    assert again.attacks["fgsm"].evaluation.health


def test_names_that_give_one_file_do_not_replace_one_another(submission, tmp_path):
    one = submissions.read_submission(submission / "record.json", dataset="digits")

    def add(name, dataset="digits"):
        record = one.record.model_copy(update={"name": name})
        return submissions.add(tmp_path, one.model_copy(update={"record": record, "dataset": dataset})).name

    assert add("My net") == add("My net") == "digits-my-net.json"
    assert add("x" * 400) == f"digits-{'x' * 80}.json"
    assert add("../x", dataset="../..") == "x.json"
    with pytest.raises(InputError, match="'My net' on 'digits' has this file"):
        add("my-net")
    with pytest.raises(InputError, match="no letter or digit"):
        add("模型")


def test_an_attack_outside_the_threat_model_is_not_compared(submission, tmp_path):
    changed(submission, lambda record: record["attacks"]["fgsm"]["attack"].update(inside_threat_model=False))
    one = submissions.read_submission(submission / "record.json", dataset="digits")
    with pytest.raises(InputError, match="threat model"):
        submissions.add(tmp_path / "board", one)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "file not found"),
        ("def model(:", "SyntaxError"),
        ("DATASET = 'x'\n", "defines no model"),
        ("DATASET = 'x'\nimport nothing_of_this_name\n", "ModuleNotFoundError"),
        (CODE.replace("    net = torch", "    raise RuntimeError('too old')\n    net = torch"), "too old"),
        (CODE.replace("        return images - 0.5", "        raise KeyError('lost')"), "lost"),
        ("raise SystemExit(0)", "SystemExit"),
        (CODE.replace('{"layout": "NCHW"}', '{"eps255": 1}'), "SETTINGS {'eps255': 1}; give batch"),
        (CODE.replace('"bright or dark"', "3"), "DATASET 3"),
    ],
)
def test_broken_code_has_one_clear_error(text, told, submission):
    path = submission / "submission.py"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(AdvntkError, match=told):
        submissions.verify(submission)


def test_what_is_no_record_is_refused(tmp_path, capsys):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"robust_accuracy": 1.0}))
    assert cli.main(["leaderboard", "add", str(path), "--dataset", "digits"]) == 1
    assert "record of advntk.benchmark" in capsys.readouterr().err
    assert cli.main(["leaderboard", "verify"]) == 1
    assert "name records" in capsys.readouterr().err


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page of all published suites, the zoo and one submission, and the number of its rows."""
    folder = tmp_path_factory.mktemp("board")
    evaluation = zoo.records_of(zoo.entries()[0])
    record = next(iter(evaluation.values()))
    judged = next(iter(record.evaluations.values())).model_copy(update={"flags": ["<i>masked</i> & more"]})
    one = submissions.Benchmark(
        name="mine & <b>ours</b>",
        model="torch.nn.Module",
        threat=record.threat,
        n_test=judged.n_test,
        clean_accuracy=judged.clean_accuracy,
        clean_interval=judged.clean_interval,
        robust_accuracy=1.0,
        robust_interval=(0.99, 1.0),
        attacks={"autoattack": {"attack": record.attack, "evaluation": judged}},
        flags=judged.flags,
        images_digest="",
        provenance={},
        timing={},
    )
    submissions.add(folder / "board", submissions.Listed(dataset="digits", verified=True, record=one))
    out = folder / "index.html"
    places = ["--board", str(folder / "board"), "--reference", str(REFERENCE), "--out", str(out)]
    assert cli.main(["leaderboard", "build", *places]) == 0
    return out


def column(tab, title):
    """The cells of a column, as they are shown."""
    titles = [text.strip() for text in tab.locator("#table-leaderboard thead th .dt-column-title").all_inner_texts()]
    return tab.locator(f"{ROWS} td:nth-child({titles.index(title) + 1})").all_inner_texts()


def info(tab):
    return tab.locator("#all-results .dt-info").inner_text()


def choose(tab, title, value):
    """Choose a value in the menu of a column."""
    tab.locator("#table-leaderboard thead th", has_text=title).locator(".dtcc-button").click()
    tab.locator(".dtcc-dropdown .dtcc-list-buttons button", has_text=value).click()
    tab.keyboard.press("Escape")


def test_the_page_sorts_and_the_best_comes_first(built, open_page):
    tab = open_page(built)
    robust = list(map(float, column(tab, "robust %")))
    assert robust == sorted(robust, reverse=True)
    assert robust[0] == 100
    tab.locator("#table-leaderboard thead th", has_text="clean %").locator(".dt-column-title").click()
    clean = list(map(float, column(tab, "clean %")))
    assert clean == sorted(clean)
    assert clean[0] < clean[-1]


def test_the_page_filters_by_dataset_threat_model_and_attack(built, open_page):
    tab = open_page(built)
    choose(tab, "dataset", "fashion_mnist")
    choose(tab, "threat model", "8/255")
    choose(tab, "attack", "pgd_margin")
    assert set(column(tab, "dataset")) == {"fashion_mnist"}
    assert set(column(tab, "threat model")) == {"ℓ∞ 8/255"}
    assert set(column(tab, "attack")) == {"pgd_margin"}
    tab.locator("#all-results .dt-search input").fill("zoo")
    assert set(column(tab, "source")) == {"zoo"}
    assert "5 entries" in info(tab)


def test_what_is_certified_stands_beside_the_attack(tmp_path, monkeypatch):
    row = {"dataset": "digits", "network": "mlp-3", "method": "ntk", "checkpoint": "final", "eps255": 16.0}
    proof = pd.DataFrame([row | {"attack": "pgd_margin", "certified_mean": 0.123}])
    monkeypatch.setattr(leaderboard, "certified", lambda suite: proof)
    shown = []
    monkeypatch.setattr(leaderboard.webpage, "sortable", lambda frame, **given: shown.append(frame) or "")
    leaderboard.build(tmp_path / "index.html", board=tmp_path, reference=REFERENCE)
    (frame,) = shown
    beside = frame[frame["certified %"].notna()]
    assert set(beside["certified %"]) == {12.3}
    assert set(beside["model"]) == {"NTK, mlp-3"}
    assert set(beside["attack"]) == {"pgd_margin"}


def test_links_lead_to_records_and_names_are_shown_as_written(built, open_page):
    tab = open_page(built)
    assert "mine & <b>ours</b>" in column(tab, "model")
    assert "<i>masked</i> & more" in column(tab, "warnings")
    assert tab.locator("td i, td b").count() == 0
    tab.locator("#all-results .dt-length select").select_option("1000")
    targets = {Path(built.parent, link.get_attribute("href")) for link in tab.locator(f"{ROWS} td a").all()}
    assert len(targets) > 20
    assert all(target.is_file() for target in targets)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_fits_its_window_in_both_colour_schemes(built, open_page, width, scheme):
    tab = open_page(built)
    tab.set_viewport_size({"width": width, "height": 900})
    tab.emulate_media(color_scheme=scheme)
    tab.reload()
    tab.wait_for_selector(f"{ROWS} td")
    assert tab.evaluate("document.documentElement.scrollWidth") == width
    colour = tab.evaluate(f"getComputedStyle(document.querySelector('{ROWS} td')).color")
    brightness = np.mean(list(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))))
    assert (brightness > 128) == (scheme == "dark")


def test_a_column_of_links_is_as_wide_as_its_words():
    frame = pd.DataFrame({"words": ["a " * 30], "record": [leaderboard.webpage.link("record", "folder/" * 9)]})
    html = leaderboard.webpage.sortable(frame, name="two")
    assert '{"className": "wrapped", "targets": [0]}' in html
