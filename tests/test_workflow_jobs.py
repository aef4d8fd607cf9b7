"""What the rules ask for: GPUs, devices, environments and containers of a suite's jobs."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
import yaml
from snakemake_interface_executor_plugins.settings import DeploymentMethod  # what the rules pass on

from advntk import suite
from advntk.foundation.errors import ConfigError
from advntk.planning import jobs as planned
from advntk.step import steps
from advntk.workflow import Jobs, put_first
from tests.lists import LISTS

ROOT = Path(__file__).parents[1]


def jobs(changes=None, **compute) -> Jobs:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")) | LISTS
    return Jobs(suite.resolve(suite.merged(config, {"compute": compute, **(changes or {})})))


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

    def asked(rule, **job):
        return getattr(found.rules, rule).gpu(job), getattr(found.rules, rule).device(job)

    assert asked("gram") == asked("evaluate", method="advntk") == kernel
    assert asked("train", method="at") == asked("evaluate", method="at") == asked("transfer") == network


@pytest.mark.parametrize("compute", [{}, {"device": "gpu"}])
def test_a_fit_on_the_cpu_asks_for_no_gpu_but_its_attacks_do(compute):
    found = jobs(**compute)
    rules, (ntk, advntk, at) = found.rules, ({"dataset": "digits", "method": name} for name in ("ntk", "advntk", "at"))
    assert (rules.fit.gpu(ntk), rules.fit.device(ntk)) == (0, "cpu")
    assert rules.evaluate.gpu(ntk) == rules.fit.gpu(advntk) == rules.train.gpu(at) == 1
    asking = {(job.rule, job.method) for job in planned.jobs_of(found.suite) if job.gpu}
    assert ("evaluate", "ntk") in asking
    assert ("fit", "advntk") in asking
    assert ("fit", "ntk") not in asking
    # it shares no job of a cluster with fits that hold a GPU
    assert (rules.fit.group(ntk), rules.fit.group(advntk)) == ("fit_cpu", "fit")


def test_small_matrices_are_not_cut():
    small = jobs({"dataset_options": {"digits": {"n_opt": 200, "n_val": 200, "n_test": 200}}}, gram_parts=4)
    assert (small.gathered(whole=True), small.gathered(whole=False)) == (["digits"], [])


def test_small_jobs_are_grouped_by_rule_and_kind_of_method():
    small = jobs(device="cpu").rules
    at, ntk = ({"dataset": "digits", "method": name} for name in ("at", "ntk"))
    assert small.evaluate.group(at) == "evaluate_network"
    assert small.evaluate.group(ntk) == "evaluate_kernel"
    assert small.fit.group(ntk) == "fit"
    overlay = yaml.safe_load((ROOT / "suites/fashion.yaml").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    large = Jobs(suite.resolve(suite.merged(config, overlay)))
    assert large.rules.evaluate.group({"dataset": "fashion_mnist", "method": "ntk"}) is None


@pytest.mark.parametrize("name", ["slurm", "cluster-generic"])
def test_a_cluster_profile_names_every_group(name):
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))
    named = {entry.partition("=")[0] for entry in profile["group-components"]}
    found = jobs()
    grouped = [step for step in steps().values() if step.group]
    methods = [{"method": name} for name in found.suite.methods]
    assert named == {step.group(found.suite, job) for step in grouped for job in methods}


@pytest.mark.parametrize("name", ["slurm", "cluster-generic"])
def test_a_cluster_profile_starts_a_failed_job_again(name):
    """With more memory and time: without a second attempt neither would grow."""
    profile = yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))
    assert profile["retries"] >= 1


def test_the_code_of_an_attack_is_that_of_its_entry_the_method_and_the_family():
    found = jobs({"attacks": ["pgd", "pgd_margin", "noise"]})

    def digest(**changes):
        cell = {"dataset": "digits", "architecture": "mlp-3", "method": "ntk", "attack": "pgd"} | changes
        return found.rules.evaluate.code(cell)

    assert digest() == digest(attack="pgd_margin")  # the same entry under another name
    others = [digest(**changes) for changes in ({"attack": "noise"}, {"method": "at"}, {"architecture": "cnn-3"})]
    assert len({digest(), *others}) == 4


def test_the_code_of_a_fit_is_that_of_the_loss_and_techniques_of_its_options_too():
    kinds = {
        "plain": {"loss": "cross_entropy"},
        "same": {"loss": {"name": "cross_entropy"}, "steps": 20},
        "trades": {"loss": "trades"},
        "ema": {"loss": "cross_entropy", "techniques": ["ema"]},
    }
    options = {name: {"kind": "at", "steps": 10, "learning_rate": 0.1} | one for name, one in kinds.items()}
    networks = [{"family": "mlp", "depth": 3}]
    found = jobs({"architectures": networks, "methods": [*kinds], "method_options": options})
    cells = {name: {"dataset": "digits", "architecture": "mlp-3", "method": name, "attack": "pgd"} for name in kinds}
    for rule in (found.rules.train, found.rules.evaluate):
        digests = {name: rule.code(cell) for name, cell in cells.items()}
        assert digests["plain"] == digests["same"]
        assert len(set(digests.values())) == 3


def test_rules_of_a_cluster_name_what_is_submitted():
    """A job that lacks one of them cannot be submitted."""
    profile = yaml.safe_load((ROOT / "profiles/cluster-generic/config.yaml").read_text(encoding="utf-8"))
    wanted = set(re.findall(r"{resources\.(\w+)}", profile["cluster-generic-submit-cmd"]))
    assert "gpu" in wanted
    found = jobs()
    for file in (ROOT / "rules").glob("*.smk"):
        head, *rules = re.split(r"^rule ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        declared = re.search(r"^localrules:\n((?: +\w+,\n)+)", head, flags=re.MULTILINE)
        local = re.findall(r"\w+", declared[1]) if declared else []
        for rule in rules:
            if (name := rule.partition(":")[0]) in local:
                assert steps()[name].gpu is None
                continue
            assert f"**STEP.{name}.resources" in rule
            assert f"threads: STEP.{name}.threads" in rule
            assert wanted <= set(getattr(found.rules, name).resources), name


def test_environments_follow_the_config():
    assert jobs().environment("attacks") == "../envs/attacks.yaml"
    gpu = jobs(environments="cuda12")
    assert gpu.environment("attacks") == "../envs/attacks-cuda12.yaml"
    assert gpu.environment("telling") == "../envs/telling.yaml"


CONDA, APPTAINER = {DeploymentMethod.CONDA}, {DeploymentMethod.APPTAINER}


def test_a_gpu_is_not_asked_of_environments_for_the_cpu():
    with pytest.raises(ConfigError, match="cuda12"):
        jobs(device="gpu").check_deployment(CONDA)
    jobs(device="gpu").check_deployment(())  # jobs use what runs Snakemake
    jobs(device="gpu", environments="cuda12").check_deployment(CONDA)
    jobs(device="auto").check_deployment(CONDA)


def test_containers_need_an_image():
    with pytest.raises(ConfigError, match="image"):
        jobs().check_deployment(APPTAINER)
    jobs(container="advntk.sif").check_deployment(APPTAINER)


def test_jobs_find_the_interpreter_first(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/somewhere")
    monkeypatch.setenv("PYTHONNOUSERSITE", "")
    monkeypatch.setenv("ADVNTK_CHECKOUT", "")
    put_first(tmp_path, ())
    assert os.environ["ADVNTK_CHECKOUT"] == str(tmp_path)
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/somewhere"]
    assert not os.environ["PYTHONNOUSERSITE"]
    put_first(tmp_path, CONDA)
    assert os.environ["PYTHONNOUSERSITE"]
