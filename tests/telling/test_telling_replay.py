"""Replays: a mix of code is refused, and accepted where a cell computed by both kinds of code came out the same."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.telling.consistency import check, made_of, settled
from advntk.telling.mixing import mixes, outdated
from advntk.telling.publishing.parts import add, keep, nothing_of
from advntk.telling.publishing.publish import publish
from advntk.telling.publishing.replay import accepted, replays
from advntk.telling.report import write_figure, write_table
from advntk.telling.suite_file import read_suite
from tests.telling.conftest import Builder
from tests.telling.whole_suite import CONFIG, MADE, change, fill

SMALL = {**CONFIG, "eps255": [16], "attacks": ["pgd"], "methods": ["ntk", "at"], "seeds": 2}
EVALUATE, FITS = MADE["sources"]
OTHER = {**MADE, "sources": {EVALUATE: "e2", FITS: "f1"}, "host": "hidden", "processor": "Another", "code": "c2"}


@pytest.fixture
def run(tmp_path):
    """Run a suite in a folder of its own: ``run(name, made, **changes of the configuration)``; gives its suite file."""

    def make(name: str, made: dict, **changes):
        (tmp_path / name).mkdir()
        return fill(Builder(tmp_path / name, **{**SMALL, **changes}), made)

    return make


@pytest.fixture
def published(run, tmp_path):
    """Folder of a suite of one seed, published."""
    out = tmp_path / "reference" / "quick"
    publish(read_suite(run("first", MADE, seeds=1)), out)
    return out


def replayed(published, path, bound: float = 0.5):
    """Compare, accept and write, as the verb does."""
    before = read_suite(published / "suite.json")
    publish(accepted(before, replays(before, read_suite(path, finished=True)), bound), published)
    return read_suite(published / "suite.json")


def joined(published, path):
    """The published suite with all finished pieces of another run."""
    whole, _ = add(read_suite(published / "suite.json"), read_suite(path, finished=True), replace_published=False)
    check(whole, str(published), whole=False)
    return settled(whole, allow_mixed=False, published=True)


def test_other_code_is_refused_without_a_replay_and_taken_with_one(run, published, tmp_path):
    path = run("second", OTHER)
    with pytest.raises(InputError, match=rf"mixes code of {EVALUATE}: e\d .*advntk accept") as caught:
        joined(published, path)
    assert f"{FITS}:" not in caught.value.line()
    told = replayed(published, path).accepted[0]
    assert told.sources == {EVALUATE: ("e1", "e2")}
    assert (told.differing, told.points, told.curve_points, told.bound) == (0, 0.0, 0.0, 0.5)
    assert (told.published["processor"], told.replay["processor"]) == ("A processor", "Another")
    assert (told.published["code"], told.replay["code"]) == ("c", "c2")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told.date)
    text = (published / "suite.json").read_text()
    assert "secret" not in text
    assert "hidden" not in text
    whole = joined(published, path)
    publish(whole, published)
    read = read_suite(published / "suite.json")
    assert {item.record.seed for item in read.measured} == {0, 1}
    (note,) = read.notes
    assert "in replays (digits / mlp-3 / ntk, seed 0; " in note
    assert ", 0 of 800 test images had a different outcome" in note
    write_table("methods", read, tmp_path / "t.csv")
    assert note in (tmp_path / "t.md").read_text()
    write_figure("depth", read, tmp_path / "t.svg")
    assert "different versions of the code" in re.sub(r"<[^>]+>|\s+", " ", (tmp_path / "t.svg").read_text())


def test_there_is_no_note_before_anything_is_mixed(run, published):
    assert replayed(published, run("second", OTHER)).notes == ()
    assert len(read_suite(published / "suite.json").accepted) == 4  # a fit of each method, the transfer, the experiment


def test_the_same_code_needs_no_replay(run, published):
    before = read_suite(published / "suite.json")
    found = replays(before, read_suite(run("second", {**MADE, "processor": "Another"}), finished=True))
    assert all(not replay.sources for replay in found)
    assert accepted(before, found, 0.5) is before


def test_a_replay_counts_for_the_modules_that_it_ran_only(run, published):
    """The published NTK and its replay ran no adversarial training: nothing is known of that module."""
    both = {"sources": {**OTHER["sources"], "advntk.learning.methods.at": "a2"}}
    path = run("second", OTHER)
    change(
        path, "/at/", lambda one: {**one, "provenance": {**one["provenance"], **both}} if "provenance" in one else one
    )
    before = read_suite(published / "suite.json")
    at = {"advntk.learning.methods.at": "a1"}
    records = tuple(
        replace(
            item, record=item.record.model_copy(update={"provenance": {**MADE, "sources": {**MADE["sources"], **at}}})
        )
        if item.record.method == "at"
        else item
        for item in before.measured
    )
    before = replace(before, measured=records)
    found = replays(before, read_suite(path, finished=True))
    kernel = accepted(before, [replay for replay in found if replay.piece.method == "ntk"], 0.5)
    again = read_suite(path, finished=True)
    left = mixes(made_of(add(kernel, again, replace_published=False)[0]), kernel.accepted)
    assert [mix.what for mix in left] == ["code of advntk.learning.methods.at"]
    whole = accepted(kernel, found, 0.5)
    assert not mixes(made_of(add(whole, again, replace_published=False)[0]), whole.accepted)


def test_what_equals_the_same_is_equal(run, published):
    """A third code is replayed against the second alone."""
    replayed(published, run("second", OTHER))
    publish(joined(published, published.parents[1] / "second" / "suite.json"), published)
    path = run("third", {**OTHER, "sources": {EVALUATE: "e3", FITS: "f1"}}, seeds=3)
    before = read_suite(published / "suite.json")
    again = keep(read_suite(path), lambda piece: piece.seed == 1)
    publish(accepted(before, replays(before, again), 0.5), published)
    whole = joined(published, path)
    assert {item.record.provenance["sources"][EVALUATE] for item in whole.measured} == {"e1", "e2", "e3"}
    for pair in (("e1", "e2"), ("e2", "e3")):
        less = replace(whole, accepted=tuple(one for one in whole.accepted if one.sources[EVALUATE] != pair))
        with pytest.raises(InputError, match="mixes code"):
            settled(less, allow_mixed=False, published=True)


@pytest.mark.parametrize(("flips", "swaps", "points"), [(0, 4, 0.0), (2, 4, 0.5), (3, 0, 0.75)])
def test_differing_outcomes_are_counted_and_the_accuracy_decides(run, published, flips, swaps, points):
    """Of 400 images some turn from robust to not, others change places: 0.5 points are allowed."""
    path = run("second", OTHER)
    item = next(item for item in read_suite(path).measured if item.record.method == "at" and item.record.seed == 0)
    robust = item.robust["last"].copy()
    yes, no = np.flatnonzero(robust), np.flatnonzero(~robust & item.clean["last"])
    robust[yes[: flips + swaps]] = False
    robust[no[:swaps]] = True
    arrays = files.read_npz(item.path.replace(".json", ".npz"))
    files.write_npz(item.path.replace(".json", ".npz"), {**arrays, "last.robust": robust})
    content = json.loads(Path(item.path).read_text())
    content["evaluations"]["last"]["robust_correct"] = int(robust.sum())
    files.write_json(item.path, content)
    found = replays(read_suite(published / "suite.json"), read_suite(path, finished=True))
    replay = next(one for one in found if one.piece.method == "at")
    assert (len(replay.flipped), replay.images) == (flips + 2 * swaps, 400)
    assert replay.points == pytest.approx(points)
    if points <= 0.5:
        assert {one.differing for one in replayed(published, path).accepted} == {0, flips + 2 * swaps}
    else:
        before = (published / "suite.json").read_text()
        with pytest.raises(
            InputError, match=r"at, ε = 16/255, seed 0: 3 of 400 test images differ.*more than 0\.5 points"
        ):
            replayed(published, path)
        assert (published / "suite.json").read_text() == before
        assert {one.bound for one in replayed(published, path, bound=1.0).accepted} == {1.0}


def raise_curve(place):
    lines = place.read_text().splitlines()
    for number, line in enumerate(lines[1:], start=1):
        step, split, clean, robust, loss = line.split(",")
        lines[number] = f"{step},{split},{clean},{min(float(robust) + 0.02, 1):.4f},{loss}"
    files.write_text(place, "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("part", "update"),
    [
        (
            "sweeps/",
            lambda one: {
                **one,
                "points": [{**point, "robust_accuracy": point["robust_accuracy"] / 2} for point in one["points"]],
            },
        ),
        ("transfers/", lambda one: {**one, "clean_correct": [377, 370]}),
        (
            "experiments/",
            lambda one: {
                **one,
                "found": {**one["found"], "mean": [[1.01 * x for x in row] for row in one["found"]["mean"]]},
            },
        ),
        ("experiments/", lambda one: {**one, "options": {**one["options"], "seeds": 99}}),
    ],
)
def test_every_kind_of_result_is_compared(run, published, part, update):
    path = run("second", OTHER)
    change(path, part, update)
    with pytest.raises(InputError, match=r"more than 0\.5 points"):
        replayed(published, path)


def test_curves_are_compared_by_their_mean_difference(run, published):
    path = run("second", OTHER)
    raise_curve(path.parent / "fits/digits/seed0/mlp-3/at/eps16/curve.csv")
    (replay,) = (
        one
        for one in replays(read_suite(published / "suite.json"), read_suite(path, finished=True))
        if one.piece.method == "at"
    )
    assert replay.curve_points == pytest.approx(1.0)  # 2 points of robust accuracy, none of clean
    with pytest.raises(InputError, match=r"along training by 1\.00 on average"):
        replayed(published, path)


@pytest.mark.parametrize("bound", [0.5, 100.0])
def test_other_data_are_never_accepted(run, published, bound):
    path = run("second", {**OTHER, "data": "d2"})
    with pytest.raises(InputError, match="is of data d2, the published one of d1"):
        replayed(published, path, bound)


def test_other_settings_are_no_replay(run, published):
    path = run("second", OTHER)
    change(path, "records/", lambda one: {**one, "n_val": 100})
    with pytest.raises(InputError, match=r"is not a replay of .*: n_val differ"):
        replayed(published, path)


def test_without_a_common_piece_nothing_is_accepted(run, published):
    again = nothing_of(read_suite(run("second", OTHER)))
    before = read_suite(published / "suite.json")
    with pytest.raises(InputError, match="no piece in common"):
        accepted(before, replays(before, again), 0.5)


def test_code_that_is_not_this_checkouts_is_named(run, published):
    made = made_of(read_suite(published / "suite.json"))
    assert outdated(made, ()) == [FITS, EVALUATE]


def test_an_option_that_older_code_lacks_is_no_difference_once_a_replay_shows_it(run, published):
    path = run("second", OTHER)

    def with_option(one: dict) -> dict:
        return {**one, "method_options": {**one["method_options"], "newer": 1}}

    change(path, "records/", with_option)
    with pytest.raises(InputError, match="mixes method options of the same row"):
        joined(published, path)
    replayed(published, path)
    assert len(joined(published, path).measured) == 4
    change(
        path, "seed1/mlp-3/at/eps16/pgd.json", lambda one: {**one, "method_options": {"report_attack": {"steps": 5}}}
    )
    with pytest.raises(InputError, match="mixes method options of the same row"):
        joined(published, path)


def test_other_checkpoints_are_no_replay(run, published):
    path = run("second", OTHER)
    before, again = read_suite(published / "suite.json"), read_suite(path)
    item = next(item for item in again.measured if item.record.method == "at")
    less = replace(item, robust={"last": item.robust["last"]}, clean={"last": item.clean["last"]})
    with pytest.raises(InputError, match="checkpoints differ"):
        replays(before, replace(again, measured=(less,)))
