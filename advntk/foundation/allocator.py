"""How the C library keeps freed memory."""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_KEPT = 32 << 20  # the largest value that glibc takes
_KEPT = 256 << 20


def keep_freed_memory() -> bool:
    """Keep freed blocks below 32 MiB, up to 256 MiB in all, instead of giving them back to the system at once.

    A sweep through a network allocates and frees a few dozen blocks of some MiB. Given back, each would start with a
    page fault for every 4 KiB, which can take longer than what is then computed there.

    Returns:
        Whether the C library has this setting (glibc).
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT) and library.mallopt(_M_TRIM_THRESHOLD, _KEPT))
