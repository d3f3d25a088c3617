"""Memory of this process: the C library's heap keeps that of one frame for the next, but not that of pass 1 for pass 2;
Python's collector does not look for garbage in modules."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt's parameters, and values in bytes; more than 32 MiB is refused for the first
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
_SETTINGS = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 256 << 20, _TOP_PAD: 16 << 20}


def keep() -> bool:
    """Let freed memory stay with this process: pictures are made and dropped all the time, and new pages cost more
    than most of what is done with them. For programs, not libraries: it holds for all of the process.

    True where it could be told so: glibc only; others do as they do.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(parameter, value) == 1 for parameter, value in _SETTINGS.items())


def give_back() -> None:
    """Hand freed memory back to the system, where it can be told so (glibc): before other work that needs its own."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def loading() -> Iterator[None]:
    """Modules are imported in this block: what they make stays, so that Python's collector need never look at it.

    It would look hundreds of times, a seventh of the time until networks are ready. For programs, not libraries.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
