"""The DAG as a program: counts, a whole run, reruns of exactly what changed, kills, bad input, lint."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
import yaml

from advntk import suite as suites
from advntk.cli import main
from advntk.foundation.provenance import code_digest
from advntk.telling.frames import COLUMNS
from advntk.workflow import Jobs
from tests.workflow.conftest import TINY, Checkout

RECORDS = "results/tiny/records/digits/seed0/mlp-2"
REPORT = {"tabulate": 5, "plot": 4, "webpage": 1}


def test_attacks_that_take_long_run_in_chunks_and_strength_is_swept(checkout):
    assert checkout.jobs("--configfile", "suites/attacks.yaml") == {
        "prepare": 1,
        "split": 1,
        "gram": 2,
        "fit": 8,
        "search": 2,
        "train": 2,
        "check": 2,
        "attack": 10,  # one chunk of AutoAttack a cell
        "evaluate": 50,
        "sweep": 30,
        "transfer": 1,
        "expand": 1,
        "tabulate": 7,
        "plot": 6,
        "webpage": 1,
    }


def test_what_is_missing_is_what_the_workflow_makes(checkout, monkeypatch, capsys):
    """All jobs but those of tables and figures, from the targets that are printed."""
    overlay = str(checkout.suite(seeds=2))
    monkeypatch.chdir(checkout.folder)
    assert main(["missing", "--configfile", overlay, "--targets"]) == 1
    targets = capsys.readouterr().out.split()
    found = checkout.jobs("--configfile", overlay, "--", *targets)
    learning = {"gram": 2, "fit": 6, "search": 1, "train": 2, "check": 1}
    assert found == {"prepare": 1, "split": 2, **learning, "evaluate": 8, "expand": 1}


def test_a_whole_run_leaves_tables_figures_and_nothing_to_do(finished):
    suite = str(finished.suite())
    root = finished.folder / "results/tiny"
    table = pd.read_csv(root / "tables/robust_accuracy.csv")
    assert list(table.columns) == [column.name for column in COLUMNS if column.name]
    assert len(table) == 1 + 1 + 2 + 2
    assert (table.robust_mean <= table.clean_mean).all()
    assert (table.clean_lo <= table.clean_mean).all()
    assert (table.clean_hi >= table.clean_mean).all()
    for name in ("methods", "robust_accuracy", "comparisons", "overfitting", "cost"):
        for form in ("csv", "md", "tex"):
            assert "pgd" in (root / f"tables/{name}.{form}").read_text()
    for figure in ("curves", "depth", "overfitting", "radius"):
        assert (root / f"figures/{figure}.svg").read_text().startswith("<?xml")
        assert (root / f"figures/{figure}.png").read_bytes().startswith(b"\x89PNG")
    assert finished.jobs("--configfile", suite) == {}
    assert not [path for path in root.rglob(".*") if path.is_file()]


def test_a_run_prints_a_line_a_job_with_what_it_found_and_ends_with_the_table(finished):
    lines = finished.printed.splitlines()
    heads = [re.match(r"\[ *(\d+)/(\d+), (about .* left|done)\] (\w+) (\S+): ", line) for line in lines]
    heads = [head for head in heads if head]
    total = int(heads[0][2])
    assert [int(head[1]) for head in heads] == list(range(1, total + 1))
    assert heads[-1][3] == "done"
    for path, record in finished.records().items():
        accuracy = record["evaluations"].popitem()[1]["robust_accuracy"]
        name = path.removeprefix("results/tiny/records/").removesuffix(".json").replace("/", ".")
        assert any(f"evaluate {name}: " in line and f"robust {100 * accuracy:.1f}%" in line for line in lines), name
    assert sum(line.startswith("| mlp-2 ") for line in lines) == 1 + 1 + 2 + 2
    assert "results/tiny/index.html" in finished.printed
    assert "jobid" not in finished.printed


def test_the_page_is_written(finished):
    assert "Suite tiny" in (finished.folder / "results/tiny/index.html").read_text()


def test_the_report_holds_table_and_figures(finished):
    out = finished.folder / "report.html"
    finished.run("--configfile", str(finished.suite()), "--report", str(out))
    text = out.read_text()
    assert all(f"{table}.csv" in text for table in ("methods", "robust_accuracy", "comparisons", "overfitting", "cost"))
    assert all(f"figures/{figure}.svg" in text for figure in ("curves", "depth", "overfitting", "radius"))


def test_every_fit_loads_as_a_library(finished, monkeypatch):
    import advntk

    monkeypatch.chdir(finished.folder)
    arrays = np.load("results/tiny/splits/digits/seed0/split.npz", allow_pickle=False)
    images = arrays["test_pixels"].astype(np.float32) / 255
    fits = sorted(finished.folder.glob("results/tiny/fits/digits/seed0/mlp-2/*/*"))
    assert len(fits) == 4
    for path in fits:
        method = path.parent.name
        record = finished.records()[f"results/tiny/records/digits/seed0/mlp-2/{method}/eps16/pgd.json"]
        for checkpoint, evaluation in record["evaluations"].items():
            logits = advntk.load(path, checkpoint=checkpoint).logits(images)
            assert logits.shape == (40, 10)
            assert (logits.argmax(axis=1) == arrays["test_labels"]).mean() == evaluation["clean_accuracy"]


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        # training of networks: its fit, its evaluation, and what collects records
        (
            "learning/adversarial_training.py",
            {"search": 1, "train": 1, "check": 1, "evaluate": 1, **REPORT},
        ),
        # the solver serves the two methods that use it; the Gram matrices stay
        ("foundation/krylov.py", {"fit": 2, "evaluate": 2, **REPORT}),
        # Adv-NTK can be trained under it
        ("attacks/entries/reference_fixed_gradient.py", {"fit": 1, "evaluate": 1, **REPORT}),
        ("attacks/entries/autoattack.py", {}),
        ("telling/listing.py", REPORT),
    ],
)
def test_an_edited_module_reruns_exactly_its_dependants(finished, module, expected):
    path = finished.folder / "advntk" / module
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"\n# edited\n")
        found = finished.jobs("--configfile", str(finished.suite()))
    finally:
        path.write_bytes(before)
    assert found == expected


@pytest.fixture
def another(finished, tmp_path):
    """A copy of the finished checkout, to be spoilt."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    copy = object.__new__(Checkout)
    copy.folder = tmp_path / "copy"
    return copy


