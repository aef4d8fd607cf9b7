"""Results of different code, data or fits are refused, named, and shown with a footnote only where that is allowed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from advntk.cli import main
from advntk.foundation import provenance
from advntk.foundation.errors import InputError
from advntk.telling.mixing import Made, mixes
from advntk.telling.publishing.publish import publish
from advntk.telling.report import FIGURES, TABLES, write_figure, write_table
from advntk.telling.robustbench import export
from advntk.telling.suite_file import read_suite

EVALUATE, PGD = "advntk.measuring.evaluate", "advntk.attacks.entries.pgd"
ONE = {"architectures": [{"family": "mlp", "depth": 3}], "eps255": [16], "methods": ["ntk", "at"], "seeds": 1}
MADE = {"code": "c", "sources": {EVALUATE: "old", PGD: "p"}, "data": "d1"}


@pytest.fixture
def suite(build):
    """A suite whose results all carry the same digests, and how to change those of some files."""
    builder = build(**ONE)
    builder.provenance = MADE
    path = builder.fill().write()

    def change(part: str, **changes) -> Path:
        """Change the provenance of the first file whose path has this part."""
        place = next(place for place in [*builder.paths, *builder.fits, *builder.grams] if part in place)
        content = json.loads(Path(place).read_text())
        content["provenance"] = {key: value for key, value in (content["provenance"] | changes).items() if value}
        Path(place).write_text(json.dumps(content))
        return Path(place)

    change.path = path
    return change


def refused(path) -> str:
    with pytest.raises(InputError) as caught:
        read_suite(path)
    return caught.value.line()


def test_equal_digests_are_no_mix(suite):
    assert read_suite(suite.path).notes == ()


def test_other_code_is_refused_and_both_files_and_the_module_are_named(suite):
    other = suite("records/digits/seed0/mlp-3/at/", sources={EVALUATE: "new", PGD: "p"})
    message = refused(suite.path)
    assert message.startswith(f"{other}: mixes code of {EVALUATE}: new (1 file), but old in ")
    assert re.search(
        r"but old in \S+/records/digits/seed0/mlp-3/ntk/eps16/pgd\.json \(\d files\); run snakemake", message
    )
    assert "--allow-mixed" in message


def test_the_stale_file_is_the_one_that_this_checkout_did_not_make(suite):
    """Where one digest is that of the checkout, the other files are stale, though they are more."""
    now = provenance.code_digest(EVALUATE)
    suite("records/digits/seed0/mlp-3/at/", sources={EVALUATE: now, PGD: "p"})
    message = refused(suite.path)
    assert "/ntk/eps16/pgd.json: mixes" in message
    assert f"but {now} in" in message
    assert "/at/eps16/pgd.json (1 file)" in message


def test_modules_that_files_do_not_share_may_differ(suite):
    suite("records/digits/seed0/mlp-3/at/", sources={EVALUATE: "old", "advntk.learning.methods.at": "x"})
    assert read_suite(suite.path).notes == ()


def test_fits_and_gram_matrices_are_looked_at_too(suite):
    gram = suite("/grams/", sources={PGD: "other"})
    assert refused(suite.path).startswith(f"{gram}: mixes code of {PGD}: other (1 file), but p in")


def test_other_data_are_refused(suite):
    fit = suite("/fits/digits/seed0/mlp-3/at/", data="d2")
    assert refused(suite.path).startswith(f"{fit}: mixes data of digits: d2 (1 file), but d1 in")


def test_results_with_and_without_digests_do_not_belong_together(suite):
    old = suite("records/digits/seed0/mlp-3/at/", sources=None)
    assert refused(suite.path).startswith(f"{old}: mixes results with and without digests of their code: without (1")


def test_results_that_all_lack_digests_are_read(build):
    """As suites published before there were any."""
    builder = build(**ONE)
    builder.provenance = {"code": "abc"}
    assert read_suite(builder.fill().write()).notes == ()


def test_a_fit_or_gram_that_changed_after_its_results_is_refused(suite):
    record = suite("records/digits/seed0/mlp-3/ntk/", inputs={"fit": "f1"})
    fit = suite("/fits/digits/seed0/mlp-3/ntk/", content="f1", inputs={"gram": "g1"})
    gram = suite("/grams/", content="g1")
    assert read_suite(suite.path).notes == ()
    suite("/fits/digits/seed0/mlp-3/ntk/", content="f2")
    assert refused(suite.path).startswith(f"{record}: was computed from another fit (digest f1) than {fit} (f2);")
    suite("/grams/", content="g2")
    message = refused(suite.path)
    assert message.startswith(f"{record}: was computed from another fit")
    assert "(1 more such)" in message
    suite("/fits/digits/seed0/mlp-3/ntk/", content="f1")
    assert refused(suite.path).startswith(f"{fit}: was computed from another gram (digest g1) than {gram} (g2);")


def test_a_transfer_is_made_from_several_fits():
    fits = [
        Made(where=f"{name}.json", dataset="d", provenance={"sources": {}, "content": name}, name=name)
        for name in ("a", "b")
    ]
    whole = {"sources": {}, "inputs": {"fits": ["a", "x"]}}
    shown = Made(where="t.json", dataset="d", provenance={**whole, "data": "1"}, of={"fits": ["a", "b"]})
    data, found = mixes([*fits, shown])
    assert data.what == "data of d"
    assert (found.where, found.what) == ("t.json", "fits that changed after their results")
    assert "another fit (digest x) than b.json (b)" in found.problem


def test_where_it_is_allowed_every_table_figure_and_export_says_so(suite, tmp_path):
    suite("records/digits/seed0/mlp-3/at/", sources={EVALUATE: "new", PGD: "p"})
    read = read_suite(suite.path, allow_mixed=True)
    (note,) = read.notes
    assert f"code of {EVALUATE}" in note
    for table in TABLES:
        write_table(table, read, tmp_path / f"{table}.csv")
        assert note in (tmp_path / f"{table}.md").read_text()
        assert note.replace("_", r"\_") in (tmp_path / f"{table}.tex").read_text()
    for figure in FIGURES:
        write_figure(figure, read, tmp_path / f"{figure}.svg")
        words = re.sub(r"<[^>]+>|\s+", " ", (tmp_path / f"{figure}.svg").read_text())
        assert "Results of different origin are mixed here" in words
    for path in export(read, tmp_path / "export"):
        assert note in json.loads(path.read_text())["footnote"]


def test_a_published_mix_stays_one(suite, tmp_path):
    suite("records/digits/seed0/mlp-3/at/", sources={EVALUATE: "new", PGD: "p"})
    live, out = read_suite(suite.path, allow_mixed=True), tmp_path / "reference" / "quick"
    publish(live, out)
    assert refused(out / "suite.json").startswith(f"{out}/records-digits-mlp-3.json, record ")
    assert read_suite(out / "suite.json", allow_mixed=True).notes == live.notes
    page = ["page", "--reference", str(out.parent), "--out", str(tmp_path / "page.md")]
    assert main(page) == 1
    assert main([*page, "--allow-mixed"]) == 0
    assert live.notes[0] in (tmp_path / "page.md").read_text()


def test_verbs_refuse_in_one_line_unless_told(suite, tmp_path, capsys):
    suite("records/digits/seed0/mlp-3/at/", sources={EVALUATE: "new", PGD: "p"})
    read = ["--suite", str(suite.path)]
    for command in (
        ["tabulate", *read, "--table", "methods", "--out", str(tmp_path / "t.csv")],
        ["plot", *read, "--figure", "radius", "--out", str(tmp_path / "f.svg")],
        ["export", *read, "--out", str(tmp_path / "export")],
        ["publish", *read, "--out", str(tmp_path / "reference" / "quick"), "--command", "snakemake"],
    ):
        assert main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert f"mixes code of {EVALUATE}" in line
        assert main([*command, "--allow-mixed"]) == 0
        capsys.readouterr()


def test_wrong_training_labels_are_told(build):
    builder = build(**ONE)
    path = builder.fill().write()
    for place in builder.paths:
        content = json.loads(Path(place).read_text())
        Path(place).write_text(json.dumps({**content, "label_noise": 0.3}))
    assert read_suite(path).notes == ("30% of the training labels of digits (opt) are wrong.",)


def test_identical_images_are_noted(build):
    builder = build(**{**ONE, "seeds": 2})
    path = builder.fill().write()
    for place, overlap in zip(builder.splits(), ({"test": 3}, {"test": 1, "conflicts": 2}), strict=True):
        content = json.loads(Path(place).read_text())
        Path(place).write_text(json.dumps({**content, "overlap": overlap}))
    (note,) = read_suite(path).notes
    assert note == "digits has identical images in one of its splits: 3 of test also in opt or val, 2 with two labels."
