"""Plans: the jobs of Snakemake, times beside measurements, and what will not fit."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from advntk import suite as suites
from advntk.cli import main
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import InputError
from advntk.foundation.options import validated
from advntk.planning import plan
from advntk.planning.config import read_suite, require_of_files, what_counts
from advntk.planning.costs import Cost, Costs, Measurements, committed, cpu_seconds, read_costs, write_costs
from advntk.planning.jobs import jobs_of
from advntk.planning.resources import Resources
from advntk.step import suite_file
from advntk.workflow import Jobs
from tests.planning.test_resources import COSTS, ROOT, suite_of
from tests.workflow.conftest import Checkout

ROOMY = plan.Limits(cores=2, memory_mb=1e9, disk_gb=1e9)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def planned(name: str = "", limits: plan.Limits = ROOMY, **changes) -> plan.Plan:
    return plan.plan(suite_of(name, **changes), Measurements(committed(ROOT)), limits)


@pytest.mark.parametrize(
    ("overlays", "settings"),
    [
        ([], []),
        (["suites/smoke.yaml"], []),
        (["suites/paper.yaml"], ["seeds=1", "datasets=[cifar10]"]),
        (["suites/fashion_full.yaml"], ["compute={gram_parts: 4}"]),
    ],
)
def test_jobs_are_those_of_snakemake(tmp_path, overlays, settings):
    checkout, counts = Checkout(tmp_path), {}
    for job in jobs_of(read_suite([ROOT / path for path in overlays], settings)):
        counts[job.rule] = counts.get(job.rule, 0) + 1
    flags = ["--configfile", *overlays] if overlays else []
    assert counts == checkout.jobs(*flags, *(["--config", *settings] if settings else []))


def test_each_job_comes_after_those_that_it_reads():
    seen = set()
    for job in jobs_of(suite_of("smoke")):
        assert seen.issuperset(job.after)
        assert job.key not in seen
        seen.add(job.key)


def test_a_plan_is_bounded_by_its_longest_chain_and_by_its_cores():
    few, many = (planned("", plan.Limits(cores=cores, memory_mb=1e9, disk_gb=1e9)) for cores in (1, 10_000))
    assert few.wall_h == pytest.approx(few.whole.cpu_h)
    assert many.wall_h == pytest.approx(many.chain_s / 3600)
    assert many.chain_s < 3600 * few.wall_h


def test_what_will_not_fit_is_named():
    tight = planned("paper", plan.Limits(cores=4, memory_mb=1500, disk_gb=1, hours=0.1))
    memory, hours, disk = tight.misfits()
    assert "1,500 MiB of memory" in memory
    assert "evaluate cifar10 mlp-3 ntk (12)" in memory
    assert "0.1 hours a job" in hours
    assert "on the disk" in disk
    assert not planned("smoke").misfits()


@pytest.mark.parametrize("path", COSTS, ids=lambda path: path.stem)
def test_a_suite_takes_about_what_the_others_say(path):
    """Its jobs of each rule together, by measurements that it had no part in."""
    others = Measurements(read_costs(other) for other in COSTS if other != path)
    estimated: dict[str, float] = {}
    measured: dict[str, float] = {}
    for job, cost in read_costs(path).pairs:
        if time := others.estimate(job.need):
            estimated[job.rule] = estimated.get(job.rule, 0.0) + time.cpu_s
            measured[job.rule] = measured.get(job.rule, 0.0) + cost.cpu_s
    assert {"gram", "fit", "train", "evaluate"} <= set(measured)
    for rule, cpu_s in measured.items():
        assert cpu_s / 4 <= estimated[rule] <= 4 * cpu_s, rule
    assert sum(measured.values()) / 2 <= sum(estimated.values()) <= 2 * sum(measured.values())


def gram(suite: suites.Suite, cpu_s: float, wall_s: float = 1.0, *, gpu: bool = False) -> Costs:
    """The first Gram matrix of a suite, measured."""
    job = next(job for job in jobs_of(suite) if job.rule == "gram")
    cost = Cost(key=job.key, cpu_s=cpu_s, wall_s=wall_s, peak_mb=1.0, gpu=gpu)
    return Costs(suite=suite, machine="M", costs={job.key: cost})


def test_the_nearest_job_of_the_same_family_is_taken_and_scaled():
    sizes = [{"digits": {"n_opt": n}} for n in (300, 1000, 1100)]
    small, near, wanted = (suite_of(suite=f"n{n}", dataset_options=one) for n, one in enumerate(sizes))
    convolutional = suite_of(suite="other", architectures=[{"family": "cnn", "depth": 3}], dataset_options=sizes[2])
    need = Resources(wanted).gram("digits", "mlp-3")
    found = Measurements([gram(small, 5.0), gram(convolutional, 9.0), gram(near, 10.0)]).estimate(need)
    assert found is not None
    assert found.source == "n1 (M)"
    assert found.cpu_s == pytest.approx(10.0 * need.work / Resources(near).gram("digits", "mlp-3").work)
    assert Measurements([gram(small, 5.0)]).estimate(Resources(wanted).gram_gather("digits")) is None
    other_engine = suite_of(compute={"kernel_engine": "neural_tangents"})
    assert Measurements([gram(small, 5.0)]).estimate(Resources(other_engine).gram("digits", "mlp-3")) is None


def test_a_gpu_counts_for_jobs_that_ask_for_one_only():
    suite = suite_of()
    need = Resources(suite).gram("digits", "mlp-3")
    on_gpu, on_cpu = gram(suite, 3.0, 100.0, gpu=True), gram(suite, 40.0)
    both = Measurements([on_cpu, on_gpu])
    with_gpu, without = (both.estimate(need, gpu=gpu) for gpu in (True, False))
    assert with_gpu is not None
    assert without is not None
    assert with_gpu.lasts_s(4) == 100.0
    assert without.lasts_s(4) == 10.0
    assert Measurements([on_gpu]).estimate(need) is None


def test_what_was_not_measured_is_said_and_gets_the_default_time(tmp_path):
    suite = suite_of()
    found = plan.plan(suite, Measurements([gram(suite, 30.0)]), ROOMY)
    assert 0 < found.whole.unknown < len(found.jobs)
    assert any(line.row[2] == plan.UNMEASURED for line in found.lines)
    unmeasured, measured = (Jobs(suite, place).rules.fit.runtime for place in (tmp_path, ROOT))
    job = {"dataset": "digits", "architecture": "mlp-3", "method": "ntk"}
    assert measured(job, 1) < unmeasured(job, 1) == 24 * 60


def test_a_method_that_was_not_measured_asks_for_the_time_of_others():
    """Sixteen small evaluations share a job of a cluster and ask for the sum of their times."""
    suite = suite_of("smoke")
    jobs = Jobs(suite, ROOT)
    for attack in suite.attacks:
        assert jobs.measurements.estimate(jobs.resources.evaluate("digits", "mlp-3", "ridge_ntk", attack)) is None
        job = {"dataset": "digits", "architecture": "mlp-3", "method": "ridge_ntk", "attack": attack}
        assert 15 < jobs.rules.evaluate.runtime(job, 1) < 60


def test_what_snakemake_did_not_see_any_more_is_added():
    assert cpu_seconds(9.75, 10.0) == pytest.approx(10.0)
    assert cpu_seconds(75.5, 100.0) == pytest.approx(100.0)


def test_costs_outlive_the_results(tmp_path):
    found = read_costs(COSTS[0])
    write_costs(found, tmp_path / "costs.json")
    again = read_costs(tmp_path / "costs.json")
    assert again.costs == found.costs
    assert {job.key for job, _ in again.pairs} == set(found.costs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"suite": "quick"}, "names no suite; give results/SUITE/suite.json"),
        ({"config": {"no_such_key": 1}}, "not a suite of this version: .*no_such_key"),
        ({"config": {}}, "none of its jobs has a benchmark"),
    ],
)
def test_files_that_hold_no_costs_are_refused(tmp_path, content, message):
    path = tmp_path / "suite.json"
    if content.get("config") == {}:
        content = {"config": suite_of().config.model_dump(mode="json")}
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"suite\.json: {message}"):
        read_costs(path)


def test_a_suite_that_ran_here_is_measured(tmp_path, capsys):
    suite = suite_of(suite="mine", results=str(tmp_path), architectures=[{"family": "mlp", "depth": 4}])
    bench = tmp_path / "mine/benchmarks/gram/digits.seed0.mlp-4.jsonl"
    bench.parent.mkdir(parents=True)
    bench.write_text(json.dumps({"s": 10.0, "cpu_time": 9.75, "max_rss": 200.0}))
    (tmp_path / "mine/suite.json").write_text(json.dumps(suite_file(suite)))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/suite.json").write_text("{}")
    assert main(["plan", "--json", "--config", f"results={tmp_path}", "architectures=[{family: mlp, depth: 4}]"]) == 0
    output = capsys.readouterr()
    assert any(source.startswith("mine (") for source in json.loads(output.out)["measured"])
    assert "other/suite.json: names no suite" in output.err
    # its Gram matrix had a GPU, as it asked for one and a fit of the same run had one
    assert not next(iter(read_costs(tmp_path / "mine/suite.json").costs.values())).gpu
    fit = next(Path(job.path) for job in jobs_of(suite) if (job.rule, job.method) == ("fit", "advntk"))
    fit.parent.mkdir(parents=True)
    fit.write_text(json.dumps({"timing": {}, "provenance": {"device_name": "NVIDIA H200"}}))
    assert next(iter(read_costs(tmp_path / "mine/suite.json").costs.values())).gpu


def told(capsys, *arguments: str, expect: int = 0) -> str:
    assert main(["plan", *arguments]) == expect
    output = capsys.readouterr()
    return output.err if expect else output.out


def test_the_command_prints_a_table_and_what_it_means(capsys, tmp_path):
    text = told(capsys, "--configfile", "suites/smoke.yaml", "--cores", "2", "--config", f"results={tmp_path}")
    assert "deviations (AMD EPYC)" in text
    assert "jobs ask a cluster for a GPU" in text
    one = json.loads(told(capsys, "--configfile", "suites/smoke.yaml", "--json", "--cores", "2"))
    assert one["suite"] == "smoke"
    assert one["rules"][-1]["jobs"] == len(jobs_of(suite_of("smoke")))
    in_markdown = told(capsys, "--config", "seeds=1", "--markdown", "--cores", "2")
    assert any(line.startswith("| total ") for line in in_markdown.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--configfile", "suites/papre.yaml"], "file not found"),
        (["--config", "sedes=1"], "did you mean 'seeds'"),
        (["--config", "seeds"], "is not KEY=VALUE"),
        (["--config", "seeds=["], "not YAML"),
    ],
)
def test_errors_say_what_to_do(capsys, arguments, words):
    text = told(capsys, *arguments, expect=1)
    assert words in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], None),
        (["compute={memory_mb: 900}", "dataset_options={mnist: {mirror: elsewhere}}"], None),
        (["seeds=5"], r"differs from suites/smoke.yaml in seeds; give --command"),
        (["method_options={at: {steps: 7}}"], r"in method_options.at; give"),
        (["suite=smoke_noisy"], r"no suites/smoke_noisy.yaml makes this suite; give --command"),
    ],
)
def test_a_suite_of_other_settings_than_its_files_needs_its_command_to_be_published(settings, message):
    smoke = Path("suites/smoke.yaml")
    found = read_suite([smoke], settings).config
    if message is None:
        require_of_files(found, where=Path("suite.json"))
    else:
        with pytest.raises(InputError, match=message):
            require_of_files(found, where=Path("suite.json"))


REFERENCE = json.loads((ROOT / "results/reference/index.json").read_text())


def test_what_is_outdated_is_listed():
    assert REFERENCE["outdated"].keys() <= {*REFERENCE["published"], *(one["suite"] for one in REFERENCE["kept"])}


@pytest.mark.parametrize("name", [name for name in REFERENCE["published"] if name not in REFERENCE["outdated"]])
def test_the_command_of_a_published_suite_gives_its_configuration(name):
    """A suite file that was edited after the run needs a command that sets what was run."""
    published = json.loads((ROOT / "results/reference" / name / "suite.json").read_text())
    program, *arguments = shlex.split(published["command"])
    assert program == "snakemake"
    config = arguments.index("--config") if "--config" in arguments else len(arguments)
    overlays = [Path(arguments[at + 1]) for at, word in enumerate(arguments[:config]) if word == "--configfile"]
    found, made = read_suite(overlays, arguments[config + 1 :]).config, validated(SuiteConfig, published["config"], "")
    for key in published["config"]:
        assert what_counts(found)[key] == what_counts(made)[key], key


def test_the_page_is_what_the_command_writes(tmp_path):
    """docs/cost.md is up to date."""
    page = tmp_path / "cost.md"
    page.write_text((ROOT / "docs/cost.md").read_text(encoding="utf-8"), encoding="utf-8")
    limits = ["--cores", "64", "--memory-mb", "16000", "--disk-gb", "100", "--hours", "24"]
    assert main(["plan", "--configfile", "suites/paper.yaml", *limits, "--into", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == (ROOT / "docs/cost.md").read_text(encoding="utf-8")
