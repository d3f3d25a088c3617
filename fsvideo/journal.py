"""What a run leaves so that another can go on: finished parts in a work folder, and a journal that vouches for them.

A part counts if the journal names it and its bytes have the hash stated there. A part is on the disk before its line
is, so that this holds after a crash at any moment.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fsvideo.disk import remove, sync
from fsvideo.types import FsvideoError, WriteError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Record = dict[str, Any]

_CHUNK = 1 << 20
_KEPT = "what is done is kept: the same command with --resume goes on from there"


class Work:
    """The work folder of ``output``, held by one run at a time; it goes when the run succeeds.

    ``key``: everything that the result depends on, under names a user knows. With ``resume`` the parts of a broken-off
    run of the same key are taken over; ``again`` allows to throw them away. Left by an exception, the folder stays if
    there is something to go on from, and the exception says so.

    Raises FsvideoError if another run holds the folder, or if it holds parts and neither ``resume`` nor ``again``.
    """

    def __init__(self, output: Path, key: Record, resume: bool, again: bool, note: Callable[[str], None]) -> None:
        self.folder, self._output = folder_of(output), output
        self.key: Record = json.loads(json.dumps(key))  # as it will be read
        self._parts: dict[str, Record] = {}
        self._whole: list[int] = []
        with _told(self.folder, self._output):
            self._lock = _lock(self.folder, output)
        try:
            with _told(self.folder, self._output):
                self._take_over(self.key, resume, again, note)
                self._begin(self.key)
        except BaseException:
            if not any("part" in line for line in _read(self.folder / "journal.jsonl")):
                _remove(self.folder, self._lock)  # broken off before it held anything
            self._lock.close()
            raise

    def path(self, name: str) -> Path:
        """Where a part of this name is, or is to be made."""
        return self.folder / name

    def info(self, name: str) -> Record | None:
        """What was recorded with a finished part; None where there is none of this name."""
        return self._parts[name]["info"] if name in self._parts else None

    def add(self, name: str, info: Record) -> None:
        """Vouch for the part at ``path(name)``: it is on the disk when this returns. Raises WriteError."""
        with _told(self.folder, self._output):
            _sync_all(self.path(name))
            sync(self.folder)
            line = {"part": name, "sha256": digest(self.path(name)), "info": info}
            self._append(line)
        self._parts[name] = line

    def put(self, name: str, content: bytes) -> None:
        """Store a small part and vouch for it. Raises WriteError."""
        with _told(self.folder, self._output):
            self.path(name).write_bytes(content)
        self.add(name, {})

    def drop(self, prefix: str) -> None:
        """Parts whose names begin so are not needed any more. Raises WriteError."""
        with _told(self.folder, self._output):
            self._append({"drop": prefix})
            for name in [name for name in self._parts if name.startswith(prefix)]:
                del self._parts[name]
                remove(self.path(name))

    def whole(self, path: Path) -> None:
        """``path`` is the complete output, about to be moved to its place. Raises OSError."""
        self._append({"whole": _identity(path)})

    @property
    def published(self) -> bool:
        """Whether the output is in its place already: the run broke off after that."""
        return bool(self._whole) and self._output.exists() and _identity(self._output) == self._whole

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.close()
        if error is None or not self._worth_keeping(error):
            _remove(self.folder, self._lock)
        elif isinstance(error, FsvideoError):
            error.hint = f"{error.hint}; {_KEPT}" if error.hint else _KEPT
        else:
            error.add_note(_KEPT)
        self._lock.close()

    def _worth_keeping(self, error: BaseException) -> bool:
        """Finished segments are; what was found in pass 1 alone is after an interruption or a full disk."""
        segments = any("segment" in part["info"] for part in self._parts.values())
        mendable = isinstance(error, WriteError) or not isinstance(error, FsvideoError)
        return segments or (mendable and bool(self._parts))

    # the journal

    def _take_over(self, key: Record, resume: bool, again: bool, note: Callable[[str], None]) -> None:
        lines = _read(self.folder / "journal.jsonl")
        dropped = tuple(line["drop"] for line in lines if "drop" in line)
        parts = [line for line in lines if "part" in line and not line["part"].startswith(dropped)]
        old = lines[0].get("key", {}) if lines else {}
        changed = [name for name in {**old, **key} if old.get(name) != key.get(name)]
        if not parts:
            if resume:
                note("there is nothing to resume: starting from the beginning")
        elif changed and (resume or again):
            note(f"the unfinished work is of another {', '.join(changed)}: starting from the beginning")
        elif resume:
            self._parts = {line["part"]: line for line in parts if self._holds(line)}
            if broken := len({line["part"] for line in parts}) - len(self._parts):
                note(f"{broken} finished part{'s are' if broken > 1 else ' is'} damaged: made again")
            self._whole = next((line["whole"] for line in reversed(lines) if "whole" in line), [])
        elif again:
            note("the unfinished work of an earlier run is thrown away: --resume would have gone on from it")
        else:
            raise FsvideoError(
                f"{self._output}: an earlier run of this broke off and left finished parts",
                "go on from them with --resume, or throw them away with --overwrite",
            )

    def _holds(self, line: Record) -> bool:
        path = self.path(line["part"])
        return path.exists() and digest(path) == line["sha256"]

    def _begin(self, key: Record) -> None:
        """A journal of the parts that were taken over; everything else goes."""
        path, fresh = self.folder / "journal.jsonl", self.folder / "journal.new"
        whole = [{"whole": self._whole}] if self._whole else []
        with fresh.open("wb") as file:
            file.writelines(_line(record) for record in ({"key": key}, *self._parts.values(), *whole))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        for one in self.folder.iterdir():
            if one.name not in (*self._parts, "journal.jsonl", "lock"):
                remove(one)
        self._journal: IO[bytes] = path.open("ab")

    def _append(self, record: Record) -> None:
        self._journal.write(_line(record))
        self._journal.flush()
        os.fsync(self._journal.fileno())


def clear_remains(output: Path) -> bool:
    """Remove what is left of a run that was killed while it cleaned up: a folder without journal. True: there was one.

    Raises FsvideoError if a run holds it.
    """
    folder = folder_of(output)
    if not folder.exists() or (folder / "journal.jsonl").exists():
        return False
    with _told(folder, output):
        lock = _lock(folder, output)
        if (folder / "journal.jsonl").exists():  # another run began meanwhile, and broke off
            lock.close()
            return False
        _remove(folder, lock)
    return True


def _remove(folder: Path, lock: IO[bytes]) -> None:
    """The folder goes, its journal after the parts; the lock is let go of."""
    for one in sorted(folder.iterdir(), key=lambda one: one.name == "journal.jsonl"):
        if one.name != "lock":
            remove(one)
    try:
        (folder / "lock").unlink()
    except OSError:  # Windows removes no open file
        lock.close()
        with suppress(OSError):
            (folder / "lock").unlink(missing_ok=True)
    lock.close()
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _told(folder: Path, output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{output}: its work folder {folder.name} cannot be written ({error.strerror})"
        raise WriteError(message, "is there room on the disk?") from error


def folder_of(output: Path) -> Path:
    """The work folder of an output: hidden, beside it."""
    mark = hashlib.sha256(os.fsencode(output.name)).hexdigest()[:8]
    return output.parent / f".{output.stem[:40]}-{mark}.fsvideo"


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files and their names. Raises OSError."""
    total = hashlib.sha256()
    if path.is_dir():
        for one in sorted(path.iterdir()):
            total.update(os.fsencode(one.name) + b"\0" + digest(one).encode())
    else:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
    return total.hexdigest()


