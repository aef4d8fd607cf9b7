"""Publishing: a published suite is the suite: the same tables and figures, from small files that are checked."""

import json

import pytest

from advntk.cli import main
from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.strength import Shown, Sweep, SweepPoint, Transfer
from advntk.telling.publishing import packed
from advntk.telling.publishing.publish import publish, read_reference
from advntk.telling.report import FIGURES, TABLES, write_figure, write_table
from advntk.telling.robustbench import export
from advntk.telling.suite_file import read_suite

OUTSIDE = "reference_fixed_gradient"
ONE = {"architectures": [{"family": "mlp", "depth": 3}, {"family": "mlp", "depth": 5}], "eps255": [16]}


@pytest.fixture
def live(build):
    """The path of a suite's file, with every kind of result."""
    builder = build(**ONE, attacks=["pgd", OUTSIDE], protocol="reference")
    builder.provenance = {"code": "abc", "host": "secret", "job": "7", "threads": 2, "finished": "2026-01-02T03:04:05Z"}
    content = files.read_json(builder.fill().write())
    record = read_suite(builder.folder / "suite.json").measured[0].record
    shared = {"dataset": "digits", "seed": 0, "split_hash": "digits0", "attack": record.attack, "threat": record.threat}
    shared |= {"n_test": 400, "provenance": builder.provenance, "timing": {"wall_s": 7.0, "peak_mb": 90.0}}
    own = {"architecture": record.architecture, "method": "ntk", "checkpoint": "final"}
    points = [
        SweepPoint(value=value, robust_correct=count, robust_accuracy=count / 400, interval=(0.1, 0.9))
        for value, count in ((0, 380), (16, 130), (64, 0))
    ]
    sweep = Sweep(**shared, **own, trained_at=None, kind="radius", clean_correct=380, points=points)
    shown = [Shown(**own, kind="kernel"), Shown(**{**own, "method": "at", "checkpoint": "last"}, kind="network")]
    transfer = Transfer(**shared, predictors=shown, clean_correct=[380, 370], robust_correct=[[90, 200], [210, 300]])
    for name, result in (("sweeps", sweep), ("transfers", transfer)):
        place = builder.folder / f"{name}.json"
        files.write_json(place, result.model_dump(mode="json"))
        content[name] = [str(place)]
    files.write_json(builder.folder / "suite.json", content)
    return builder.folder / "suite.json"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "reference" / "quick"


def test_every_table_and_figure_is_the_same_to_the_last_byte(live, out, tmp_path):
    suites = {"live": read_suite(live)}
    publish(suites["live"], out)
    suites["published"] = read_suite(out / "suite.json")
    for name, suite in suites.items():
        for table in TABLES:
            write_table(table, suite, tmp_path / name / f"{table}.csv")
        for figure in FIGURES:
            write_figure(figure, suite, tmp_path / name / f"{figure}.svg")
        export(suite, tmp_path / name)
    first, second = (sorted((tmp_path / name).iterdir()) for name in suites)
    assert [path.name for path in first] == [path.name for path in second]
    assert len(first) > 3 * len(TABLES) + 2 * len(FIGURES)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_publishing_what_is_published_changes_nothing(live, out, tmp_path):
    publish(read_suite(live), out, command="my command")
    again = tmp_path / "again" / "quick"
    publish(read_suite(out / "suite.json"), again)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }
    assert read_suite(again / "suite.json").command == "my command"


def test_files_are_small_csv_and_json_and_name_no_machine(live, out):
    written = publish(read_suite(live), out)
    assert sorted(written) == sorted(out.iterdir())
    assert {path.suffix for path in written} == {".csv", ".json"}
    assert {f"{table}.csv" for table in TABLES if table not in ("claims", "certified")} <= {
        path.name for path in written
    }
    for path in written:
        text = path.read_text()
        assert "secret" not in text
        assert str(live.parent) not in text
        assert path.stat().st_size < 100_000
    for name in ("records-digits-mlp-3.json", "records-digits-mlp-5.json"):
        assert len(json.loads((out / name).read_text())) == 4 * 2 * 2  # methods, attacks, seeds
        assert len((out / name).read_text().splitlines()) == 4 * 2 * 2 + 2


def test_a_table_without_numbers_is_not_published(build, out):
    publish(read_suite(build(**ONE).fill().write()), out)
    names = {path.name for path in out.iterdir()}
    assert "methods.csv" in names
    assert not names & {"transfer.csv", "reference_protocol.csv", "sweeps.json", "transfers.json"}


