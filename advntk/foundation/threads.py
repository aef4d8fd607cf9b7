"""How many threads BLAS, numba, XLA and torch may use, and in which process their threads run."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Iterator
from typing import Any

from advntk.foundation.errors import AdvntkError

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def available() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def limit(threads: int) -> None:
    """Limit all libraries to a number of threads; call before they are imported, or they keep their own.

    XLA has no thread count of its own: below two threads its multithreaded loops are turned off, otherwise it
    follows the process's cores.
    """
    for variable in VARIABLES:
        os.environ[variable] = str(threads)
    # after a product idle OpenBLAS threads spin for 2^26 cycles and starve the loop that follows; 2^14 is enough
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "14")
    # and the other way round: numba's threads wait by spinning too, while a product needs both cores
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1".strip()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # see advntk.foundation.device.enable_float64
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


_processes: dict[str, int] = {}


def start(library: str) -> None:
    """Record that this process is about to run threads of a library.

    Threads do not survive a fork: a child that computes with the same library waits for them for ever, or is killed.

    Args:
        library: its name, for the message.

    Raises:
        AdvntkError: this process was forked from one that had run them.
    """
    here = os.getpid()
    if _processes.setdefault(library, here) != here:
        raise AdvntkError(
            f"this process was forked after {library} had started threads, which a forked process cannot use",
            where="multiprocessing",
            remedy="use multiprocessing.get_context('spawn') and load predictors in the workers",
        )


@functools.cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS and LAPACK between numba loops on one thread; a context or a decorator.

    For where numba's loops, which keep their threads, are by far the most work. Two pools of threads that take turns
    wait for each other's spinning: a QR factorisation of 3,000 × 10 took 0.8 ms on two threads beside a numba loop, and
    takes 0.1 ms on one.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield
