"""Where JAX computes, decided without importing JAX where only the CPU can be meant."""

from __future__ import annotations

import importlib.util
import os
from contextlib import AbstractContextManager
from typing import Any, Literal

from advntk.foundation.errors import AdvntkError
from advntk.foundation.gpus import note_gpu
from advntk.foundation.options import Device

_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm60_plugin")


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

        require_jax()
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


def require_jax() -> None:
    """Check that JAX can start at all.

    Raises:
        AdvntkError: the environment names platforms that this machine lacks.
    """
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        raise AdvntkError(
            f"JAX finds no device ({error or type(error).__name__})",
            where=f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}",
            remedy="unset the variable, or set it to cpu",
        ) from error


def float64_mode(on: bool) -> AbstractContextManager[None]:
    """JAX's x64 mode, on or off while a block runs."""
    import jax

    switch: Any = getattr(jax, "enable_x64", None)  # in JAX 0.5 still an experiment
    if switch is None:
        from jax.experimental import enable_x64 as switch
    mode: AbstractContextManager[None] = switch(on)
    return mode


def enable_float64() -> None:
    """Turn on JAX's x64 mode, and off its cache of compiled programs, for the whole process.

    With a cache that ``JAX_COMPILATION_CACHE_DIR`` names, JAX 0.5.3 on a CPU loads a training loop that runs no step.
    """
    import jax

    config: Any = jax.config  # JAX 0.5 does not annotate its methods
    config.update("jax_enable_x64", True)
    config.update("jax_enable_compilation_cache", False)
