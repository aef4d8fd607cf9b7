"""Code digests follow imports, and nothing else."""

from __future__ import annotations

import pytest

from advntk.foundation import device
from advntk.foundation.provenance import code_digest, environment, modules_behind


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
    monkeypatch.setattr(device, "_used", {})
    assert environment("auto", 1)["device_name"] == "cpu"
    device.note_gpu("NVIDIA H100 80GB HBM3")
    device.note_gpu("NVIDIA H100 80GB HBM3")
    found = environment("auto", 1)
    assert (found["device"], found["device_name"]) == ("auto", "NVIDIA H100 80GB HBM3")