def test_results_carry_the_digests_that_make_them_stale(finished):
    """What a table compares is what the rule reruns by: an edit that makes one stale shows in the other."""
    config = yaml.safe_load((finished.folder / "config.yaml").read_text())
    rules = Jobs(suites.resolve(suites.merged(config, TINY))).rules
    for path in finished.folder.glob("results/tiny/records/**/pgd.json"):
        wildcards = {"dataset": "digits", "architecture": "mlp-2", "method": path.parts[-3], "attack": "pgd"}
        made = [json.loads(path.read_text())["provenance"]]
        expected = [rules.evaluate.code(wildcards)]
        made.append(json.loads((path.parent / made[0]["places"]["fit"]).read_text())["provenance"])
        expected.append(rules.fit.code(wildcards))
        if gram := made[1]["places"].get("gram"):
            fit = path.parent / made[0]["places"]["fit"]
            made.append(json.loads((fit.parent / gram).read_text())["provenance"])
            expected.append(rules.gram.code(wildcards))
        assert [code_digest(*one["sources"]) for one in made] == expected
        assert all({module: code_digest(module) for module in one["sources"]} == one["sources"] for one in made)


def test_the_origin_of_a_record_is_told_down_to_the_data(finished):
    told = json.loads(finished.advntk("provenance", f"{RECORDS}/advntk/eps16/pgd.json", "--json").stdout)
    assert [link["kind"] for link in told] == ["record", "fit", "gram", "split", "prepared"]
    for link in told:
        assert not link["doubts"]
        assert set(link["code"].values()) == {"current"}
        assert {"host", "job", "device", "environment", "finished"} <= link["provenance"].keys()
    assert len({link["provenance"]["environment"] for link in told}) == 1
    assert len({link["provenance"]["data"] for link in told[:-1]}) == 1


def test_mixed_code_is_refused_until_it_is_allowed(another):
    """An edited module, and a run that was told not to look at code: one record is new, three are stale."""
    suite = ("--cores", "2", "--configfile", str(another.suite()), "--rerun-triggers", "mtime")
    module = another.folder / "advntk/measuring/evaluate.py"
    module.write_text(module.read_text() + "\n# edited\n")
    another.run(*suite, "--force", "--", f"{RECORDS}/ntk/eps16/pgd.json")
    table, figure = "results/tiny/tables/methods.csv", "results/tiny/figures/radius.svg"
    output = another.run(*suite, "--keep-going", "--", table, figure, expect=1)
    for verb in ("tabulate", "plot"):
        (line,) = set(re.findall(rf"advntk {verb}: error: .*", output))
        assert re.search(rf"{RECORDS}/\w+/eps16/pgd\.json: mixes code of advntk\.measuring\.evaluate: ", line)
        assert f"in {RECORDS}/ntk/eps16/pgd.json (1 file)" in line
    another.run(*suite, "--config", "allow_mixed=true", "--", table, figure)
    for path in (table.replace("csv", "md"), table.replace("csv", "tex"), figure):
        text = (another.folder / path).read_text()
        assert "Results of different origin are mixed here" in text
        assert "code of advntk.measuring.evaluate" in text
    # without the switch, Snakemake makes again what is stale, and the note goes
    stale = another.jobs("--configfile", str(another.suite()), "--", table)
    assert stale == {"evaluate": 3, "tabulate": 1}


