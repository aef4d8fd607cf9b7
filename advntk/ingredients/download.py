"""Original files of a dataset, from a mirror (folder or URL) or the network, each verified before it is read."""

from __future__ import annotations

import gzip
import hashlib
import http
import http.client
import os
import ssl
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pydantic import Field

from advntk.foundation import files
from advntk.foundation.errors import InputError
from advntk.foundation.progress import Progress
from advntk.ingredients.images import SplitSizes

TRIES = 4
PAUSE_S = 1.0
"""Before the second try; doubled before each one after it."""
TIMEOUT_S = 60.0
BLOCK = 1 << 20
REMEDY = "set 'mirror' to a folder or URL that has the original file"


class Mirrored(SplitSizes):
    """Sizes, and where the original files are."""

    n_opt: int = Field(default=10_000, ge=2, description="training images that build the kernel (opt)")
    n_val: int = Field(
        default=2_000, ge=1, description="training images held out for Adv-NTK's steps and choices (val)"
    )
    n_test: int = Field(default=0, ge=0, description="test images, the same for every seed; 0: all there are")
    mirror: str = Field(
        default="", description="folder or URL of the original files, under their original names; empty: the network"
    )


def fetch(checksums: Mapping[str, str], *, source: str, folder: Path, gzipped: bool = False) -> list[Path]:
    """Copy or download files and verify them; files that are there already are verified only.

    Args:
        checksums: SHA-256 of each file, by its name.
        source: a folder or a URL that ends before the file's name.
        folder: where the verified files go.
        gzipped: the source holds ``NAME.gz``; what is verified and kept is the decompressed content. (A mirror may have
            compressed the same content again, so the compressed bytes prove nothing.)

    Returns:
        Paths of the files, in the order of ``checksums``.
    """
    return [_fetch_one(name, digest, source, folder / name, gzipped) for name, digest in checksums.items()]


def _fetch_one(name: str, digest: str, source: str, target: Path, gzipped: bool) -> Path:
    if target.is_file() and files.sha256_of_file(target) == digest:
        return target
    original = f"{name}.gz" if gzipped else name
    place = f"{source.rstrip('/')}/{original}"
    with (
        files.replacing(target) as temporary,
        _opened(original, source, target.parent) as packed,
        temporary.open("wb") as out,
    ):
        try:
            found = _copy(gzip.GzipFile(fileobj=packed) if gzipped else packed, out)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(f"truncated or corrupt ({error})", where=place, remedy=REMEDY) from error
        except _CannotRead as error:
            raise InputError(f"cannot read ({error})", where=place, remedy=REMEDY) from error
        if found != digest:
            raise InputError(
                f"wrong checksum: SHA-256 {found[:12]}… instead of {digest[:12]}… ({out.tell():,} bytes)",
                where=place,
                remedy=REMEDY,
            )
    return target


class _CannotRead(Exception):
    """The source could not be read; not to be taken for a target that could not be written."""


def _read(content: BinaryIO | gzip.GzipFile) -> bytes:
    """The next block; a broken device or network folder is a ``_CannotRead``."""
    try:
        return content.read(BLOCK)
    except gzip.BadGzipFile:  # an OSError too, but of the file's content
        raise
    except OSError as error:
        raise _CannotRead(error.strerror or error) from error


def _copy(content: BinaryIO | gzip.GzipFile, out: BinaryIO) -> str:
    """Copy in blocks; SHA-256 of what was copied, hexadecimal."""
    digest = hashlib.sha256()
    while block := _read(content):
        digest.update(block)
        out.write(block)
    return digest.hexdigest()


@contextmanager
def _opened(name: str, source: str, folder: Path) -> Iterator[BinaryIO]:
    """Open one file of the source; a download goes to a file in ``folder`` that has no name, so none stays behind.

    Raises:
        InputError: not there, not readable, or not reached.
    """
    if "://" in source:
        with tempfile.TemporaryFile(dir=folder) as whole:
            _download(f"{source.rstrip('/')}/{name}", whole)
            whole.seek(0)
            yield whole
        return
    path = Path(source).expanduser() / name
    if not path.is_file():
        raise InputError("no such file in the mirror", where=path, remedy=REMEDY)
    if not os.access(path, os.R_OK):
        raise InputError("no permission to read the file", where=path, remedy="change its permissions")
    with path.open("rb") as handle:
        yield handle


def _download(url: str, out: BinaryIO) -> None:
    """Download a file; a broken connection is resumed by the next try.

    Raises:
        InputError: not there, or not reached after several tries.
    """
    for attempt in range(TRIES):
        try:
            _receive(url, out)
            return
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
            print(f"download: {url}: {error} (try {attempt + 1} of {TRIES})", file=sys.stderr, flush=True)
            reason = error
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is the answer too
            if _is_final(error):
                break
            if attempt + 1 < TRIES:
                time.sleep(PAUSE_S * 2.0**attempt)
    raise InputError(f"cannot download ({reason})", where=url, remedy=f"check the network, or {REMEDY}")


def _is_final(error: Exception) -> bool:
    """Whether another try cannot help: the server refuses the request, or a ``file:`` URL names no file."""
    if isinstance(error, urllib.error.HTTPError):
        return 400 <= error.code < 500 and error.code not in (408, 429)
    return isinstance(error, urllib.error.URLError) and isinstance(error.reason, FileNotFoundError)


def _arriving(answer: BinaryIO) -> bytes:
    """The next block; a route that is gone is a broken connection too, not a target that could not be written."""
    try:
        return answer.read(BLOCK)
    except (ConnectionError, TimeoutError, ssl.SSLError):
        raise
    except OSError as error:
        raise ConnectionError(error.strerror or error) from error


def _receive(url: str, out: BinaryIO) -> None:
    """Append the rest of a file to what ``out`` holds; start over where the server cannot go on in the middle.

    Raises:
        ConnectionError: fewer bytes came than were announced.
    """
    held = out.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"Range": f"bytes={held}-"} if held else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        if held and answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            held = out.seek(0)
            out.truncate()
        length = answer.headers.get("Content-Length")
        total = held + int(length) if length else 0
        progress = Progress(f"download: {url}", -(-total // BLOCK), unit="MiB", done=held // BLOCK)
        while block := _arriving(answer):
            out.write(block)
            if total:
                progress.advance()
    if out.tell() < total:
        raise ConnectionError(f"{out.tell():,} of {total:,} bytes came")
