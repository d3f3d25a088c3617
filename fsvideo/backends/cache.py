"""Exported graphs in the user's cache folder. Losing it, or anything in it, costs the time to make it again.

An entry is the hash of its key and its content, and the content. It appears whole or not at all, and one that does not
hold what it should, or is not a plain file of this user, counts as none. So runs need no lock among each other.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fsvideo.disk import remove, user_folder

_KEPT = 600 << 20  # bytes of entries, those used last: six models and what is made of them ...
_ANYHOW = 4  # ... and entries that stay however large they are: two models
_MOST = 2 << 30  # bytes of an entry; no graph is larger


def folder() -> Path:
    """Where graphs are kept. Raises OSError where the user has no home."""
    return user_folder("cache") / "graphs"


def kept(key: str, make: Callable[[], bytes], note: Callable[[str], None]) -> bytes:
    """The content for ``key``, a name of letters and digits; made now where it is not there.

    ``note`` is told in one line where it cannot be kept, or was damaged.
    """
    try:
        path = folder() / key
        content = _read(path, key)
    except FileNotFoundError:
        content = None
    except (OSError, ValueError) as error:
        content = None
        note(f"a graph in the cache is of no use and is made again ({error})")
    if content is not None:
        with suppress(OSError):
            os.utime(path)
        return content
    content = make()
    try:
        _write(folder() / key, key, content)
    except OSError as error:
        note(f"the exported graph cannot be kept for the next time ({error})")
    return content


def _read(path: Path, key: str) -> bytes:
    """Raises OSError, and ValueError for an entry that is none."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
        raise ValueError(f"{path} is not a file of this user's")
    if found.st_size > _MOST:
        raise ValueError(f"{path} is too large")
    entry = path.read_bytes()
    content = entry[32:]
    if entry[:32] != _seal(key, content):
        raise ValueError(f"{path} is damaged")
    return content


def _write(path: Path, key: str, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{key}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as file:
            file.write(_seal(key, content) + content)
            file.flush()
            os.fsync(file.fileno())
        if path.is_dir() and not path.is_symlink():  # which a file does not replace
            remove(path)
        os.replace(part, path)
    finally:
        with suppress(OSError):  # gone, if all went well
            part.unlink()
    with suppress(OSError):  # another run may do the same
        by_use = sorted(path.parent.iterdir(), key=lambda one: one.lstat().st_mtime, reverse=True)
        room = _KEPT
        for nth, one in enumerate(by_use):
            room -= one.lstat().st_size
            if room < 0 and nth >= _ANYHOW:
                remove(one)


def _seal(key: str, content: bytes) -> bytes:
    digest = hashlib.sha256(key.encode() + b"\0")
    digest.update(content)
    return digest.digest()
