"""What the rules ask for: GPUs and devices of a suite's jobs."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from advntk import suite
from advntk.workflow import Jobs

ROOT = Path(__file__).parents[1]


def jobs(**compute) -> Jobs:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return Jobs(suite.resolve(suite.merged(config, {"compute": compute})))


@pytest.mark.parametrize(
    ("compute", "kernel", "network"),
    [
        ({}, (1, "auto"), (1, "auto")),
        ({"device": "gpu"}, (1, "gpu"), (1, "gpu")),
        ({"device": "cpu"}, (0, "cpu"), (0, "cpu")),
        ({"kernel_engine": "numba"}, (0, "cpu"), (1, "auto")),
        ({"device": "gpu", "kernel_engine": "numba"}, (0, "cpu"), (1, "gpu")),
    ],
)
def test_a_job_that_asks_for_no_gpu_uses_none(compute, kernel, network):
    found = jobs(**compute)
    assert (found.gpus(), found.device()) == kernel
    assert (found.gpus("advntk"), found.device("advntk")) == kernel
    assert (found.gpus("at"), found.device("at")) == network
    assert (found.gpus("ntk", "at"), found.device("ntk", "at")) == network


def test_small_jobs_are_grouped_by_rule_and_kind_of_method():
    small = jobs()
    at, ntk = SimpleNamespace(dataset="digits", method="at"), SimpleNamespace(dataset="digits", method="ntk")
    assert small.group("evaluate")(at) == "evaluate_network"
    assert small.group("evaluate")(ntk) == "evaluate_kernel"
    assert small.group("fit")(ntk) == "fit"
    overlay = yaml.safe_load((ROOT / "suites/fashion.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    large = Jobs(suite.resolve(suite.merged(config, overlay)))
    assert large.group("evaluate")(SimpleNamespace(dataset="fashion_mnist", method="ntk")) is None


@pytest.mark.parametrize("name", ["slurm", "cluster-generic"])
def test_a_cluster_profile_names_every_group(name):
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))
    named = {entry.partition("=")[0] for entry in profile["group-components"]}
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    grouped = set(re.findall(r'JOBS\.group\("(\w+)"\)', rules))
    kinds = {"attack", "evaluate", "sweep"}
    assert named == {f"{rule}_{kind}" for rule in grouped & kinds for kind in ("kernel", "network")} | grouped - kinds
