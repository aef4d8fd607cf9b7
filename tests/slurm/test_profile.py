"""Suites through a real SLURM with ``profiles/slurm``: which executor ran, what jobs asked for, the same records."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import PROFILE, differences, jobs, queue
from tests.slurm.conftest import Cluster

pytestmark = pytest.mark.slurm
EXPAND = ("--configfile", "tiny.yaml", "--", "results/tiny/suite.json")


def comments(cluster: Cluster) -> dict[str, list[dict[str, str]]]:
    """The cluster's jobs by rule."""
    found: dict[str, list[dict[str, str]]] = {}
    for facts in cluster.jobs().values():
        found.setdefault(facts["Comment"].removeprefix("rule_").partition("_wildcards")[0], []).append(facts)
    return found


@pytest.fixture(scope="module")
def mixed(node, tmp_path_factory) -> tuple[Cluster, str, str]:
    """The tiny suite through SLURM, kernels on CPUs (numba) and networks where a GPU is: checkout, log, squeue."""
    cluster = Cluster(tmp_path_factory.mktemp("mixed"))
    cluster.suite(compute={"kernel_engine": "numba"})
    shown = []
    with cluster.started() as process:
        while process.poll() is None:
            shown.append(queue())
            time.sleep(0.5)
    assert process.returncode == 0, cluster.log()[-6000:]
    return cluster, cluster.log(), "".join(dict.fromkeys(shown))


def test_the_executor_is_slurm_and_records_are_those_of_a_local_run(mixed, local):
    cluster, log, _ = mixed
    assert re.search(r"SLURM run ID: advntk_\S+", log)
    assert cluster.found() == local
    numbers = set(jobs())
    for path in (cluster.folder / "results/tiny/records").rglob("*.json"):
        assert json.loads(path.read_text())["provenance"]["job"] in numbers  # computed in a job of the cluster


def test_downloads_and_tables_stay_where_snakemake_runs(mixed):
    cluster, _, _ = mixed
    assert not {"prepare", "split", "expand", "tabulate", "plot"} & set(comments(cluster))
    assert (cluster.folder / "results/tiny/tables/robust_accuracy.csv").exists()


def test_gpu_jobs_ask_for_one_gpu_and_cpu_jobs_for_none(mixed):
    cluster, _, _ = mixed
    found = comments(cluster)
    asked = {rule: {(facts["Partition"], facts.get("TresPerJob", "")) for facts in of} for rule, of in found.items()}
    assert asked == {
        "gram": {("cpu", "")},
        "fit_fit": {("cpu", "")},
        "search": {("gpu", "gres:gpu:1")},
        "train": {("gpu", "gres:gpu:1")},
        "check": {("gpu", "gres:gpu:1")},
        "evaluate_kernel_evaluate": {("cpu", "")},
        "evaluate_network_evaluate": {("gpu", "gres:gpu:1")},
    }


def test_small_jobs_share_a_slurm_job_and_ask_for_no_more_than_one_of_them(mixed):
    cluster, log, _ = mixed
    found = comments(cluster)
    assert {rule: len(of) for rule, of in found.items()} == dict.fromkeys(found, 1)
    (fits,) = found["fit_fit"]
    assert fits["NumCPUs"] == "1"
    plan = re.findall(r"rule fit:.*?mem_mb=(\d+).*?runtime=(\d+)", log, re.DOTALL)
    assert len(plan) == 3
    assert fits["MinMemoryNode"] == f"{max(int(memory) for memory, _ in plan)}M"
    minutes = sum(int(minutes) for _, minutes in plan)
    assert fits["TimeLimit"] == f"{minutes // 60:02d}:{minutes % 60:02d}:00"


def test_squeue_shows_rules_and_logs_are_kept(mixed):
    _, log, shown = mixed
    assert re.search(r"RUNNING .* gres:gpu:1 .* rule_train", shown)
    assert re.search(r"gpu +RUNNING", shown)
    kept = re.findall(r"\(log: (\S+)\)", log)
    assert len(kept) == 5
    assert all("Finished jobid" in Path(path).read_text(encoding="utf-8") for path in kept)


def test_gram_tiles_scatter_over_jobs(node, tmp_path):
    """Parts of one large matrix are SLURM jobs of their own, and the gather is another."""
    cluster = Cluster(tmp_path)
    sizes = {"digits": {"n_opt": 1100, "n_val": 30, "n_test": 40}}
    cluster.suite(dataset_options=sizes, compute={"gram_parts": 3, "kernel_engine": "numba"})
    log = cluster.through("--", "results/tiny/grams/digits/seed0/mlp-2/gram.json")
    assert {rule: len(of) for rule, of in comments(cluster).items()} == {"gram_part": 3, "gram_gather": 1}
    assert "[6/6, done]" in log  # prepare and split beside them
    assert not list(cluster.folder.glob("results/tiny/grams/**/parts/*"))


def test_a_gpu_that_is_asked_for_and_not_there_is_missed(cluster):
    """SLURM gives the job its GPU, which is one by name only: JAX and torch say so, and nothing goes on on the CPU."""
    cluster.suite(compute={"device": "gpu"})
    fit = "results/tiny/fits/digits/seed0/mlp-2/at/eps16/fit.json"
    log = cluster.through("--retries", "0", "--", fit, "results/tiny/grams/digits/seed0/mlp-2/gram.json", expect=1)
    assert {facts["TresPerJob"] for of in comments(cluster).values() for facts in of} == {"gres:gpu:1"}
    assert "advntk gram: error: device: gpu: JAX sees no GPU; set device: auto or cpu" in log
    assert re.search(r"advntk train: error: device: gpu: torch \S+ sees no GPU; set device: auto or cpu", log)
    assert not (cluster.folder / fit).exists()


@pytest.mark.parametrize(("line", "expected"), [("", True), ("executor: local\ncores: 1\n", False)])
def test_a_plain_profile_is_overridden_by_what_default_sets(cluster, line, expected):
    """``--profile`` serves only as long as ``profiles/default`` names no executor; ``--workflow-profile`` always."""
    default = cluster.folder / "profiles/default/config.yaml"
    assert "executor" not in yaml.safe_load(default.read_text())
    default.write_text(default.read_text() + line)
    assert ("SLURM run ID" in cluster.run("--profile", "profiles/slurm", *EXPAND)) == expected
    (cluster.folder / "results/tiny/suite.json").unlink()
    assert "SLURM run ID" in cluster.run(*PROFILE, *EXPAND)


def test_without_a_profile_nothing_goes_to_slurm(cluster):
    assert "SLURM run ID" not in cluster.run("--cores", "1", *EXPAND)


@pytest.mark.slow
def test_the_quick_suite_gives_the_same_records(cluster):
    """``config.yaml`` as it is, on this machine and through SLURM."""
    cluster.run("--cores", "2")
    (cluster.folder / "results/quick").rename(cluster.folder / "results/quick_here")
    (cluster.folder / "tiny.yaml").write_text("suite: quick\n")
    shown = []
    begun = time.monotonic()
    with cluster.started("--quiet", "rules") as process:
        while process.poll() is None:
            shown.append(queue())
            time.sleep(5)
    print("".join(dict.fromkeys(shown)), f"{time.monotonic() - begun:.0f} s")
    assert process.returncode == 0, cluster.log()[-6000:]
    assert not differences(cluster.folder / "results/quick_here", cluster.folder / "results/quick")
    assert len(list((cluster.folder / "results/quick/records").rglob("*.json"))) == 56
