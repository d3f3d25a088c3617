"""Signing an output: a C2PA manifest that says what was done to which input, by which networks."""

from __future__ import annotations

import io
import mimetypes
import os
import struct
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from fsvideo.media import manifest
from fsvideo.media.c2palib import MODEL, SETTINGS, Watched, beside, one_line, scratch_in
from fsvideo.media.certificate import Certificate
from fsvideo.media.writer import MUXERS
from fsvideo.types import FsvideoError, MediaError, MediaInfo

# What can carry a manifest, by extension. WebM and Matroska have no place for one, and large AVI files come apart.
FORMATS = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
AI_EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_STARTS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"GIF8": "image/gif"}
_INPUT, _UNKNOWN = "input", "application/octet-stream"


def can_be_signed(output: Path, info: MediaInfo) -> bool:
    """Whether what ``output`` will be can carry a manifest; a folder's images all can."""
    suffix = output.suffix.lower()
    return suffix in FORMATS or (info.kind == "folder" and suffix not in MUXERS)


@dataclass(frozen=True)
class Seal:
    """What is said in every manifest of a run. ``weights``: what a network does -> sha256 of the file it came from."""

    certificate: Certificate
    version: str
    model: str
    weights: Mapping[str, str]

    def try_out(self) -> None:
        """Sign one pixel. Raises FsvideoError where C2PA refuses the certificate, before any long work is done."""
        import c2pa

        try:
            self._sign(io.BytesIO(_pixel()), io.BytesIO(), "image/png", "pixel.png", None, threading.Event())
        except c2pa.C2paError as error:
            raise FsvideoError(
                f"{self.certificate.path}: C2PA does not sign with this certificate ({one_line(error)})",
                "it must be made for signing documents or mail, by another; or use --provenance metadata",
            ) from error

    def apply(self, part: Path, output: Path, source: Path) -> list[str]:
        """Sign a finished file, or every image in a finished folder, that will be moved to ``output``.

        ``source`` becomes its parent ingredient: a manifest of its own is kept in the new one, and its file name is the
        only name that is written. Returns sentences on what was left out. Raises MediaError with ``part`` as it was
        (of a folder, some images as they were).
        """
        if not part.is_dir():
            return self._apply(part, output, source)
        notes = []
        for image in sorted(part.iterdir()):
            made_from = source / image.name
            if not made_from.exists():  # BMP and TIFF became PNG
                made_from = next(iter(sorted(source.glob(f"{_literal(image.stem)}.*"))), source)
            notes += self._apply(image, image, made_from)
        return list(dict.fromkeys(notes))

    def _apply(self, part: Path, output: Path, source: Path) -> list[str]:
        import c2pa

        kind = FORMATS[output.suffix.lower()]
        signed = part.with_name(f"{part.name.removesuffix('.part')}.signed.part")

        def work(stop: threading.Event) -> bool:
            """Whether the input's own history, if it has one, was kept."""
            with part.open("rb") as old, signed.open("w+b") as new, scratch_in(part.parent):
                if source.is_dir():
                    self._sign(old, new, kind, source.name, None, stop)
                    return True
                try:
                    with source.open("rb") as ingredient:
                        self._sign(old, new, kind, source.name, ingredient, stop)
                    return True
                except c2pa.C2paError:  # a broken manifest of the input must not stop the output
                    if stop.is_set():
                        raise
                old.seek(0)
                new.seek(0)
                new.truncate()
                self._sign(old, new, kind, source.name, None, stop)
                return False

        try:
            kept = beside(work)
            os.replace(signed, part)
        except (c2pa.C2paError, OSError) as error:
            raise MediaError(
                f"{output}: cannot be signed ({one_line(error)})",
                "is there room on the disk? --provenance metadata does without a signature",
            ) from error
        finally:
            signed.unlink(missing_ok=True)
        if kept or manifest.read(source) is None:
            return []
        return ["what the input says about its own history cannot be read and is not kept"]

    def _sign(
        self, old: IO[bytes], new: IO[bytes], kind: str, title: str, ingredient: IO[bytes] | None, stop: threading.Event
    ) -> None:
        import c2pa

        chain, key = self.certificate.chain.encode(), self.certificate.key.encode()
        info = c2pa.C2paSignerInfo(self.certificate.algorithm.encode(), chain, key, None)
        with (
            c2pa.Context.from_dict(SETTINGS) as context,
            c2pa.Signer.from_info(info) as signer,
            c2pa.Builder(self._statement(), context=context) as builder,
        ):
            readable = os.fsencode(title).decode(errors="replace")  # a name need not be UTF-8, a manifest must
            described = {"title": readable, "relationship": "parentOf", "label": _INPUT}
            if ingredient is None:
                builder.add_ingredient(described, _UNKNOWN, io.BytesIO())
            else:
                builder.add_ingredient(described, _kind(title, ingredient), Watched(ingredient, stop))
            builder.sign(signer, kind, Watched(old, stop), Watched(new, stop))

    def _statement(self) -> dict[str, Any]:
        agent = {"name": "fsvideo", "version": self.version}
        edited = {
            "action": "c2pa.edited",
            "when": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "softwareAgent": agent,
            "digitalSourceType": AI_EDITED,
            "description": "A face was replaced by a trained model.",
        }
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_INPUT]}}
        weights = [{"network": name, "sha256": digest} for name, digest in self.weights.items()]
        return {
            "claim_generator_info": [agent],
            "assertions": [
                {"label": "c2pa.actions.v2", "created": True, "data": {"actions": [opened, edited]}},
                {"label": MODEL, "created": True, "data": {"name": self.model, "weights": weights}},
            ],
        }


def _kind(title: str, file: IO[bytes]) -> str:
    """What a file is, by its first bytes, as images often bear another's extension, else by its name."""
    head = file.read(12)
    file.seek(0)
    told = next((kind for start, kind in _STARTS.items() if head.startswith(start)), None)
    told = "image/webp" if (head[:4], head[8:]) == (b"RIFF", b"WEBP") else told
    return told or FORMATS.get(Path(title).suffix.lower()) or mimetypes.guess_type(title)[0] or _UNKNOWN


def _literal(stem: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in stem)


def _pixel() -> bytes:
    """A PNG image of one black pixel."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    )
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
