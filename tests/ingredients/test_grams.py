"""Gram matrices: the right numbers, resumed at tile granularity, refused when they cannot be right."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, InputError, NotPositiveDefinite, NumericalError
from advntk.foundation.options import Compute
from advntk.ingredients import gram_sizes, gram_spectrum, gram_tiles, grams
from tests.conftest import relu_kernel

SPEC = Architecture(family="mlp", depth=3)
CPU = Compute(device="cpu")


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(gram_sizes, "TILE_ROWS", 32)


def build(split, folder, spec=SPEC, compute=CPU):
    grams.build_gram(split, spec, out=folder / "gram.npy", compute=compute, threads=1)
    return grams.open_gram(folder / "gram.npy", split, spec)


@pytest.mark.parametrize("engine", ["numba", "neural_tangents"])
def test_gram_is_the_kernel(digits_split, tmp_path, small_tiles, engine):
    gram = build(digits_split, tmp_path, compute=Compute(device="cpu", kernel_engine=engine))
    expected = relu_kernel(digits_split.opt.images, 3)
    assert gram.dtype == np.float32
    np.testing.assert_array_equal(gram, gram.T)
    error = np.abs(gram - expected) / expected.max()
    assert error.max() <= 1e-6
    facts = json.loads((tmp_path / "gram.json").read_text())
    np.testing.assert_allclose(facts["lambda_max"], np.linalg.eigvalsh(expected)[-1], rtol=1e-4)
    np.testing.assert_allclose(facts["mean_diagonal"], np.trace(expected) / 120, rtol=1e-6)
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


def killed_after(tiles, split, folder, monkeypatch):
    """A run that dies in its next tile, and the engine of the run after it."""
    inner = grams.make_engine(SPEC, split.input_shape, device="cpu")
    engines = iter([Counted(inner, die_after=tiles), again := Counted(inner)])
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: next(engines))
    with pytest.raises(Killed):
        build(split, folder)
    return again


def test_a_killed_run_goes_on_at_its_tile(digits_split, tmp_path, small_tiles, monkeypatch):
    whole = np.array(build(digits_split, tmp_path / "whole"))
    again = killed_after(2, digits_split, tmp_path, monkeypatch)
    assert not (tmp_path / "gram.npy").exists()
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


@pytest.mark.parametrize("sigma_w", [1e-12, 1e12])
def test_the_remedy_for_a_scale_that_leaves_float32_names_the_direction(digits_split, tmp_path, sigma_w):
    spec = SPEC.model_copy(update={"sigma_w": sigma_w, "sigma_b": 0.0})
    with pytest.raises(NumericalError, match="are NaN or infinite") as caught:
        build(digits_split, tmp_path, spec=spec)
    assert "move sigma_w towards 1.4" in caught.value.remedy


@pytest.mark.parametrize(
    ("family", "sigma_w", "sigma_b"), [("cnn", 1e-6, 0.0), ("mlp", 1e-12, 0.18), ("mlp", 1e-3, 10.0)]
)
def test_a_kernel_that_is_one_number_is_refused(digits_split, tmp_path, family, sigma_w, sigma_b):
    spec = Architecture(family=family, depth=3, sigma_w=sigma_w, sigma_b=sigma_b)
    with pytest.raises(NumericalError, match="does not distinguish images") as caught:
        build(digits_split, tmp_path, spec=spec)
    assert "raise sigma_w" in caught.value.remedy
    assert not (tmp_path / "gram.npy").exists()


def test_an_indefinite_matrix_is_refused(digits_split, tmp_path, monkeypatch):
    engine = Counted(grams.make_engine(SPEC, digits_split.input_shape, device="cpu"))
    whole = engine.inner.tile_symmetric
    engine.tile_symmetric = lambda a: whole(a) - 5 * np.eye(len(a), dtype=np.float32)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: engine)
    with pytest.raises(NotPositiveDefinite, match="eigenvalues from -"):
        build(digits_split, tmp_path)
    assert not (tmp_path / "gram.npy").exists()


def test_the_check_of_large_matrices_against_the_exact_spectrum(digits_split, tmp_path, monkeypatch):
    gram = np.array(build(digits_split, tmp_path))
    exact = np.linalg.eigvalsh(gram.astype(np.float64))
    monkeypatch.setattr(gram_spectrum, "DENSE_CHECK", 10)
    monkeypatch.setattr(gram_spectrum, "SUBSET", 50)
    monkeypatch.setattr(gram_spectrum, "BLOCK", 4)
    found = gram_spectrum.spectrum(gram)
    assert found.by == "block-lanczos-6x4, dense-50"
    assert not found.negative
    np.testing.assert_allclose(found.top, exact[-1], rtol=1e-6)
    assert exact[0] - 1e-9 <= found.bottom <= found.top
    shifted = gram_spectrum.spectrum(gram - np.float32(0.2 * exact[-1]) * np.eye(120, dtype=np.float32))
    assert shifted.negative
    assert shifted.bottom < -0.1 * exact[-1]


@pytest.mark.parametrize("defect", ["a tile of zeros", "a tile scaled by 1.3", "a row cut"])
def test_the_check_of_large_matrices_sees_wrong_tiles(digits_split, tmp_path, monkeypatch, defect):
    gram = np.array(build(digits_split, tmp_path))
    rows, columns = (slice(40, 41), slice(64, 120)) if defect == "a row cut" else (slice(32, 64), slice(64, 96))
    gram[rows, columns] *= 1.3 if defect == "a tile scaled by 1.3" else 0
    gram[columns, rows] = gram[rows, columns].T
    assert np.linalg.eigvalsh(gram.astype(np.float64))[0] < -1e-3 * np.linalg.norm(gram, 2)
    for name, value in (("DENSE_CHECK", 10), ("SUBSET", 30), ("BLOCK", 4)):
        monkeypatch.setattr(gram_spectrum, name, value)
    assert gram_spectrum.spectrum(gram).negative


def test_entries_lost_from_a_growing_file_are_computed_again(digits_split, tmp_path, small_tiles, monkeypatch):
    """After a power cut finished tiles may read as zeros, which are finite: their checksums tell."""
    whole = np.array(build(digits_split, tmp_path / "whole"))
    again = killed_after(3, digits_split, tmp_path, monkeypatch)
    growing = np.lib.format.open_memmap(tmp_path / ".gram.partial.npy", mode="r+")
    growing[40, 70:80] = 0
    growing.flush()
    np.testing.assert_array_equal(build(digits_split, tmp_path), whole)
    assert again.tiles == 4 - 3 + 1


def test_too_little_memory_for_any_tile(tmp_path):
    from advntk.ingredients.splits import Part, Split

    part = Part(pixels=np.zeros((2000, 28, 28, 1), np.uint8), labels=np.zeros(2000, np.int64), indices=np.arange(2000))
    split = Split(dataset="x", seed=0, classes=2, hash="0", opt=part, val=part, test=part)
    with pytest.raises(ConfigError, match=r"memory_mb: 1 MiB are too little .* 2000 images; give at least 23"):
        build(split, tmp_path, compute=Compute(device="cpu", memory_mb=1))
    assert not list(tmp_path.iterdir())


def test_a_disk_too_full_is_told_before_the_work(digits_split, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(gram_tiles.shutil, "disk_usage", lambda path: usage._replace(free=12_000))
    monkeypatch.setattr(gram_tiles, "fill", None)
    with pytest.raises(InputError, match=r"gram\.npy: needs 1 MB of disk, 0 MB are free; free disk space"):
        build(digits_split, tmp_path)
    assert not list(tmp_path.iterdir())


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
