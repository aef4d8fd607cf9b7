"""GPUs of a node: hidden from jobs that asked for none, and remembered by name where a job computed on one."""

from __future__ import annotations

import os

_used: dict[str, None] = {}  # names of the GPUs that this process computed on, in order of first use


def note_gpu(name: str) -> None:
    """Remember a GPU that this process computes on, by the name that its driver gives it."""
    _used[name] = None


def device_name() -> str:
    """What this process computed on so far: the names of its GPUs, or ``cpu``."""
    return ", ".join(_used) or "cpu"


def out_of_memory(error: BaseException) -> bool:
    """Whether JAX or torch says that a device's memory is full; known by name, so that neither is imported."""
    kind = type(error)
    jax = kind.__module__.partition(".")[0] in {"jax", "jaxlib"} and str(error).startswith("RESOURCE_EXHAUSTED")
    return jax or (kind.__module__.partition(".")[0] == "torch" and kind.__name__ == "OutOfMemoryError")


def hide_gpus() -> None:
    """Keep JAX and torch off a node's GPUs, where even a job that uses none would hold memory; call before imports."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
