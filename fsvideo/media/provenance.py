"""The mark that every output carries, and what a file says about itself: tags that anyone can write, and manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from fsvideo.media import imagemeta, sei
from fsvideo.media.c2palib import clean
from fsvideo.media.manifest import Manifest, read
from fsvideo.media.opening import open_input
from fsvideo.media.read import probe
from fsvideo.types import MediaError

_TOLD = ("synthetic_media", "comment", "description")


def tags(version: str, model: str) -> dict[str, str]:
    """Metadata for an output file: a sentence for people and a key for machines.

    ``comment`` and ``description`` hold the sentence (players show either), ``synthetic_media`` the machine's.
    """
    said = f"AI-edited: face swapped by fsvideo {version} (synthetic media)"
    return {"comment": said, "description": said, "synthetic_media": f"fsvideo {version}; model={model}"}


def read_tags(path: Path) -> dict[str, str]:
    """A file's own tags (lower-case keys): of an image its text, of a video or GIF its container's or those in H.264.

    Raises ``MediaError`` where the file cannot be read.
    """
    try:
        found = imagemeta.extract(path).text
    except OSError as error:
        raise MediaError(f"{path}: {error.strerror or error}", "check the name, and who may read it") from error
    if not found:
        with open_input(path) as container:
            found = {**container.metadata}
            for line in found.get("comment", "").splitlines():  # a GIF's comments are all we can give it
                key, equals, value = line.partition("=")
                if equals and key.isidentifier():
                    found[key] = value
            if "synthetic_media" not in found:
                found |= sei.read(container)
    return {key.lower(): value for key, value in found.items()}


@dataclass(frozen=True)
class Statement:
    """What a file says about how it was made. ``tags``: those that mark synthetic media."""

    path: Path
    manifest: Manifest | None
    tags: Mapping[str, str]

    @property
    def state(self) -> Literal["valid", "altered", "invalid", "tags", "nothing"]:
        """What a manifest in the file is worth, or that there are only tags, or not even those."""
        if self.manifest is not None and self.manifest.state != "unread":
            return self.manifest.state
        return "tags" if self.tags else "nothing"

    def as_dict(self) -> dict[str, Any]:
        """The machine-readable form."""
        manifest = None if self.manifest is None else asdict(self.manifest)
        return {"file": str(self.path), "state": self.state, "manifest": manifest, "tags": dict(self.tags)}


def examine(path: Path, trust: str = "") -> Statement:
    """Everything that a file says about itself. ``trust``: PEM of certificates to trust.

    Raises ``MediaError`` where the file cannot be read, or is no media file and holds no manifest.
    """
    try:
        manifest = read(path, trust)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror})", "check the name") from error
    try:
        probe(path)
        found = {key: clean(value) for key, value in read_tags(path).items()}
    except MediaError:
        if manifest is None or manifest.state == "unread":
            raise
        found = {}  # a document, say: C2PA is not for media alone
    told = {key: found[key] for key in _TOLD if key in found}
    marked = "synthetic_media" in told or any("AI-edited" in value or "fsvideo" in value for value in told.values())
    return Statement(path, manifest, told if marked else {})
