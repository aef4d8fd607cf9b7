"""Publishing in parts: what is finished is added, the sum of the parts is the whole, and what is missing is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from matplotlib.text import Text

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.telling.accuracy_tables import standing
from advntk.telling.comparisons import comparisons
from advntk.telling.consistency import check, settled
from advntk.telling.frames import results
from advntk.telling.kinds.fits import FitFacts
from advntk.telling.kinds.grams import GramFacts
from advntk.telling.layout import style
from advntk.telling.pages import write_page
from advntk.telling.publishing.parts import add, missing, nothing_of
from advntk.telling.publishing.publish import publish
from advntk.telling.report import FIGURES, TABLES, write_table
from advntk.telling.robustbench import export
from advntk.telling.suite_file import read_suite
from tests.telling.conftest import Builder
from tests.telling.whole_suite import CONFIG, change, contents, fill, hide

SMALL = {**CONFIG, "eps255": [16], "methods": ["ntk", "at"], "seeds": 1}


def added(path: Path, out: Path, *, replace_published: bool = False):
    """Add the finished pieces of a suite to a folder, as the verb does; give the change."""
    found = read_suite(path, finished=True)
    before = read_suite(out / "suite.json") if out.exists() else nothing_of(found)
    whole, change = add(before, found, replace_published=replace_published)
    check(whole, str(out), whole=False)
    publish(settled(whole, allow_mixed=False, published=True), out)
    return change


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Path of a suite with every kind of result, and the folder of it published as a whole."""
    folder = tmp_path_factory.mktemp("everything")
    path = fill(Builder(folder, **{**CONFIG, "methods": ["ntk", "at"], "seeds": 2}))
    publish(read_suite(path), folder / "whole" / "quick")
    return path, folder / "whole" / "quick"


HALVES = {
    "seeds, the last first": lambda place: "seed1" not in place,
    "networks last": lambda place: "/at/" in place,
    "kernels last": lambda place: "/at/" not in place and "experiments" not in place,
    "one radius": lambda place: "/eps8/" in place,
    "experiments first": lambda place: "experiments" not in place,
}


@pytest.mark.parametrize("half", HALVES)
def test_two_parts_are_the_whole_to_the_last_byte(everything, tmp_path, half):
    path, whole = everything
    out = tmp_path / "quick"
    bring_back = hide(path, HALVES[half])
    try:
        added(path, out)
    finally:
        bring_back()
    first = contents(out)
    assert missing(read_suite(out / "suite.json"))
    added(path, out)
    assert contents(out) == contents(whole) != first
    assert not missing(read_suite(out / "suite.json"))
    assert (out.parent / "index.json").read_bytes() == (whole.parent / "index.json").read_bytes()


@pytest.mark.parametrize(
    ("gone", "pieces"),
    [
        ("records/digits/seed0/mlp-3/at/eps16/pgd_margin.json", {"at"}),
        ("records/digits/seed0/mlp-3/at/eps16/pgd.npz", {"at"}),
        ("fits/digits/seed0/mlp-3/at/eps16/curve.csv", {"at"}),
        ("fits/digits/seed0/mlp-3/at/eps16/fit.json", {"at"}),
        ("sweeps/digits/seed0/mlp-3/at/eps16/radius.json", {"at"}),
        ("fits/digits/seed0/mlp-3/ntk/anyeps/fit.json", {"ntk"}),
        ("grams/digits/seed0/mlp-3/gram.json", {"ntk"}),
        ("transfers/digits/seed0/eps16/pgd.json", {"transfer"}),
        ("experiments/ark_limit/mlp.seed1.json", {"experiment"}),
    ],
)
def test_what_is_not_finished_is_left_out_whole(build, tmp_path, gone, pieces):
    path = fill(build(**SMALL))
    (path.parent / gone).unlink()
    out = tmp_path / "reference" / "quick"
    change = added(path, out)
    absent = pieces | ({"transfer"} if pieces & {"at", "ntk"} else set())  # a transfer is of no use without its fits
    names = {"ntk", "at", "transfer", "experiment"}
    assert {
        name for name in names if any(f"{name} " in f"{piece.words}, ".replace(",", " ") for piece in change.added)
    } == names - absent
    suite = read_suite(out / "suite.json")
    lines = " ".join(missing(suite).lines())
    assert {name for name in names if re.search(rf"\b{name}\b(?!/)", lines)} == absent
    assert {fit.method for fit in suite.of(FitFacts)} == {"ntk", "at"} - absent
    assert len(suite.of(GramFacts)) == len({"ntk"} - absent)


def test_published_pieces_stay_unless_they_are_to_be_replaced(build, tmp_path):
    path, out = fill(build(**SMALL)), tmp_path / "reference" / "quick"
    added(path, out)
    before = contents(out)
    again = added(path, out)
    assert (again.added, again.replaced, again.kept) == ([], [], [])
    later = {"finished": "2027-01-01T00:00:00Z"}
    change(
        path, "/at/", lambda one: {**one, "provenance": {**one["provenance"], **later}} if "provenance" in one else one
    )
    kept = added(path, out)
    assert ([piece.method for piece in kept.kept], kept.replaced) == (["at"], [])
    assert contents(out) == before
    taken = added(path, out, replace_published=True)
    assert ([piece.words for piece in taken.replaced], taken.kept) == (["digits / mlp-3 / at, ε = 16/255, seed 0"], [])
    assert {item.record.provenance["finished"][:4] for item in read_suite(out / "suite.json").measured} == {
        "2026",
        "2027",
    }
    publish(read_suite(path), tmp_path / "whole" / "quick")
    assert contents(out) == contents(tmp_path / "whole" / "quick")


@pytest.mark.parametrize(
    ("grown", "replaced"),
    [
        ({"seeds": 2}, set()),
        ({"methods": ["ntk", "advntk", "at"]}, set()),
        ({"eps255": [8, 16]}, {"ntk"}),  # its one fit serves both radii
        ({"attacks": ["pgd", "pgd_margin", "fgsm"]}, {"ntk", "at"}),
    ],
)
def test_a_suite_may_grow(build, tmp_path, grown, replaced):
    out = tmp_path / "reference" / "quick"
    added(fill(build(**SMALL)), out)
    path = fill(build(**{**SMALL, **grown}))
    change = added(path, out)
    assert {piece.method for piece in change.replaced} == replaced
    publish(read_suite(path), tmp_path / "whole" / "quick")
    assert contents(out) == contents(tmp_path / "whole" / "quick")


def test_data_are_never_mixed(build, tmp_path):
    out = tmp_path / "reference" / "quick"
    path = fill(build(**SMALL))
    bring_back = hide(path, lambda place: "/at/" in place)
    added(path, out)
    bring_back()
    split = path.parent / "splits/digits/seed0/split.json"
    content = json.loads(split.read_text())
    files.write_json(split, {**content, "hash": "other"})
    for place in ("records/", "fits/", "grams/", "transfers/", "sweeps/"):
        change(path, place, lambda one: {**one, "split_hash": "other"})
    with pytest.raises(InputError, match=r"is another split of digits, seed 0, than the published one \(digits0\)"):
        added(path, out)


def test_parts_of_other_arrays_are_refused_whatever_their_seed(build, tmp_path):
    out = tmp_path / "reference" / "quick"
    path = fill(build(**SMALL | {"seeds": 2}))
    change(path, "splits/", lambda one: {**one, "sha256": "a" * 64})
    bring_back = hide(path, lambda place: "seed1/" in place)
    added(path, out)
    bring_back()
    assert change(path, "splits/digits/seed1", lambda one: {**one, "sha256": "b" * 64}) == 1
    with pytest.raises(InputError, match=r"seed1/split\.json: the arrays of digits have SHA-256 b+, .* part a+; run"):
        added(path, out)


