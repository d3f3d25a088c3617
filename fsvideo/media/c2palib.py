"""What the C2PA library needs around it: settings, files that can be stopped, a thread of its own, a place for scratch.

Nothing goes online: no manifest is fetched from elsewhere, no certificate status asked for, no time stamped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

SETTINGS: dict[str, Any] = {
    "version": 1,
    "core": {
        "allowed_network_hosts": [],
        "backing_store_memory_threshold_in_mb": 32,
        "merkle_tree_chunk_size_in_kb": 8192,  # videos are hashed in such pieces: as a whole they would fill the memory
    },
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True, "verify_after_sign": True},
    "builder": {"thumbnail": {"enabled": False}},  # one of the input would show the face before
}
MODEL = "fsvideo.model"  # our own assertion
_LONGEST = 300  # characters of a text from a stranger's file
_Result = TypeVar("_Result")


def clean(value: Any) -> str:
    """A text from a file: nothing in it may act on the terminal it is shown in."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST]).strip()


def one_line(error: BaseException) -> str:
    return clean(" ".join(str(error).split()))


class Watched:
    """A file for the library, which calls back from native code: to stop it, the next call has to fail."""

    def __init__(self, file: IO[bytes], stop: threading.Event) -> None:
        self._file, self._stop = file, stop

    def _checked(self) -> Any:
        if self._stop.is_set():
            raise OSError("stopped")
        return self._file

    def read(self, size: int = -1) -> bytes:
        return bytes(self._checked().read(size))

    def readinto(self, buffer: Any) -> int:
        return int(self._checked().readinto(buffer))

    def write(self, content: bytes) -> int:
        return int(self._checked().write(content))

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._checked().seek(offset, whence))

    def tell(self) -> int:
        return int(self._checked().tell())

    def flush(self) -> None:
        self._checked().flush()


def beside(work: Callable[[threading.Event], _Result]) -> _Result:
    """Run ``work`` in a thread of its own: Ctrl-C then arrives here and not in a callback, where it would be lost."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work, stop)
        try:
            return future.result()
        except BaseException:
            stop.set()
            raise


@contextmanager
def scratch_in(folder: Path) -> Iterator[None]:
    """The library keeps a nameless copy of the file in the system's folder for such things, which may be memory: have
    it on the output's disk instead, where there must be room."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