def _read(path: Path) -> list[Record]:
    """The records of a journal, up to one that was cut off while it was written, or damaged since."""
    records: list[Record] = []
    with suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not _is_ours(record) or not line.endswith(b"\n"):
                break
            records.append(record)
    return records


def _is_ours(record: object) -> bool:
    """Whether this module writes such records; a part lies in the work folder itself."""
    match record:
        case {"part": str(name), "sha256": str(), "info": dict()}:
            return name == Path(name).name != ""
        case {"key": dict()} | {"drop": str()} | {"whole": list()}:
            return True
    return False


def _line(record: Record) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _identity(path: Path) -> list[int]:
    """What a file keeps when it is moved."""
    stat = path.stat()
    return [stat.st_dev, stat.st_ino] + ([] if path.is_dir() else [stat.st_size, stat.st_mtime_ns])


def _sync_all(path: Path) -> None:
    """Bring a file, or a folder with its files, to the disk."""
    if path.is_dir():
        for one in path.iterdir():
            _sync_all(one)
    sync(path)


def _lock(folder: Path, output: Path) -> IO[bytes]:
    """Make the folder and hold its lock, which the system lets go of however the run ends."""
    while True:
        folder.mkdir(exist_ok=True)
        path = folder / "lock"
        try:
            file = path.open("ab")
        except FileNotFoundError:  # another run has just finished and removed the folder
            continue
        try:
            _hold(file)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except OSError as error:
            file.close()
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                raise
            raise FsvideoError(
                f"{output}: another run is making it", "wait for that, or choose another --output"
            ) from None
        file.close()


def _hold(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
