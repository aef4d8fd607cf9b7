"""``profiles/cluster-generic`` with the scripts that it ships, which call a real cluster's commands."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.slurm.cluster import jobs
from tests.slurm.test_faults import same_record

pytestmark = pytest.mark.slurm
PLUGIN = "snakemake-executor-plugin-cluster-generic==1.0.9"
PROFILE = ("--workflow-profile", "profiles/cluster-generic", "--configfile", "tiny.yaml")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> str:
    """A folder with the plugin, which this project does not depend on."""
    folder = str(tmp_path_factory.mktemp("plugin"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, PLUGIN]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{PLUGIN} cannot be installed: {done.stderr[-1000:]}", pytrace=False)
    return folder


@pytest.fixture
def generic(cluster, plugin, monkeypatch):
    """A checkout that sees the plugin."""
    environment = cluster.environment()
    environment["PYTHONPATH"] += f":{plugin}"
    monkeypatch.setattr(cluster, "environment", lambda: environment)
    return cluster


def test_a_cell_through_the_scripts_gives_the_same_record(generic, local):
    generic.suite(compute={"kernel_engine": "numba"})
    kernel = generic.target.replace("/at/", "/ntk/")
    log = generic.run(*PROFILE, "--", generic.target, kernel)
    submitted = re.findall(r"with external jobid '(\d+)'", log)
    found = [jobs()[number] for number in submitted]
    assert sorted((facts["Partition"], facts.get("TresPerJob", "")) for facts in found) == [
        ("cpu", ""),  # gram, fit, evaluate
        ("cpu", ""),
        ("cpu", ""),
        ("gpu", "gres:gpu:1"),  # train, evaluate
        ("gpu", "gres:gpu:1"),
    ]
    assert all((generic.folder / f"results/cluster_logs/{number}.log").exists() for number in submitted)
    names = {name for name in local if "/at/" in name or "/ntk/" in name}
    assert generic.found() == {name: local[name] for name in names}


def test_a_job_that_was_killed_has_failed(generic, local):
    """Out of time: nothing in the job can report it, only the status script."""
    generic.fault("train", "sleep", 600)
    arguments = ("--retries", "0", "--set-resources", "train:runtime=1", "--", generic.target)
    log = generic.run(*PROFILE, *arguments, expect=1)
    (number,) = re.findall(r"with external jobid '(\d+)'", log)
    assert jobs()[number]["JobState"] == "TIMEOUT"
    assert "Error in rule train" in log
    generic.fault()
    generic.run(*PROFILE, "--", generic.target)
    same_record(generic, local)


def test_a_job_that_the_cluster_does_not_know_has_failed(generic):
    command = ["sh", "profiles/cluster-generic/status.sh", "99999999"]
    done = subprocess.run(command, cwd=generic.folder, capture_output=True, text=True, check=True)
    assert done.stdout == "failed\n"