def test_a_gram_matrix_of_another_machine_stands_beside_the_first(build, tmp_path):
    """Last digits differ by processor; each fit must still be of one of the matrices."""

    def of_gram(name: str, content: str):
        def update(one: dict) -> dict:
            inputs = {"inputs": {"gram": content}} if name == "fits/" else {"content": content}
            return {**one, "provenance": {**one["provenance"], **inputs}}

        return update

    config = {**SMALL, "methods": ["ntk", "early_stopped_ntk"], "sweeps": {}, "transfer": [], "experiments": {}}
    path, out = fill(build(**config)), tmp_path / "reference" / "quick"
    bring_back = hide(path, lambda place: "/early_stopped_ntk/" in place)
    change(path, "/ntk/anyeps/", of_gram("fits/", "g1"))
    change(path, "grams/", of_gram("grams/", "g1"))
    added(path, out)
    bring_back()
    change(path, "fits/", of_gram("fits/", "g2"))
    change(path, "grams/", of_gram("grams/", "g2"))
    added(path, out)
    assert [gram.provenance["content"] for gram in read_suite(out / "suite.json").of(GramFacts)] == ["g1", "g2"]
    content = json.loads((out / "grams.json").read_text())
    files.write_json(
        out / "grams.json", [{**content[0], "provenance": {**content[0]["provenance"], "content": "g3"}}, content[1]]
    )
    listing = json.loads((out / "suite.json").read_text())
    listing["parts"]["grams.json"] = files.sha256_of_file(out / "grams.json")
    files.write_json(out / "suite.json", listing)
    with pytest.raises(InputError, match="was computed from another gram"):
        read_suite(out / "suite.json")


@pytest.fixture
def partly(build, tmp_path):
    """Folder of a suite published without seed 2, and without AT of seed 1; the part of Adv-NTK is whole."""
    config = {**CONFIG, "eps255": [16], "experiments": {}}
    path, out = fill(build(**config)), tmp_path / "reference" / "quick"
    hide(
        path,
        lambda place: (
            ("seed2" in place and "/advntk/" not in place and "grams" not in place and "splits" not in place)
            or "seed1/mlp-3/at/" in place
        ),
    )
    added(path, out)
    return out


