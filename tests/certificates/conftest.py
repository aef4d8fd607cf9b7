"""Problems here are small, and none needs torch."""

from __future__ import annotations

from collections.abc import Iterator

import numba
import pytest

from advntk.foundation.threads import one_blas_thread


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    with one_blas_thread():
        yield
    numba.set_num_threads(threads)
