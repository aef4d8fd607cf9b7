"""Code digests follow imports, and nothing else."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from advntk.foundation import gpus
from advntk.foundation.provenance import (
    code_digest,
    content_digest,
    environment,
    environment_digest,
    modules_behind,
    place,
    public,
    sources,
)


def test_imports_are_followed_at_any_depth():
    behind = modules_behind("advntk.learning.methods.advntk")
    for module in ("advntk.foundation.krylov", "advntk.ingredients.kernels.numba_conv", "advntk.attacks.gradient"):
        assert module in behind
    assert not any("torch" in module or module.endswith("methods.at") for module in behind)


def test_adversarial_training_does_not_depend_on_kernels():
    behind = modules_behind("advntk.learning.methods.at")
    assert "advntk.learning.adversarial_training" in behind
    assert not any("kernels" in module or "krylov" in module for module in behind)


def test_digests_differ_and_repeat():
    assert code_digest("advntk.foundation.krylov") == code_digest("advntk.foundation.krylov")
    assert code_digest("advntk.foundation.krylov") != code_digest("advntk.foundation.threat")
    with pytest.raises(ModuleNotFoundError):
        code_digest("advntk.nothing")


def test_environment_names_versions_and_place():
    found = environment("cpu", 2)
    assert found["versions"]["numpy"]
    assert found["threads"] == 2


def test_environment_names_the_gpu_that_was_used(monkeypatch):
    monkeypatch.setattr(gpus, "_used", {})
    assert environment("auto", 1)["device_name"] == "cpu"
    gpus.note_gpu("NVIDIA H100 80GB HBM3")
    gpus.note_gpu("NVIDIA H100 80GB HBM3")
    found = environment("auto", 1)
    assert (found["device"], found["device_name"]) == ("auto", "NVIDIA H100 80GB HBM3")


SCHEDULERS = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID")
SCHEDULERS += ("LSB_JOBINDEX", "JOB_ID", "SGE_TASK_ID")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, {"scheduler": "", "job": ""}),
        ({"JOB_ID": "12"}, {"scheduler": "", "job": ""}),  # of a CI service, say
        ({"SLURM_JOB_ID": "7"}, {"scheduler": "slurm", "job": "7"}),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, {"scheduler": "slurm", "job": "7", "step": "0"}),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "4294967291"}, {"scheduler": "slurm", "job": "7"}),
        (
            {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"},
            {"scheduler": "slurm", "job": "9", "array": "7_2"},
        ),
        ({"PBS_JOBID": "7[2].server"}, {"scheduler": "pbs", "job": "7[2].server"}),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "0"}, {"scheduler": "lsf", "job": "7"}),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "2"}, {"scheduler": "lsf", "job": "7", "array": "7[2]"}),
        ({"JOB_ID": "7", "SGE_TASK_ID": "undefined"}, {"scheduler": "sge", "job": "7"}),
        ({"JOB_ID": "7", "SGE_TASK_ID": "2"}, {"scheduler": "sge", "job": "7", "array": "7.2"}),
    ],
)
def test_the_job_is_told_by_the_variables_of_its_scheduler(monkeypatch, told, expected):
    for name in SCHEDULERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    found = environment("cpu", 1)
    assert {key: found[key] for key in ("scheduler", "job", "array", "step") if key in found} == expected


def digest_under(monkeypatch, folders) -> str:
    monkeypatch.setattr(sys, "path", [str(folder) for folder in folders])
    environment_digest.cache_clear()
    return environment_digest()


def test_the_environment_is_what_is_installed_with_its_versions(tmp_path, monkeypatch):
    for name in ("a/Some.Thing-1.0", "a/other-2", "b/some_thing-1.0", "b/other-2", "b/advntk-9", "c/some_thing-3"):
        (tmp_path / f"{name}.dist-info").mkdir(parents=True)
    a, b, c = (tmp_path / name for name in "abc")
    try:
        first = digest_under(monkeypatch, [a])
        assert digest_under(monkeypatch, [b]) == first  # names are normalised, this package is left out
        assert digest_under(monkeypatch, [a, c]) == first  # what is further down the path is not imported
        assert digest_under(monkeypatch, [c, a]) != first
        assert digest_under(monkeypatch, [c]) != first
    finally:
        environment_digest.cache_clear()


def test_what_is_made_from_is_told_where_it_is_given():
    given = {"sources": {"m": "1"}, "data": "d", "inputs": {"fit": "f"}, "places": {"fit": "../fit.json"}}
    assert {key: environment("cpu", 1, **given)[key] for key in given} == given
    assert not environment("cpu", 1).keys() & given.keys()


def test_sources_are_digests_by_module():
    modules = ("advntk.learning.methods.at", "advntk.attacks.entries.pgd")
    assert sources(*modules) == {module: code_digest(module) for module in modules}


def test_no_machine_is_named_in_what_is_published():
    chunk = {"host": "h", "job": "1", "device": "cpu", "finished": "t"}
    made = {**chunk, "array": "1_2", "step": "0", "prefix": "env", "places": {"fit": "p"}, "chunks": [chunk]}
    kept = public({**made, "data": "d", "inputs": {"fits": ["f"]}})
    assert kept == {
        **{"device": "cpu", "finished": "t", "data": "d", "inputs": {"fits": ["f"]}},
        "chunks": [{"device": "cpu", "finished": "t"}],
    }
    assert place({**chunk, "data": "d"}) == chunk


def test_content_is_arrays_without_what_made_them():
    arrays = {"x": np.arange(3), "provenance": np.array("{}")}
    assert content_digest(arrays) == content_digest({"x": np.arange(3), "provenance": np.array("other")})
    assert content_digest(arrays) != content_digest({"x": np.arange(4)})
