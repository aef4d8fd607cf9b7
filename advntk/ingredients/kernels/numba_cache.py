"""Compiled numba kernels on disk, never older than any of their sources.

Numba keeps compiled functions in ``__pycache__`` and looks only at the file of each function: one that was inlined
from another, since edited, file would be used as it was. So the first import after any edit drops them all.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path


def drop_stale(folder: Path) -> bool:
    """Delete the index of compiled kernels in ``folder/__pycache__`` if a ``numba_*.py`` of the folder changed.

    Args:
        folder: of the kernels' sources.

    Returns:
        Whether anything was deleted. (A folder that cannot be written is left alone: numba then compiles elsewhere.)
    """
    digest = hashlib.sha256()
    for source in sorted(folder.glob("numba_*.py")):
        digest.update(source.read_bytes())
    cache, stamp = folder / "__pycache__", folder / "__pycache__" / "numba_sources"
    with contextlib.suppress(OSError):
        if stamp.is_file() and stamp.read_text(encoding="ascii") == digest.hexdigest():
            return False
        for index in cache.glob("numba_*.nbi"):
            index.unlink(missing_ok=True)
        cache.mkdir(exist_ok=True)
        stamp.write_text(digest.hexdigest(), encoding="ascii")
        return True
    return False