def test_mixed_data_are_refused(another):
    """A second seed from a prepared file that was replaced in between."""
    prepared = another.folder / "data/prepared/digits.npz"
    with np.load(prepared, allow_pickle=False) as content:
        arrays = dict(content)
    arrays["x_train"] = arrays["x_train"].copy()
    arrays["x_train"][0, 0, 0, 0] ^= 1
    before = prepared.stat()
    np.savez(prepared, **arrays)
    os.utime(prepared, ns=(before.st_atime_ns, before.st_mtime_ns))
    suite = str(another.suite(seeds=2, methods=["ntk"]))
    table = "results/tiny/tables/robust_accuracy.csv"
    for made in (table, "results/tiny/suite.json"):  # these switches see a missing file, not a longer list
        (another.folder / made).unlink()
    output = another.run(*("--cores", "2", "--configfile", suite, "--rerun-triggers", "mtime", "--", table), expect=1)
    assert "mixes data of digits: " in output
    assert "seed0/mlp-2/ntk" in output
    assert "seed1/mlp-2/ntk" in output
    assert not (another.folder / table).exists()


def test_a_changed_option_reruns_exactly_its_cells(finished):
    options = {**TINY["method_options"], "advntk": {**TINY["method_options"]["advntk"], "steps": 5}}
    found = finished.jobs("--configfile", str(finished.suite(method_options=options)))
    finished.suite()
    assert found == {"fit": 1, "evaluate": 1, "expand": 1, **REPORT}


def test_an_added_attack_runs_only_that_attack(finished):
    found = finished.jobs("--configfile", str(finished.suite(attacks=["pgd", "pgd_margin"])))
    finished.suite()
    assert found == {"evaluate": 4, "expand": 1, **REPORT}


def test_a_gram_in_parts_is_the_whole(checkout):
    """Three jobs and a gather instead of one job: the same matrix, and no part left."""
    sizes = {"digits": {"n_opt": 1100, "n_val": 30, "n_test": 40}}
    suite = str(checkout.suite(methods=["ntk"], dataset_options=sizes, compute={"gram_parts": 3}))
    target = "results/tiny/grams/digits/seed0/mlp-2/gram.npy"
    found = checkout.jobs("--configfile", suite, "--", target)
    assert found == {"prepare": 1, "split": 1, "gram_part": 3, "gram_gather": 1}
    checkout.run("--cores", "2", "--configfile", suite, "--", target)
    folder = (checkout.folder / target).parent
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["gram.json", "gram.npy"]
    assert checkout.jobs("--configfile", suite, "--", target) == {}
    split = "results/tiny/splits/digits/seed0/split.json"
    architecture = json.dumps(TINY["architectures"][0])
    checkout.advntk("gram", "--split", split, "--architecture", architecture, "--out", "whole.npy")
    assert (checkout.folder / target).read_bytes() == (checkout.folder / "whole.npy").read_bytes()


def test_a_killed_run_goes_on_and_gives_the_same_records(finished, checkout):
    """SIGKILL of Snakemake and its jobs half way; the rerun does what is missing and the records are identical."""
    methods = ["ntk", "early_stopped_ntk", "advntk"]
    suite = ("--configfile", str(checkout.suite(methods=methods)))
    targets = ("--", *(f"{RECORDS}/{method}/eps16/pgd.json" for method in methods))
    process = subprocess.Popen(
        checkout.command("--cores", "1", *suite, *targets),
        cwd=checkout.folder,
        env=checkout.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    results = checkout.folder / "results/tiny"
    deadline = time.monotonic() + 240
    while len(list(results.glob("fits/**/fit.json"))) < 2:
        assert time.monotonic() < deadline, "no fit appeared"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in results.glob("fits/**/fit.json")}
    checkout.run("--unlock", *suite)
    left = checkout.jobs(*suite, *targets)
    assert left.keys() <= {"fit", "evaluate"}
    assert 0 < sum(left.values()) < 2 * len(methods)
    checkout.run("--cores", "2", *suite, *targets)
    kept = sum(path.stat().st_mtime_ns == stamp for path, stamp in done.items())
    assert kept >= len(done) - 1  # one may have been half way between its files
    assert checkout.records() == {name: record for name, record in finished.records().items() if "/at/" not in name}
    assert len(checkout.records()) == len(methods)


