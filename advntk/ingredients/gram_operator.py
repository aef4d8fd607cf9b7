"""Products with a stored Gram matrix: float32 on disk or in memory, float64 in every accumulation.

On the CPU the float32 rows are widened block by block, so that nothing holds a second n×n array unless it fits in
``memory_mb``; on a GPU the matrix lies on the device in float64.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advntk.foundation.device import enable_float64, jax_device
from advntk.foundation.errors import NumericalError
from advntk.foundation.options import Device

_BLOCK_BYTES = 64 * 2**20


class GramOperator:
    """Θ as something to multiply by.

    Args:
        gram: float32 or float64, (n, n), symmetric; a memory map will do.
        device: where the products run.
        memory_mb: a float64 copy is kept when it takes at most half of this.
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
        self._rows = max(1, _BLOCK_BYTES // (8 * self.n))
        self._check(where)
        self._wide: Any = None
        self._device = jax_device(device)
        if self._device == "gpu":
            import jax

            enable_float64()
            self._wide = jax.device_put(np.asarray(gram, dtype=np.float64))
        elif 8 * self.n**2 <= memory_mb * 2**20 / 2:
            self._wide = np.asarray(gram, dtype=np.float64)

    def _check(self, where: str | Path) -> None:
        for low in range(0, self.n, self._rows):
            bad = ~np.isfinite(self._stored[low : low + self._rows])
            if bad.any():
                row = low + int(np.flatnonzero(bad.any(axis=1))[0])
                raise NumericalError(
                    f"{int(bad.sum())} NaN or infinite entries, the first in row {row} of {self.n}",
                    where=where,
                    remedy="delete the file and its .json and run 'gram' again",
                )

    @property
    def max_columns(self) -> int:
        """Columns that two Krylov bases with their images may have within ``memory_mb``; at least 200, at most n."""
        return min(self.n, max(200, int(self._memory_mb * 2**20 / (4 * 8 * self.n))))

    def product(self, block: np.ndarray) -> np.ndarray:
        """Θ · block, (n, b) float64."""
        if self._device == "gpu":
            import jax.numpy as jnp

            return np.asarray(jnp.matmul(self._wide, block, precision="highest"))
        if self._wide is not None:
            return np.asarray(self._wide @ block)
        out = np.empty((self.n, block.shape[1]))
        for low in range(0, self.n, self._rows):
            high = min(low + self._rows, self.n)
            np.matmul(self._stored[low:high].astype(np.float64), block, out=out[low:high])
        return out

    def dense(self) -> np.ndarray:
        """A float64 copy that the caller may overwrite, (n, n)."""
        return np.array(self._stored, dtype=np.float64)

    def mean_diagonal(self) -> float:
        """Mean of Θ(x, x) over the training images."""
        return float(np.mean(np.diagonal(self._stored), dtype=np.float64))
