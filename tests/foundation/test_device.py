"""Where JAX computes: the choice, its name, and that no job takes a GPU's memory that it does not use."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from advntk.cli import main
from advntk.foundation import device, gpus
from advntk.foundation.errors import AdvntkError


@pytest.fixture(autouse=True)
def nothing_used(monkeypatch):
    monkeypatch.setattr(gpus, "_used", {})


@pytest.fixture
def gpu_build(monkeypatch):
    """A function that lets JAX look like a GPU build on a node with these GPUs."""

    def pretend(*names: str) -> None:
        found = [SimpleNamespace(device_kind=name) for name in names]
        monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: "cuda12" in name)
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu" if found else "cpu")
        monkeypatch.setattr(jax, "devices", lambda: found)

    return pretend


def test_a_gpu_is_taken_and_named(gpu_build):
    gpu_build("NVIDIA H100 80GB HBM3")
    assert device.jax_device("cpu") == "cpu"
    assert gpus.device_name() == "cpu"
    assert device.jax_device("auto") == device.jax_device("gpu") == "gpu"
    assert gpus.device_name() == "NVIDIA H100 80GB HBM3"


def test_where_there_is_none_auto_takes_the_cpu_and_gpu_fails(gpu_build):
    gpu_build()  # a GPU build on a node without one
    assert device.jax_device("auto") == "cpu"
    with pytest.raises(AdvntkError, match=r"JAX sees no GPU; set device: auto or cpu"):
        device.jax_device("gpu")
    assert gpus.device_name() == "cpu"


def test_a_job_on_the_cpu_sees_no_gpu(monkeypatch, capsys):
    for variable in ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(variable, "kept")
    gram = ["gram", "--split", "nowhere.json", "--architecture", '{"family": "mlp", "depth": 2}', "--out", "x.npy"]
    assert main([*gram, "--device", "auto"]) == 1
    assert (os.environ["JAX_PLATFORMS"], os.environ["CUDA_VISIBLE_DEVICES"]) == ("kept", "kept")
    assert main([*gram, "--device", "cpu"]) == 1
    assert (os.environ["JAX_PLATFORMS"], os.environ["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")
    assert "nowhere.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "kept"),
    [
        ("", True),
        ("from advntk.foundation.threads import limit; limit(1); ", False),
        ("from advntk.foundation.device import enable_float64; enable_float64(); ", False),
    ],
)
def test_jax_loads_no_programs_that_another_process_compiled(tmp_path, first, kept):
    """Loaded ones may compute something else."""
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    code = first + "import jax; jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((9, 9))).block_until_ready()"
    environment = {**os.environ, **cache, "JAX_ENABLE_COMPILATION_CACHE": "true"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert any(tmp_path.iterdir()) == kept


def test_jax_reserves_no_memory_ahead():
    """Three quarters of a GPU by default, which a second process of the node would lack."""
    code = "import os; from advntk.foundation.threads import limit; limit(1); "
    code += "print(os.environ['XLA_PYTHON_CLIENT_PREALLOCATE'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "false"


def test_platforms_that_are_not_there_are_named():
    """``device: auto`` takes the CPU without asking JAX; the variable of a GPU node then meets JAX itself."""
    code = (
        "from advntk.foundation.architecture import Architecture\n"
        "from advntk.ingredients.kernels.engine import make_engine\n"
        "make_engine(Architecture(family='mlp', depth=3, activation='erf'), (2, 2, 1))\n"
    )
    told = {"JAX_PLATFORMS": "tpu"}
    found = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **told}, capture_output=True, text=True, check=False
    )
    assert "AdvntkError: JAX_PLATFORMS=tpu: JAX finds no device" in found.stderr
    assert "unset the variable, or set it to cpu" in found.stderr
