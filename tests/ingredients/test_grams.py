"""Gram matrices: the right numbers, resumed at tile granularity, refused when they cannot be right."""

from __future__ import annotations

import json

import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import InputError, NotPositiveDefinite, NumericalError
from advntk.foundation.options import Compute
from advntk.ingredients import grams
from advntk.ingredients.gram_operator import GramOperator
from tests.conftest import relu_kernel

SPEC = Architecture(family="mlp", depth=3)
CPU = Compute(device="cpu")


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(grams, "TILE_ROWS", 32)


def build(split, folder, spec=SPEC, compute=CPU):
    grams.build_gram(split, spec, out=folder / "gram.npy", compute=compute, threads=1)
    return grams.open_gram(folder / "gram.npy", split, spec)


# in float32 neural-tangents loses digits where the cosine is 1, on the diagonal
@pytest.mark.parametrize(("engine", "on_diagonal"), [("numba", 1e-5), ("neural_tangents", 3e-4)])
def test_gram_is_the_kernel(digits_split, tmp_path, small_tiles, engine, on_diagonal):
    gram = build(digits_split, tmp_path, compute=Compute(device="cpu", kernel_engine=engine))
    expected = relu_kernel(digits_split.opt.images, 3)
    assert gram.dtype == np.float32
    np.testing.assert_array_equal(gram, gram.T)
    error = np.abs(gram - expected) / expected.max()
    assert np.diagonal(error).max() <= on_diagonal
    assert (error - np.diag(np.diagonal(error))).max() <= 1e-6
    facts = json.loads((tmp_path / "gram.json").read_text())
    np.testing.assert_allclose(facts["lambda_max"], np.linalg.eigvalsh(expected)[-1], rtol=1e-4)
    np.testing.assert_allclose(facts["mean_diagonal"], np.trace(expected) / 120, rtol=3e-4)
    assert facts["split_hash"] == digits_split.hash


class Killed(Exception):
    """Stands in for a kill."""


class Counted:
    """An engine that counts its tiles and may die after some."""

    def __init__(self, inner, die_after=None):
        self.inner, self.name, self.tiles, self.die_after = inner, inner.name, 0, die_after

    def tile(self, a, b):
        return self.inner.tile(a, b)

    def tile_symmetric(self, a):
        if self.tiles == self.die_after:
            raise Killed
        self.tiles += 1
        return self.inner.tile_symmetric(a)


def test_a_killed_run_goes_on_at_its_tile(digits_split, tmp_path, small_tiles, monkeypatch):
    whole = np.array(build(digits_split, tmp_path / "whole"))
    original = grams.make_engine
    dying = Counted(original(SPEC, digits_split.input_shape, device="cpu"), die_after=2)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: dying)
    with pytest.raises(Killed):
        build(digits_split, tmp_path)
    assert not (tmp_path / "gram.npy").exists()
    again = Counted(dying.inner)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: again)
    resumed = build(digits_split, tmp_path)
    assert again.tiles == 4 - 2
    np.testing.assert_array_equal(resumed, whole)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["gram.json", "gram.npy"]


def test_unfinished_tiles_of_another_kernel_are_not_used(digits_split, tmp_path, small_tiles, monkeypatch):
    original = grams.make_engine
    dying = Counted(original(SPEC, digits_split.input_shape, device="cpu"), die_after=2)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: dying)
    with pytest.raises(Killed):
        build(digits_split, tmp_path)
    other = Architecture(family="mlp", depth=4)
    fresh = Counted(original(other, digits_split.input_shape, device="cpu"))
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: fresh)
    build(digits_split, tmp_path, spec=other)
    assert fresh.tiles == 4


def test_nan_stops_with_numbers_and_advice(digits_split, tmp_path, small_tiles, monkeypatch):
    engine = Counted(grams.make_engine(SPEC, digits_split.input_shape, device="cpu"))
    inner_tile = engine.inner.tile
    engine.tile = lambda a, b: inner_tile(a, b) * np.where(np.arange(len(b)) == 3, np.nan, 1).astype(np.float32)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: engine)
    with pytest.raises(NumericalError, match="32 of 2816 entries of the tile at row 0 are NaN"):
        build(digits_split, tmp_path)


def test_an_indefinite_matrix_is_refused(digits_split, tmp_path, monkeypatch):
    engine = Counted(grams.make_engine(SPEC, digits_split.input_shape, device="cpu"))
    whole = engine.inner.tile_symmetric
    engine.tile_symmetric = lambda a: whole(a) - 5 * np.eye(len(a), dtype=np.float32)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: engine)
    with pytest.raises(NotPositiveDefinite, match="eigenvalues from -"):
        build(digits_split, tmp_path)
    assert not (tmp_path / "gram.npy").exists()


def test_the_lanczos_check_sees_what_the_dense_one_sees(digits_split, tmp_path, monkeypatch):
    gram = np.array(build(digits_split, tmp_path))
    exact = grams._extreme_eigenvalues(gram)
    monkeypatch.setattr(grams, "DENSE_CHECK", 10)
    found = grams._extreme_eigenvalues(gram)
    np.testing.assert_allclose(found[0], exact[0], rtol=1e-6)
    assert found[1] >= exact[1] - 1e-9
    assert grams._extreme_eigenvalues(gram - 0.2 * exact[0] * np.eye(120))[1] < -0.1 * exact[0]


def test_a_file_cut_short_or_of_something_else(digits_split, tmp_path):
    build(digits_split, tmp_path)
    path = tmp_path / "gram.npy"
    with pytest.raises(InputError, match="was made for another architecture"):
        grams.open_gram(path, digits_split, Architecture(family="mlp", depth=5))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="cut short or corrupt"):
        grams.open_gram(path, digits_split, SPEC)
    path.unlink()
    with pytest.raises(InputError, match="file not found"):
        grams.open_gram(path, digits_split, SPEC)


def test_operator_products_and_nan(rng):
    gram = rng.normal(size=(70, 70)).astype(np.float32)
    block = rng.normal(size=(70, 3))
    expected = gram.astype(np.float64) @ block
    for memory_mb in (1000, 1e-6):  # a float64 copy, and row blocks
        operator = GramOperator(gram, device="cpu", memory_mb=memory_mb)
        np.testing.assert_allclose(operator.product(block), expected, rtol=1e-13)
    gram[40, 2] = np.nan
    with pytest.raises(NumericalError, match="1 NaN or infinite entries, the first in row 40 of 70"):
        GramOperator(gram, device="cpu")