def test_a_partly_published_suite_says_what_is_missing_everywhere(build, tmp_path):
    config = {**CONFIG, "eps255": [16], "methods": ["ntk", "at"], "seeds": 2, "experiments": {}}
    path, out = fill(build(**config)), tmp_path / "reference" / "quick"
    hide(path, lambda place: "seed1/mlp-3/at/" in place)
    added(path, out)
    suite = read_suite(out / "suite.json")
    (note,) = suite.notes
    words = "Not published yet, and left out: 1 of 4 cells, 1 transfer"
    assert note == f"{words} (digits / mlp-3 / at: seed 1; digits / transfer of pgd: seed 1)."
    for table in TABLES:
        write_table(table, suite, tmp_path / f"{table}.csv")
        assert note in (tmp_path / f"{table}.md").read_text()
    for draw in FIGURES.values():
        with style():
            texts = [text.get_text() for text in draw(suite).findobj(Text)]
        assert words in " ".join(" ".join(texts).split())
    for place in export(suite, tmp_path / "export"):
        if place.name != "schema.json":
            assert note in json.loads(place.read_text())["footnote"]
    write_page(out.parent, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert note in page
    assert re.search(r"\| AT \(last\) .*\[a\] \|", page)
    assert "* [a] 1 of 2 seeds" in page


def test_methods_are_compared_on_the_seeds_that_both_have(partly):
    suite = read_suite(partly / "suite.json")
    found = results(suite)
    seeds = found[found["attack"] == "pgd"].groupby("method")["seeds"].first().to_dict()
    assert seeds == {"ntk": 2, "early_stopped_ntk": 2, "advntk": 3, "at": 1}
    frame = comparisons(suite)
    pairs = frame[frame["attack"] == "pgd"].set_index(["method_a", "method_b"])["seeds"].to_dict()
    assert pairs == {
        ("ntk", "early_stopped_ntk"): 2, ("ntk", "advntk"): 2, ("ntk", "at"): 1,
        ("early_stopped_ntk", "advntk"): 2, ("early_stopped_ntk", "at"): 1, ("advntk", "at"): 1,
    }  # fmt: skip
    known = found.set_index(["method", "checkpoint", "attack"])["robust_mean"]
    row = frame.set_index(["method_a", "method_b", "attack"]).loc["ntk", "early_stopped_ntk", "pgd"]
    assert row["robust_a"] == known["ntk", "final", "pgd"]
    assert row["difference"] == pytest.approx(row["robust_a"] - known["early_stopped_ntk", "final", "pgd"])


def test_the_best_is_chosen_among_methods_of_the_same_seeds(partly):
    """AT, with one seed, and Adv-NTK, with three, have the highest accuracies, on other images than the rest."""
    frame = standing(read_suite(partly / "suite.json"))
    found = frame[frame["attack"] == "pgd"].set_index(["method", "checkpoint"])["standing"].to_dict()
    assert found == {
        ("ntk", "final"): "worse", ("early_stopped_ntk", "final"): "best", ("advntk", "last"): "",
        ("advntk", "best_val"): "", ("at", "last"): "", ("at", "best_val"): "",
    }  # fmt: skip


def test_without_a_common_seed_there_is_no_comparison(build, tmp_path):
    config = {**CONFIG, "eps255": [16], "methods": ["ntk", "at"], "seeds": 2, "experiments": {}, "transfer": []}
    path, out = fill(build(**config)), tmp_path / "reference" / "quick"
    hide(path, lambda place: "seed0/mlp-3/at/" in place or "seed1/mlp-3/ntk/" in place)
    added(path, out)
    suite = read_suite(out / "suite.json")
    assert comparisons(suite).empty
    write_table("methods", suite, tmp_path / "t.csv")
    assert "no two methods have the same seeds" in (tmp_path / "t.md").read_text()
    for draw in FIGURES.values():
        with style():
            assert draw(suite)


def test_a_transfer_between_fits_that_were_replaced_is_left_out(build, tmp_path):
    def made(content: str, **inputs):
        return lambda one: {**one, "provenance": {**one["provenance"], "content": content, **inputs}}

    path, out = fill(build(**SMALL)), tmp_path / "reference" / "quick"
    change(path, "/ntk/anyeps/", made("n1"))
    change(path, "fits/digits/seed0/mlp-3/at/", made("a1"))
    change(path, "transfers/", made("", inputs={"fits": ["n1", "a1"]}))
    added(path, out)
    assert not missing(read_suite(out / "suite.json"))
    change(path, "fits/digits/seed0/mlp-3/at/", made("a2"))
    (path.parent / "transfers/digits/seed0/eps16/pgd.json").unlink()
    assert [piece.method for piece in added(path, out, replace_published=True).replaced] == ["at"]
    assert missing(read_suite(out / "suite.json")).lines() == ["digits / transfer of pgd: seed 0"]


def test_a_suite_of_the_schema_before_is_read(build, tmp_path):
    out = tmp_path / "reference" / "quick"
    publish(read_suite(fill(build(**SMALL))), out)
    now = read_suite(out / "suite.json")
    content = json.loads((out / "suite.json").read_text())
    del content["accepted"]
    files.write_json(out / "suite.json", {**content, "schema": "advntk-published-2"})
    before = read_suite(out / "suite.json")
    assert (before.results, before.notes) == (now.results, now.notes)
    assert [item.record for item in before.measured] == [item.record for item in now.measured]


def test_missing_is_told_by_network_and_method(build):
    config = {**CONFIG, "methods": ["ntk", "at"], "sweeps": {"radius": {"attack": "pgd", "values": [0, 8]}}}
    path = fill(build(**config))
    lack = missing(nothing_of(read_suite(path)))
    assert lack.count == "12 of 12 cells, 6 transfers, 1 experiment"
    assert lack.lines() == [
        "digits / mlp-3 / ntk, at, ε = 8/255, ε = 16/255: seeds 0, 1, 2",
        "digits / transfer of pgd, ε = 8/255: seeds 0, 1, 2",
        "digits / transfer of pgd, ε = 16/255: seeds 0, 1, 2",
        "experiment ark_limit",
    ]
    assert not missing(read_suite(path)).notes()
