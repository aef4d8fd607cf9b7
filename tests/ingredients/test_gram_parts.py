"""A Gram matrix by parts: cut evenly, the same numbers to the last bit, and no part taken that is not right."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, InputError, NotPositiveDefinite
from advntk.foundation.options import Compute
from advntk.foundation.roots import behind
from advntk.ingredients import gram_parts, gram_sizes, gram_tiles, grams
from tests.ingredients.test_grams import Counted, Killed

SPEC = Architecture(family="mlp", depth=3)
CPU = Compute(device="cpu")
PARTS = 3


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(gram_sizes, "TILE_ROWS", 32)
    monkeypatch.setattr(gram_sizes, "PIECES", 2)


def build_parts(split, folder, parts=PARTS, spec=SPEC):
    files = [folder / f"{part}.npy" for part in range(parts)]
    for part, out in enumerate(files):
        gram_parts.build_part(split, spec, part=part, parts=parts, out=out, compute=CPU, threads=1)
    return files


def gather(files, split, folder, spec=SPEC):
    gram_parts.gather(files, split, spec, out=folder / "gram.npy", compute=CPU, threads=1)
    return grams.open_gram(folder / "gram.npy", split, spec)


@given(st.integers(1, 3000), st.integers(1, 12))
def test_parts_are_disjoint_complete_and_even(n, parts):
    parts = gram_sizes.parts_that_fit(n, parts)
    cut = [gram_sizes.rows_of_part(n, part, parts) for part in range(parts)]
    assert sorted(low for rows in cut for low in rows) == list(range(0, n, 32))
    loads = [sum(gram_sizes.pairs(low, n) for low in rows) for rows in cut]
    assert sum(loads) == n * (n + 1) // 2
    assert max(loads) - min(loads) <= gram_sizes.pairs(0, n)


@pytest.mark.parametrize("n", [1, 31, 32, 33, 100, 200])
def test_the_mirror_makes_the_lower_triangle(tmp_path, rng, n):
    upper = np.triu(rng.normal(size=(n, n)).astype(np.float32))
    path = tmp_path / "square.npy"
    for low in range(0, n, 32):  # the squares on the diagonal are whole already
        square = upper[low : low + 32, low : low + 32]
        square += np.triu(square, 1).T
    np.save(path, upper)
    with path.open("r+b", buffering=0) as file:
        gram_tiles.mirror(gram_tiles.TileFile.square(file.fileno(), n, path))
    np.testing.assert_array_equal(np.load(path), np.triu(upper) + np.triu(upper, 1).T)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_number_of_parts_changes_no_bit(digits_split, tmp_path, parts):
    grams.build_gram(digits_split, SPEC, out=tmp_path / "whole.npy", compute=CPU, threads=1)
    files = build_parts(digits_split, tmp_path, parts)
    gather(files[::-1], digits_split, tmp_path)
    assert (tmp_path / "gram.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    whole, gathered = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("whole", "gram"))
    assert gathered["parts"] == len(gathered["provenance"]["parts"]) == parts
    assert gathered["provenance"]["content"] == whole["provenance"]["content"]
    assert set(gathered["provenance"]["sources"]) == set(behind(gram_parts.__name__, family="mlp"))
    assert set(whole["provenance"]["sources"]) == set(behind(grams.__name__, family="mlp"))
    for changing in ("parts", "provenance", "timing"):
        del whole[changing], gathered[changing]
    assert gathered == whole
    assert sum(np.load(path, mmap_mode="r").size for path in files) == 32 * (120 + 88 + 56) + 24 * 24
    assert not list(tmp_path.glob(".*"))


def test_a_killed_part_goes_on_at_its_tile(digits_split, tmp_path, monkeypatch):
    files = build_parts(digits_split, tmp_path, 2)
    before = files[0].read_bytes()
    for path in (files[0], grams.sidecar(files[0])):
        path.unlink()
    original = grams.make_engine
    dying = Counted(original(SPEC, digits_split.input_shape, device="cpu"), die_after=1)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: dying)
    with pytest.raises(Killed):
        build_parts(digits_split, tmp_path, 2)
    again = Counted(dying.inner)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: again)
    gram_parts.build_part(digits_split, SPEC, part=0, parts=2, out=files[0], compute=CPU, threads=1)
    assert again.tiles == len(gram_sizes.rows_of_part(120, 0, 2)) - 1
    assert files[0].read_bytes() == before


def cut_short(files):
    files[1].write_bytes(files[1].read_bytes()[:-5000])


def changed(files):
    stored = np.lib.format.open_memmap(files[1], mode="r+")
    stored[7] = 0
    stored.flush()


def from_another_file(files):
    shutil.copy(files[0], files[1])
    shutil.copy(grams.sidecar(files[0]), grams.sidecar(files[1]))


def other_code(files):
    path = grams.sidecar(files[2])
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "another"}))


def not_there(files):
    files[2].unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_short, r"1\.npy: cut short or corrupt .*run 'gram' again"),
        (changed, r"1\.npy: the tile row at \d+ is not as it was computed \(checksum\); delete it"),
        (from_another_file, r"part 1 of 3 is not among the files; give each part once"),
        (other_code, r"2\.npy: was made by another code than .*0\.npy; delete one of the two"),
        (not_there, r"2\.npy: file not found; run 'gram' for this part first"),
    ],
)
def test_a_part_that_is_not_right_is_named_and_nothing_is_lost(digits_split, tmp_path, spoil, message):
    files = build_parts(digits_split, tmp_path)
    spoil(files)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=message):
        gather(files, digits_split, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_parts_of_another_architecture_split_or_cut(digits_split, tmp_path):
    files = build_parts(digits_split, tmp_path)
    with pytest.raises(InputError, match=r"0\.npy: was made for another architecture"):
        gather(files, digits_split, tmp_path, spec=Architecture(family="mlp", depth=5))
    import dataclasses

    other = dataclasses.replace(digits_split, hash="another")
    with pytest.raises(InputError, match=r"0\.npy: was made for another split_hash"):
        gather(files, other, tmp_path)
    with pytest.raises(InputError, match=r"0\.npy: was made for another parts"):
        gather(files[:2], digits_split, tmp_path)
    assert not (tmp_path / "gram.npy").exists()


def test_an_indefinite_matrix_is_refused_and_the_parts_stay(digits_split, tmp_path, monkeypatch):
    engine = Counted(grams.make_engine(SPEC, digits_split.input_shape, device="cpu"))
    square = engine.inner.tile_symmetric
    engine.tile_symmetric = lambda a: square(a) - 5 * np.eye(len(a), dtype=np.float32)
    monkeypatch.setattr(grams, "make_engine", lambda *a, **k: engine)
    files = build_parts(digits_split, tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NotPositiveDefinite, match="eigenvalues from -"):
        gather(files, digits_split, tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_a_disk_too_full_for_the_whole(digits_split, tmp_path, monkeypatch):
    files = build_parts(digits_split, tmp_path)
    before = sorted(tmp_path.iterdir())
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(gram_tiles.shutil, "disk_usage", lambda path: usage._replace(free=12_000))
    with pytest.raises(InputError, match=r"gram\.npy: needs 1 MB of disk, 0 MB are free"):
        gather(files, digits_split, tmp_path)
    assert sorted(tmp_path.iterdir()) == before


def test_parts_that_do_not_exist(digits_split, tmp_path):
    for part, parts, message in ((2, 2, "no part 2 of 2"), (0, 5, "120 images have 4 tile row.* give at most 4")):
        with pytest.raises(ConfigError, match=message):
            gram_parts.build_part(
                digits_split, SPEC, part=part, parts=parts, out=tmp_path / "x", compute=CPU, threads=1
            )
    assert gram_sizes.parts_that_fit(120, 5) == 4
