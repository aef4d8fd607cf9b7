"""Faults of a cluster, each forced: what is said, in which state the job is, and that a rerun gives the same record."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.slurm.cluster import ask, jobs, until

pytestmark = pytest.mark.slurm


def same_record(cluster, local) -> None:
    """The record of the fault's cell is there, and is that of a local run."""
    name = Path(cluster.target).relative_to("results/tiny")
    assert cluster.found() == {str(name): local[str(name)]}


def running(cluster, rule: str) -> str:
    """Wait for a job of a rule to run; its id."""
    here: list[str] = []

    def seen() -> bool:
        own = cluster.jobs().items()
        here[:] = [number for number, facts in own if rule in facts["Comment"] and facts["JobState"] == "RUNNING"]
        return bool(here)

    until(seen, f"running job of {rule}")
    return here[0]


def started_its_command(cluster, verb: str) -> None:
    """Wait for a job to have come through both Snakemakes to its command, where the fault is."""
    until(lambda: any(cluster.folder.glob(f"results/tiny/logs/{verb}/*.log")), f"log of {verb}")


def test_a_cancelled_job_is_told_and_done_by_a_rerun(cluster, local):
    cluster.fault("train", "sleep", 600)
    with cluster.started("--retries", "0", "--", cluster.target) as process:
        job = running(cluster, "train")
        started_its_command(cluster, "train")
        ask("scancel", job)
        assert process.wait(timeout=240) == 1
    assert f"SLURM-job '{job}' failed, SLURM status is: 'CANCELLED'" in cluster.log()
    assert jobs()[job]["JobState"] == "CANCELLED"
    cluster.fault()
    cluster.through("--", cluster.target)
    same_record(cluster, local)


def test_a_cancelled_group_is_told_by_its_log_and_started_again(cluster, local):
    cluster.fault("evaluate", "sleep", 600)
    with cluster.started("--", cluster.target) as process:
        job = running(cluster, "evaluate_network")
        started_its_command(cluster, "evaluate")
        cluster.fault()
        ask("scancel", job)
        assert process.wait(timeout=400) == 0
    assert "Error in group evaluate_network" in cluster.log()
    assert re.search(rf"JOB {job} ON \S+ CANCELLED AT", cluster.log())
    assert "Trying to restart" in cluster.log()
    same_record(cluster, local)


def test_a_job_out_of_time_is_told_and_done_by_a_rerun(cluster, local):
    cluster.fault("train", "sleep", 600)
    log = cluster.through("--retries", "0", "--set-resources", "train:runtime=1", "--", cluster.target, expect=1)
    (job,) = re.findall(r"SLURM-job '(\d+)' failed, SLURM status is: 'TIMEOUT'", log)
    assert jobs()[job]["JobState"] == "TIMEOUT"
    cluster.fault()
    cluster.through("--", cluster.target)
    same_record(cluster, local)


def test_a_job_out_of_memory_is_started_again_with_more(cluster, local):
    plan = cluster.run("--dry-run", "--configfile", "tiny.yaml", "--", cluster.target)
    asked_mb = int(re.search(r"rule train:.*?mem_mb=(\d+)", plan, re.DOTALL)[1])
    cluster.fault("train", "hold_mb", asked_mb + 100)
    log = cluster.through("--", cluster.target)
    first, *_ = re.findall(r"SLURM-job '(\d+)' failed, SLURM status is: '(\w+)'", log)
    assert first[1] in ("OUT_OF_MEMORY", "FAILED")
    own = [facts for facts in cluster.jobs().values() if "train" in facts["Comment"]]
    first_mb, second_mb = (int(facts["MinMemoryNode"].removesuffix("M")) for facts in own)
    assert first_mb == asked_mb
    assert second_mb >= 1.5 * asked_mb
    same_record(cluster, local)


def test_jobs_wait_for_a_drained_node(cluster, local):
    name = ask("hostname", "-s").strip()
    ask("scontrol", "update", f"NodeName={name}", "State=DRAIN", "Reason=test")
    try:
        with cluster.started("--", cluster.target) as process:
            wanted = "PENDING (Nodes required for job are DOWN, DRAINED"
            until(lambda: wanted in ask("squeue", "--noheader", "--format=%T %R"), "job that waits for a node")
            assert process.poll() is None
            ask("scontrol", "update", f"NodeName={name}", "State=RESUME")
            assert process.wait(timeout=400) == 0
    finally:
        if "drain" in ask("sinfo", "--noheader", "--format=%T"):
            ask("scontrol", "update", f"NodeName={name}", "State=RESUME")
    same_record(cluster, local)


def test_sigint_cancels_the_jobs(cluster, local):
    cluster.fault("train", "sleep", 600)
    with cluster.started("--", cluster.target) as process:
        job = running(cluster, "train")
        started_its_command(cluster, "train")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 1
    until(lambda: jobs()[job]["JobState"] == "CANCELLED", "cancelled job", 60)
    cluster.fault()
    cluster.through("--", cluster.target)  # no lock is left
    same_record(cluster, local)


def test_sigkill_leaves_job_and_lock_and_both_can_be_removed(cluster, local):
    cluster.fault("train", "sleep", 600)
    with cluster.started("--", cluster.target) as process:
        job = running(cluster, "train")
        started_its_command(cluster, "train")
        process.kill()
        process.wait()
    run = re.search(r"SLURM run ID: (advntk_\S+)", cluster.log())[1]
    log = cluster.through("--", cluster.target, expect=1)
    assert "Directory cannot be locked" in log
    assert "--unlock" in log
    assert jobs()[job]["JobState"] == "RUNNING"
    ask("scancel", "--name", run)
    until(lambda: jobs()[job]["JobState"] == "CANCELLED", "cancelled job", 60)
    cluster.run("--unlock", "--configfile", "tiny.yaml")
    cluster.fault()
    cluster.through("--", cluster.target)
    same_record(cluster, local)
