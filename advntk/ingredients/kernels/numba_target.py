"""Code for the widest vectors that the CPU has.

LLVM takes 256-bit vectors on CPUs that have 512-bit ones, for the sake of the first of them, which slowed down their
clocks. Since AVX-512 VBMI2 they do not, and the loops of the CNN kernel gain a sixth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numba.core.config
from llvmlite import binding

config: Any = numba.core.config  # its attributes are made at run time


def wide_features(features: Mapping[str, bool]) -> str:
    """What to add to LLVM's list of CPU features, nothing where 512-bit vectors are missing or slow.

    Args:
        features: of the CPU, by LLVM's names.

    Returns:
        A list that starts with a comma, or nothing.
    """
    return ",-prefer-256-bit" if features.get("avx512vbmi2") else ""


def use_wide_vectors() -> None:
    """Tell numba, before it compiles anything; ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` go first."""
    features = binding.get_host_cpu_features()
    wide = wide_features(features)
    if wide and not config.CPU_NAME and not config.CPU_FEATURES:
        config.CPU_NAME = binding.get_host_cpu_name()
        config.CPU_FEATURES = features.flatten() + wide
