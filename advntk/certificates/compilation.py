"""Compile this package's loops and cache them on disk, as :mod:`advntk.ingredients.kernels.numba_cache` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from advntk.ingredients.kernels.numba_cache import CompiledFiles, KernelCache, config, digest_of_sources

SOURCES = digest_of_sources(Path(__file__).parent)


class EnclosureCache(KernelCache):
    """The same cache, named by the sources of this package.

    Args:
        function: the Python function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = CompiledFiles(Path(self.cache_path), self._impl.filename_base, SOURCES)


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's ``njit`` in IEEE arithmetic, without fast-math: directed rounding relies on it."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(error_model="numpy", **options)(function)
        if not config.DISABLE_JIT:
            dispatcher._cache = EnclosureCache(function)
        return dispatcher

    return decorate
