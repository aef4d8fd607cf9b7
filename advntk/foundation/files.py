"""Reading and writing files so that a killed job, a full disk or a corrupt file never leaves a half-written result."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advntk.foundation.errors import InputError

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; rename it to ``path`` when the block succeeds.

    Raises:
        InputError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(
            f"cannot write ({error.strerror or error})", where=path, remedy="check permissions and free disk space"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def leading_to(folder: str | Path, relative: str) -> Path:
    """A path that a result gives relative to its own folder.

    ``..`` leaves a folder by the name under which it was entered: one that was moved elsewhere and linked back still
    leads to what lies beside the link.

    Returns:
        The path.
    """
    return Path(os.path.normpath(Path(folder) / relative))


def require_writable(folder: str | Path) -> None:
    """Check, without making it, that a folder can be written, or else be made.

    Raises:
        NotADirectoryError: it, or what would hold it, is a file.
        PermissionError: it, or the nearest folder around it that is there, is read-only.
    """
    whole = Path(folder).absolute()
    there = next(path for path in (whole, *whole.parents) if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "no folder", str(there))
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, "read-only", str(there))


def shadows(name: str, folder: str | Path) -> bool:
    """Whether the working folder holds a file that is easily taken for the one of its name in another folder."""
    return Path(name).exists() and not Path(name).samefile(Path(folder) / name)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically, keys in the order given, NaN refused."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Returns:
        Its content.

    Raises:
        InputError: the file is missing or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("file not found", where=path, remedy="run the rule that makes it first") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not valid JSON ({error})", where=path, remedy="delete it and run again") from error


def write_npz(path: str | Path, arrays: Mapping[str, np.ndarray], *, compress: bool = True) -> None:
    """Write named arrays atomically as an npz."""
    import numpy as np

    with replacing(path) as temporary, temporary.open("wb") as handle:
        save = np.savez_compressed if compress else np.savez
        save(handle, allow_pickle=False, **dict(arrays))


def read_npz(path: str | Path, only: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays of an npz; objects (pickles) are refused.

    Args:
        path: of the file.
        only: names of the arrays to read, where they are there; None: all.

    Returns:
        The arrays by name.

    Raises:
        InputError: the file is missing, truncated, no npz, or holds Python objects.
    """
    import numpy as np

    try:
        with Path(path).open("rb") as handle, np.load(handle, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files if only is None or name in only}
    except FileNotFoundError as error:
        raise InputError("file not found", where=path, remedy="check the path") from error
    except MemoryError as error:
        remedy = "use a machine with more; if the file is small, it is corrupt: make or copy it again"
        raise InputError(f"needs more memory than there is ({error})", where=path, remedy=remedy) from error
    except Exception as error:  # numpy and zipfile raise many kinds for bytes that are no npz
        raise InputError(
            f"not a readable npz file ({error})",
            where=path,
            remedy="save arrays without Python objects by numpy.savez; if it is truncated, make or copy it again",
        ) from error
    if other := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise InputError(f"'{other[0]}' is no array", where=path, remedy="save arrays with numpy.savez")
    return arrays


def sha256_of_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of arrays, independent of how they are stored."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def sha256_of_json(content: Any) -> str:
    """SHA-256 of the canonical JSON form (sorted keys, no spaces)."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
