"""Products with a stored Gram matrix: in memory, from a file, by JAX; what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from advntk.foundation.errors import ConfigError, NumericalError
from advntk.ingredients.gram_operator import GramOperator, device_product


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 3, 5, 12])
def test_operator_products_in_memory_from_a_file_and_by_jax(rng, tmp_path, dtype, columns):
    gram = rng.normal(size=(73, 73)).astype(dtype)
    block = rng.normal(size=(73, columns))
    expected = gram.astype(np.float64) @ block
    np.save(tmp_path / "gram.npy", gram)
    mapped = np.load(tmp_path / "gram.npy", mmap_mode="r")
    held = GramOperator(mapped, device="cpu", memory_mb=1000)
    streamed = GramOperator(mapped, device="cpu", memory_mb=0.01)
    for operator in (held, streamed):
        np.testing.assert_allclose(operator.product(block), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(held.product(block), streamed.product(block))
    for room in (None, 0):  # on the device, and sent block by block
        np.testing.assert_allclose(device_product(gram, room=room)(block), expected, rtol=1e-12, atol=1e-13)


def test_too_little_memory_for_a_basis_is_told(rng):
    operator = GramOperator(rng.normal(size=(500, 500)), device="cpu", memory_mb=1)
    with pytest.raises(ConfigError, match=r"memory_mb: 1 MiB hold Krylov bases of 32 columns.*at least 2"):
        assert operator.max_columns


def test_nan_in_a_gram_is_named(rng):
    gram = rng.normal(size=(70, 70)).astype(np.float32)
    gram[40, 2] = np.nan
    with pytest.raises(NumericalError, match="1 NaN or infinite entries, the first in row 40 of 70"):
        GramOperator(gram, device="cpu")


def test_memory_bounds_columns_and_not_their_share_of_n(rng):
    """Ten bases, one a class, may hold ten times n columns where memory allows."""
    assert GramOperator(rng.normal(size=(50, 50)), device="cpu", memory_mb=100).max_columns >= 10 * 50
