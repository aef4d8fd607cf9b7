"""Where JAX computes, decided without importing JAX where only the CPU can be meant."""

from __future__ import annotations

import importlib.util
import os
from typing import Literal

from advntk.foundation.errors import AdvntkError
from advntk.foundation.options import Device

_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin")
_used: dict[str, None] = {}  # names of the GPUs that this process computed on, in order of first use


def note_gpu(name: str) -> None:
    """Remember a GPU that this process computes on, by the name that its driver gives it."""
    _used[name] = None


def device_name() -> str:
    """What this process computed on so far: the names of its GPUs, or ``cpu``."""
    return ", ".join(_used) or "cpu"


def hide_gpus() -> None:
    """Keep JAX and torch off a node's GPUs, where even a job that uses none would hold memory; call before imports."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def jax_device(device: Device) -> Literal["cpu", "gpu"]:
    """Where kernels are computed: ``auto`` takes a GPU if JAX finds one.

    Hundreds of short jobs run on CPU-only installations, and importing JAX costs each a second: without a GPU plugin
    it is not imported.

    Args:
        device: as configured.

    Returns:
        ``cpu`` or ``gpu``.

    Raises:
        AdvntkError: a GPU was asked for and JAX sees none.
    """
    if device == "cpu":
        return "cpu"
    if any(importlib.util.find_spec(plugin) for plugin in _PLUGINS):
        import jax

        if jax.default_backend() in {"gpu", "cuda", "rocm"}:
            note_gpu(jax.devices()[0].device_kind)
            return "gpu"
    if device == "gpu":
        raise AdvntkError(
            "JAX sees no GPU",
            where="device: gpu",
            remedy="set device: auto or cpu, or install jax[cuda12] on a machine with a GPU",
        )
    return "cpu"


def enable_float64() -> None:
    """Turn on JAX's x64 mode, for the whole process."""
    import jax

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # JAX 0.5 does not annotate `update`
