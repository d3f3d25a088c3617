"""What every room that keeps files needs: a folder of the user's, bytes on the disk itself, what is to go."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Literal

_FOLDERS = {  # under the home folder, on Windows, on macOS and elsewhere; and what names another one
    "config": ("AppData/Roaming", "Library/Application Support", ".config", "APPDATA", "XDG_CONFIG_HOME"),
    "cache": ("AppData/Local", "Library/Caches", ".cache", "LOCALAPPDATA", "XDG_CACHE_HOME"),
}


def user_folder(kind: Literal["config", "cache"]) -> Path:
    """Where this user's settings, or what can be made again, belong. Raises OSError where no home folder is known."""
    windows, mac, other, variable, xdg = _FOLDERS[kind]
    if os.path.isabs(wanted := os.environ.get(xdg, "")):
        return Path(wanted) / "fsvideo"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise OSError("no home folder is known") from error
    if sys.platform == "win32":
        return Path(os.environ.get(variable) or home / windows) / "fsvideo"
    return home / (mac if sys.platform == "darwin" else other) / "fsvideo"


def sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's names, to the disk itself. Raises OSError."""
    if not path.is_dir():
        with path.open("r+b") as file:
            os.fsync(file.fileno())
    elif os.name != "nt":  # which has no such thing
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def move(made: Path, place: Path) -> None:
    """Put a file, or a folder of files, in its place; of a folder that is there, only files of the same names go.

    Raises OSError.
    """
    if not made.is_dir() or not place.exists():
        os.replace(made, place)
        return
    for path in made.iterdir():
        os.replace(path, place / path.name)
    made.rmdir()


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with what is in it, if it is there. Raises OSError for a file that stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
