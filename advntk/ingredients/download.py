"""Original files of a dataset, from a mirror (folder or URL) or the network, each verified before it is read."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import sys
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from pathlib import Path

from advntk.foundation import files
from advntk.foundation.errors import InputError

TRIES = 3
TIMEOUT_S = 60.0


def fetch_gzipped(checksums: Mapping[str, str], *, source: str, folder: Path) -> list[Path]:
    """Copy or download ``NAME.gz`` files, decompress and verify them; files already there are verified only.

    Args:
        checksums: SHA-256 of each file's decompressed content, by its name without ``.gz``. (A mirror may have
            compressed the same content again, so the compressed bytes prove nothing.)
        source: a folder or a URL that ends before the file's name.
        folder: where the decompressed files go.

    Returns:
        Paths of the decompressed files, in the order of ``checksums``.
    """
    return [_fetch_one(name, digest, source, folder) for name, digest in checksums.items()]


def _fetch_one(name: str, digest: str, source: str, folder: Path) -> Path:
    target = folder / name
    if target.is_file() and files.sha256_of_file(target) == digest:
        return target
    packed = _read(f"{name}.gz", source)
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"truncated or corrupt ({len(packed)} bytes: {error})",
            where=f"{source.rstrip('/')}/{name}.gz",
            remedy="replace the file in the mirror with the original",
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise InputError(
            f"wrong checksum: SHA-256 {found[:12]}… instead of {digest[:12]}…",
            where=f"{source.rstrip('/')}/{name}.gz",
            remedy="replace the file in the mirror with the original",
        )
    with files.replacing(target) as temporary:
        temporary.write_bytes(content)
    return target


def _read(name: str, source: str) -> bytes:
    """Bytes of one file of the source; network errors are tried again, with growing pauses.

    Returns:
        The bytes.

    Raises:
        InputError: not there, or not reached.
    """
    if "://" not in source:
        path = Path(source).expanduser() / name
        if not path.is_file():
            raise InputError(
                "no such file in the mirror", where=path, remedy="set 'mirror' to a folder or URL that has it"
            )
        return path.read_bytes()
    url = f"{source.rstrip('/')}/{name}"
    for attempt in range(TRIES):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                content: bytes = answer.read()
                return content
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            print(f"download: {url}: {error} (try {attempt + 1} of {TRIES})", file=sys.stderr, flush=True)
            reason = error
            if isinstance(error, urllib.error.HTTPError) and error.code == 404:
                break
            if attempt + 1 < TRIES:
                time.sleep(2.0**attempt)
    raise InputError(
        f"cannot download ({reason})",
        where=url,
        remedy="check the network, or set 'mirror' to a folder of the original files",
    )
