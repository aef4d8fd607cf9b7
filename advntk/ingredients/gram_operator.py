"""Products with a stored Gram matrix: float32 on disk, in memory or on a GPU, float64 in every product and sum.

On the CPU Θ is read as it is stored, once a product: from memory where it fits into half of ``memory_mb``, else from
its file, which the operating system pages in and out as it finds room; no second n×n array is ever made. On a GPU the
float32 matrix lies on the device, or is sent block by block where it does not fit, and rows are widened there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from advntk.foundation import threads
from advntk.foundation.device import enable_float64, jax_device
from advntk.foundation.errors import ConfigError, NumericalError
from advntk.foundation.options import Device

MIB = 2**20
BLOCK_BYTES = 64 * MIB
LEAST_COLUMNS = 40
"""Columns below which a Krylov basis of ten classes is not worth starting."""


class GramOperator:
    """Θ as something to multiply by.

    Args:
        gram: float32 or float64, (n, n), symmetric; a memory map will do. Columns beyond n, of rows (n, more) of a
            larger matrix, are not used.
        device: where the products run.
        memory_mb: Θ is held in memory when it takes at most half of this; the bases of a solution get the other half.
        where: the file, for messages.

    Raises:
        NumericalError: an entry is NaN or infinite.
    """

    def __init__(
        self, gram: np.ndarray, *, device: Device = "auto", memory_mb: float = 2000, where: str | Path = "Gram matrix"
    ) -> None:
        self.n = len(gram)
        self._stored = gram
        self._memory_mb = memory_mb
        self._check(where)
        on_gpu = jax_device(device) == "gpu"
        self._product = device_product(gram) if on_gpu else _cpu_product(gram, memory_mb)

    def _check(self, where: str | Path) -> None:
        rows = max(1, BLOCK_BYTES // (8 * self.n))
        for low in range(0, self.n, rows):
            bad = ~np.isfinite(self._stored[low : low + rows, : self.n])
            if bad.any():
                row = low + int(np.flatnonzero(bad.any(axis=1))[0])
                raise NumericalError(
                    f"{int(bad.sum())} NaN or infinite entries, the first in row {row} of {self.n}",
                    where=where,
                    remedy="delete the file and its .json and run 'gram' again",
                )

    @property
    def max_columns(self) -> int:
        """Columns that the Krylov bases of each of a gradient's two sides may have in all within ``memory_mb``.

        A column takes 16 n bytes where D is small everywhere (V and Θ D^½ V), else half of that.

        Returns:
            The number of columns.

        Raises:
            ConfigError: too few to start with.
        """
        column_mb = 2 * 16 * self.n / MIB
        columns = int(self._memory_mb / 2 / column_mb)
        if columns < min(LEAST_COLUMNS, self.n):
            raise ConfigError(
                f"{self._memory_mb:g} MiB hold Krylov bases of {columns} columns of {self.n}: too few",
                where="memory_mb",
                remedy=f"set compute.memory_mb to at least {int(2 * LEAST_COLUMNS * column_mb) + 1}",
            )
        return columns

    def product(self, block: np.ndarray) -> np.ndarray:
        """Θ · block, (n, b) float64."""
        return self._product(np.asarray(block, dtype=np.float64))

    def dense(self) -> np.ndarray:
        """A float64 copy that the caller may overwrite, (n, n)."""
        return np.array(self._stored[:, : self.n], dtype=np.float64)

    def mean_diagonal(self) -> float:
        """Mean of Θ(x, x) over the training images."""
        return float(np.mean(np.diagonal(self._stored), dtype=np.float64))


def _cpu_product(gram: np.ndarray, memory_mb: float) -> Callable[[np.ndarray], np.ndarray]:
    """Products by numba, with Θ in memory if it takes at most half of ``memory_mb``."""
    from advntk.ingredients.kernels.numba_product import GROUP, multiply

    mapped, square = isinstance(gram, np.memmap), gram[:, : len(gram)]
    # what stays in its file keeps its whole rows, which are contiguous: the columns beyond n then meet zeros
    theta = np.array(square) if mapped and square.nbytes <= memory_mb * MIB / 2 else np.asarray(gram)

    def product(block: np.ndarray) -> np.ndarray:
        threads.start("numba")
        n, columns = block.shape
        across = np.zeros((-(-columns // GROUP) * GROUP, theta.shape[1]))
        across[:columns, :n] = block.T
        out = np.empty((len(across), n))
        multiply(theta, across, out)
        return out[:columns].T

    return product


def device_product(gram: np.ndarray, *, room: int | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Products by JAX on its default device, Θ in float32 there and widened row block by row block in one program.

    Args:
        gram: Θ, (n, n) or rows (n, more), of which the first n columns are used.
        room: bytes of the device that Θ may take; None: three quarters of what the device reports, if it does. Where
            Θ takes more, each product sends it block by block.

    Returns:
        The product.
    """
    enable_float64()
    import jax
    import jax.numpy as jnp

    gram = gram[:, : len(gram)]
    if room is None:
        limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
        room = gram.nbytes if limit is None else int(0.75 * limit)
    n = len(gram)
    rows = min(n, max(1, BLOCK_BYTES // (8 * n)))
    starts = range(0, n, rows)

    def times(part: Any, block: Any) -> Any:
        return jnp.matmul(part.astype(jnp.float64), block, precision="highest")

    if gram.nbytes > room:
        sent = jax.jit(times)

        def send(block: np.ndarray) -> np.ndarray:
            there = jax.device_put(block)
            return np.concatenate([np.asarray(sent(np.asarray(gram[low : low + rows]), there)) for low in starts])

        return send

    # written block by block into one array where it lies: at no time a second Θ on the device
    theta = jnp.zeros((len(starts), rows, n), gram.dtype)
    write = jax.jit(lambda theta, part, index: theta.at[index, : len(part)].set(part), donate_argnums=0)
    for index, low in enumerate(starts):
        theta = write(theta, np.asarray(gram[low : low + rows]), index)
    resident = jax.jit(lambda theta, block: jax.lax.map(lambda part: times(part, block), theta))

    def product(block: np.ndarray) -> np.ndarray:
        return np.asarray(resident(theta, block)).reshape(-1, block.shape[1])[:n]

    return product