def test_the_command_is_that_of_the_suites_file_unless_given(live, build, out):
    publish(read_suite(live), out)
    assert read_suite(out / "suite.json").command == "snakemake --cores all"
    other = out.parent / "other"
    publish(read_suite(build(**ONE, suite="other", methods=["ntk"]).fill().write()), other)
    assert read_suite(other / "suite.json").command == "snakemake --cores all --configfile suites/other.yaml"


def test_the_list_of_reference_results_grows_and_what_was_only_kept_leaves_it(live, build, out):
    kept = [{"suite": name, "command": "c", "tables": []} for name in ("quick", "older")]
    files.write_json(out.parent / "index.json", {"schema": "advntk-reference-1", "published": [], "kept": kept})
    for _ in range(2):
        publish(read_suite(live), out)
    publish(read_suite(build(**ONE, suite="other", methods=["ntk"]).fill().write()), out.parent / "other")
    found = read_reference(out.parent)
    assert found.published == ["quick", "other"]
    assert [one.suite for one in found.kept] == ["older"]


def test_parts_of_an_earlier_publication_are_deleted(live, build, out):
    publish(read_suite(live), out)
    publish(read_suite(build(**{**ONE, "architectures": [{"family": "mlp", "depth": 3}]}).fill().write()), out)
    assert not {"records-digits-mlp-5.json", "sweeps.json"} & {path.name for path in out.iterdir()}
    assert {item.record.architecture.depth for item in read_suite(out / "suite.json").measured} == {3}


@pytest.mark.parametrize("part", ["records-digits-mlp-3.json", "curves.csv", "fits.json", "grams.json"])
def test_a_part_that_was_edited_or_lost_is_refused(live, out, part):
    publish(read_suite(live), out)
    (out / part).write_text((out / part).read_text().replace("0", "1", 1))
    with pytest.raises(InputError, match=f"{part}: is missing or not as it was published"):
        read_suite(out / "suite.json")
    (out / part).unlink()
    with pytest.raises(InputError, match=f"{part}: is missing or not as it was published"):
        read_suite(out / "suite.json")


def test_a_suite_that_an_older_version_published_is_not_to_be_deleted(live, out):
    publish(read_suite(live), out)
    content = files.read_json(out / "suite.json")
    files.write_json(out / "suite.json", {**content, "schema": "advntk-published-1"})
    with pytest.raises(InputError, match=r"but of advntk-published-1; publish the suite again from its results"):
        read_suite(out / "suite.json")
    files.write_json(out / "suite.json", {**content, "schema": "advntk-published-1", "parts": {"old.json": ""}})
    (out / "old.json").write_text("")
    publish(read_suite(live), out)
    assert not (out / "old.json").exists()


def test_outcomes_are_checked_against_their_records_whatever_the_digest_says(live, out):
    publish(read_suite(live), out)
    part = out / "records-digits-mlp-3.json"
    items = files.read_json(part)
    for text, named in (("AAAA" + items[0]["robust"]["final"][4:], "its record"), ("?", "not base64")):
        items[0]["robust"]["final"] = text
        part.write_text(json.dumps(items))
        content = files.read_json(out / "suite.json")
        content["parts"][part.name] = files.sha256_of_file(part)
        files.write_json(out / "suite.json", content)
        with pytest.raises(InputError, match=named) as raised:
            read_suite(out / "suite.json")
        assert f"{part.name}, record 1" in raised.value.line()


def test_a_file_that_is_too_large_is_refused_before_anything_is_written(live, out, monkeypatch):
    monkeypatch.setattr(packed, "LIMIT", 10_000)
    with pytest.raises(InputError, match=r"would take 0\.0 MiB, the limit is 0"):
        publish(read_suite(live), out)
    assert not out.exists()


def test_another_folder_name_and_an_empty_suite_are_refused(live, build, out):
    with pytest.raises(InputError, match="suite 'quick' in a folder of another name; use"):
        publish(read_suite(live), out.parent / "fast")
    with pytest.raises(InputError, match="nothing was measured"):
        publish(read_suite(build(**ONE).write()), out)


def test_the_verb(live, out, capsys):
    words = ["publish", "--suite", str(live), "--out"]
    assert main([*words, str(out), "--command", "by hand"]) == 0
    assert read_suite(out / "suite.json").command == "by hand"
    assert main([*words, str(out.parent / "fast")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (
        main(["tabulate", "--suite", str(out / "suite.json"), "--table", "methods", "--out", str(out / "t.csv")]) == 0
    )
