"""The mark that every output carries: this is AI-edited, by what."""

from __future__ import annotations

from pathlib import Path

from fsvideo.media import imagemeta
from fsvideo.media.read import open_input
from fsvideo.types import MediaError


def tags(version: str, model: str) -> dict[str, str]:
    """Metadata for an output file: a sentence for people and a key for machines.

    ``comment`` and ``description`` hold the sentence (players show either), ``synthetic_media`` the machine's.
    """
    said = f"AI-edited: face swapped by fsvideo {version} (synthetic media)"
    return {"comment": said, "description": said, "synthetic_media": f"fsvideo {version}; model={model}"}


def read_tags(path: Path) -> dict[str, str]:
    """A file's own tags (lower-case keys): of a video or GIF its container's, of an image its text.

    Raises ``MediaError`` where the file cannot be read.
    """
    try:
        found = imagemeta.extract(path).text
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}") from error
    if not found:
        with open_input(path) as container:
            found = {**container.metadata}
            for line in found.get("comment", "").splitlines():  # a GIF's comments are all we can give it
                key, equals, value = line.partition("=")
                if equals and key.isidentifier():
                    found[key] = value
    return {key.lower(): value for key, value in found.items()}
