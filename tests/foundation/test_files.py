"""Files: atomic writes, clear errors, no pickles."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from advntk.foundation import files
from advntk.foundation.errors import AdvntkError, InputError, nearest


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(path, {"x": float("nan")})
    assert files.read_json(path) == {"x": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def broken_off(path):
    with files.replacing(path) as temporary:
        temporary.write_text("ha")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_write_that_breaks_off_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "whole")
    with pytest.raises(InputError, match="No space left"):
        broken_off(path)
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_follow_the_umask(tmp_path):
    files.write_text(tmp_path / "a.txt", "x")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~mask


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/a\.json: cannot write"):
        files.write_json(tmp_path / "file" / "a.json", {})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x93NUMPY", b"not an archive"])
def test_broken_npz_is_named(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: not a readable npz"):
        files.read_npz(path)


def test_truncated_npz_is_named(tmp_path, rng):
    path = tmp_path / "a.npz"
    files.write_npz(path, {"x": rng.normal(size=1000)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="truncated"):
        files.read_npz(path)


def test_pickles_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="not a readable npz"):
        files.read_npz(path)


def test_digests_see_names_shapes_and_values():
    a = {"x": np.arange(6), "y": np.zeros(2)}
    assert files.sha256_of_arrays(a) == files.sha256_of_arrays(dict(reversed(a.items())))
    for other in ({"x": np.arange(6).reshape(2, 3), "y": np.zeros(2)}, {"z": np.arange(6), "y": np.zeros(2)}):
        assert files.sha256_of_arrays(other) != files.sha256_of_arrays(a)


def test_an_error_is_one_line_with_place_and_remedy():
    error = AdvntkError("is\nbroken", where="thing", remedy="mend it")
    assert error.line() == "thing: is broken; mend it"
    assert nearest("advtnk", ["advntk", "ntk"]) == " (did you mean 'advntk'?)"
    assert nearest("zzz", ["advntk"]) == ""
