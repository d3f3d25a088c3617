"""Small files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsvideo.types import MediaError


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    publish(path, json.dumps(document, indent=1).encode())


def publish(path: Path, content: bytes, complete: Callable[[Path], object] = lambda part: None) -> None:
    """Write a file, whole or not at all. Raises MediaError where it cannot be written.

    ``complete`` is called with the file before it is moved to its place.
    """
    part = path.parent / f".{path.name[:80]}.{secrets.token_hex(4)}.part"
    try:
        part.write_bytes(content)
        complete(part)
        os.replace(part, path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written ({error.strerror})", "choose another place") from error
    finally:
        part.unlink(missing_ok=True)
