"""Compiled numba kernels on disk: never older than any of their sources, and the same code in every process.

Numba's own cache does not promise either. It looks only at the file of each function, so that one that was inlined from
another, since edited, stays as it was; and the process that compiles a kernel runs other code than those that load it:
it calls what the kernel calls where that was compiled before, they call the copies that were optimised along with it.
With fast-math the two differ in last digits. Its index, rewritten by every process, can also give a process the code
that another one, of another CPU, has just saved.

Here a child process compiles and every process that computes loads. A file of its own holds each compiled function,
named by all that it depends on.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba.core.caching
import numba.core.config
from numba import njit

from advntk.foundation.files import replacing

caching: Any = numba.core.caching  # without types
config: Any = numba.core.config  # its attributes are made at run time

CHILD = "from advntk.ingredients.kernels.numba_cache import compile_here; compile_here()"


def digest_of_sources(folder: Path) -> str:
    """SHA-256 of all ``numba_*.py`` of a folder."""
    digest = hashlib.sha256()
    for source in sorted(folder.glob("numba_*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


SOURCES = digest_of_sources(Path(__file__).parent)


class CompiledFiles:
    """Files of one compiled function, one for each signature and CPU; numba writes and reads them through this.

    Args:
        folder: where they are; it exists when something is saved.
        name: of the function, how the names of its files begin.
        sources: digest of what the code was made of.
    """

    def __init__(self, folder: Path, name: str, sources: str) -> None:
        self.folder = folder
        self.name = name
        self.sources = sources[:16]

    def _path(self, key: object) -> Path:
        whole = hashlib.sha256(repr((key, numba.__version__)).encode()).hexdigest()
        return self.folder / f"{self.name}.{self.sources}.{whole[:16]}.nbc"

    def load(self, key: object) -> Any:
        """What was saved under ``key`` (signature, target, bytecode), None where nothing whole was."""
        with contextlib.suppress(OSError, EOFError, pickle.UnpicklingError):
            return pickle.loads(self._path(key).read_bytes())
        return None

    def save(self, key: object, data: object) -> None:
        """Keep ``data`` under ``key``; code of other sources of the same function goes."""
        for other in self.folder.glob(f"{self.name}.*.nb?"):
            if not other.name.startswith(f"{self.name}.{self.sources}."):
                other.unlink(missing_ok=True)
        with replacing(self._path(key)) as temporary:
            temporary.write_bytes(pickle.dumps(data))

    def flush(self) -> None:
        """Forget all signatures."""
        for file in self.folder.glob(f"{self.name}.*.nb?"):
            file.unlink(missing_ok=True)


class KernelCache(caching.FunctionCache):
    """Numba's cache of one function, on :class:`CompiledFiles`; what is missing there a child process compiles first.

    Args:
        function: the Python function.
    """

    compiles_here = False
    """Whether this process is the child."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = CompiledFiles(Path(self.cache_path), self._impl.filename_base, SOURCES)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The function compiled for a signature, None where this process has to compile it."""
        found = super().load_overload(sig, target_context)
        if found is None and not KernelCache.compiles_here:
            compile_in_child(self._py_func, sig)
            found = super().load_overload(sig, target_context)
        return found


def compile_in_child(function: Callable[..., Any], signature: Any) -> None:
    """Have a child process compile a function for a signature and save it.

    If it fails nothing is saved, and the caller, which then compiles it, meets the reason; or, if that was the child's
    alone (it was killed), computes last digits of its own, which a warning says.
    """
    done = subprocess.run(
        [sys.executable, "-c", CHILD, function.__module__, function.__qualname__],
        input=pickle.dumps(signature),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        warnings.warn(
            f"compiling {function.__name__} apart failed (exit {done.returncode}); it is compiled in this process, "
            "whose last digits may differ from those of later ones",
            RuntimeWarning,
            stacklevel=2,
        )


def compile_here() -> None:
    """The child: compile the function that the command line names for the signature on standard input."""
    module, name = sys.argv[1:]
    KernelCache.compiles_here = True
    getattr(importlib.import_module(module), name).compile(pickle.load(sys.stdin.buffer))


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Numba's ``njit`` with these options and a :class:`KernelCache`."""

    def decorate(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        if not config.DISABLE_JIT:
            dispatcher._cache = KernelCache(function)
        return dispatcher

    return decorate