def test_one_failing_cell_fails_the_run_but_not_the_others(finished, another):
    """Adv-NTK fails; the NTK, whose fit and record are gone, is fitted and evaluated."""
    for place in (f"{RECORDS}/advntk", f"{RECORDS}/ntk", "results/tiny/fits/digits/seed0/mlp-2/ntk"):
        shutil.rmtree(another.folder / place)
    broken = another.folder / "advntk/learning/adv_ntk_fit.py"
    sound, faulty = "    options: AdvNtkOptions = task.options\n", '    raise ConfigError("planted fault")\n'
    assert broken.read_text().count(sound) == 1
    broken.write_text(broken.read_text().replace(sound, faulty))
    output = another.run("--cores", "2", "--configfile", str(another.suite()), expect=1)
    (line,) = [line for line in output.splitlines() if "planted fault" in line]
    assert line == "Error in rule fit digits.seed0.mlp-2.advntk.eps16: advntk fit: error: planted fault"
    assert "log: results/tiny/logs/fit/digits.seed0.mlp-2.advntk.eps16.log" in output
    assert "Traceback" not in output
    assert "non-zero exit status" not in output
    expected = {name: record for name, record in finished.records().items() if "/advntk/" not in name}
    assert another.records() == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": 3}, "sedes: unknown key (did you mean 'seeds'?)"),
        ({"results": "Snakefile"}, "cannot write results"),
    ],
)
def test_bad_configuration_stops_before_any_job(checkout, changes, message):
    output = checkout.run("--cores", "1", "--configfile", str(checkout.suite(**changes)), expect=1)
    assert message in output
    assert "Traceback" not in output
    assert not (checkout.folder / "data").exists()


def test_a_suite_runs_from_another_folder(checkout, tmp_path_factory):
    """``-s`` names the workflow: its config.yaml is the base wherever it is started, and results come to the folder."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    overlay = {name: value for name, value in TINY.items() if name != "network"}  # the base has it
    (elsewhere / "mine.yaml").write_text(yaml.safe_dump(overlay))
    (elsewhere / "config.yaml").write_text("seeds: 5\n")
    split = "results/tiny/splits/digits/seed0/split.json"
    command = ["-s", str(checkout.folder / "Snakefile"), "--configfile", "mine.yaml"]

    def run(*arguments):
        return subprocess.run(
            checkout.command(*command, *arguments),
            cwd=elsewhere,
            env=checkout.environment(),
            capture_output=True,
            text=True,
        )

    dry = run("--dry-run")
    assert dry.returncode == 0, dry.stdout[-3000:] + dry.stderr[-3000:]
    assert not (elsewhere / "results").exists()
    told = "config.yaml of this folder is read only where --configfile names it"
    assert dry.stderr.count(told) == 1
    assert run("--cores", "2", "--", split).stderr.count(told) == 1
    assert (elsewhere / split).is_file()
    assert not (checkout.folder / "results/tiny").exists()


def test_a_gram_with_a_nan_tile_is_refused(finished):
    import sys

    gram = finished.folder / "results/tiny/grams/digits/seed0/mlp-2/gram.npy"
    before = gram.read_bytes()
    try:
        matrix = np.load(gram, mmap_mode="r+", allow_pickle=False)
        matrix[32:48, 16:32] = np.nan
        matrix.flush()
        split = "results/tiny/splits/digits/seed0/split.json"
        command = [sys.executable, "-m", "advntk", "fit", "--method", "ntk", "--split", split, "--gram", str(gram)]
        command += ["--architecture", '{"family": "mlp", "depth": 2}', "--out", "nan/fit.json"]
        done = subprocess.run(command, cwd=finished.folder, capture_output=True, text=True)
    finally:
        gram.write_bytes(before)
    assert done.returncode == 1
    assert "256 NaN or infinite entries, the first in row 32 of 60; delete the file" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (finished.folder / "nan/fit.json").exists()


def test_a_folder_with_a_space_is_one_argument(checkout):
    units = {"families": ["mlp"], "activations": ["relu"], "seeds": 2}
    config = checkout.suite(results="my results", seeds=2, experiments={"definiteness": units})
    found = checkout.run("--dry-run", "--printshellcmds", "--configfile", str(config))
    commands = [shlex.split(command) for command in re.findall(r"python -m advntk .*", found)]
    assert {words[3] for words in commands} >= {"gram", "fit", "train", "evaluate", "experiment", "tabulate"}
    assert not [word for words in commands for word in words if word == "my" or word.startswith("results/")]
