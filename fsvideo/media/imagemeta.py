"""What a still image carries beside its pixels: EXIF, colour profile and text, in JPEG, PNG, WebP and (text) GIF."""

from __future__ import annotations

import html
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fsvideo.media import tiff

_EXIF, _ICC, _XMP = b"Exif\0\0", b"ICC_PROFILE\0", b"http://ns.adobe.com/xap/1.0/\0"
_AI_EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_GIF_COMMENT = b"\x21\xfe"
MOST_METADATA = 16 << 20  # bytes that the metadata of an image may unpack to: no profile or text is larger
_MOST_CHUNKS = 1000  # of a PNG, in front of its first picture


@dataclass(frozen=True)
class ImageMeta:
    """``exif``: the TIFF structure without its prefix; ``icc``: the profile; ``text``: keys and values."""

    exif: bytes = b""
    icc: bytes = b""
    text: dict[str, str] = field(default_factory=dict)


def extract(path: Path) -> ImageMeta:
    """Metadata of an image file, of a TIFF its orientation; empty for other formats and for files that break off."""
    with path.open("rb") as file:
        head = file.read(12)
        known = head.startswith((b"\xff\xd8", b"\x89PNG", *tiff.FILE)) or (head[:4], head[8:]) == (b"RIFF", b"WEBP")
        blob = head + file.read() if known else b""
    try:
        if blob.startswith(b"\xff\xd8"):
            return _from_jpeg(blob)
        if blob.startswith(b"\x89PNG"):
            return _from_png(blob)
        if blob.startswith(tiff.FILE):
            number = tiff.orientation(blob)
            return ImageMeta(tiff.only_orientation(number) if number != 1 else b"")
        if blob:
            return _from_webp(blob)
    except (struct.error, zlib.error, IndexError, ValueError):
        pass
    return ImageMeta()


def is_animated_png(path: Path) -> bool:
    """Whether a PNG says before its picture that there are more: FFmpeg overlooks it behind a large profile."""
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return False
        for _ in range(_MOST_CHUNKS):
            head = file.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"acTL"):
                return head[4:] == b"acTL"
            file.seek(int.from_bytes(head[:4]) + 4, os.SEEK_CUR)
    return False


def check_png(blob: bytes) -> None:
    """Raise ``ValueError`` for a PNG whose metadata unpacks to more than any has: a decoder would unpack it all."""
    total = 0
    for kind, body in _png_chunks(blob):
        if kind in (b"iCCP", b"zTXt", b"iTXt"):
            start = body.find(b"\0") + 2
            if kind == b"iTXt":
                start = (
                    body.find(b"\0", body.find(b"\0", start + 1) + 1) + 1
                    if body[start - 1 : start] == b"\1"
                    else len(body)
                )
            total += len(_inflated(body[start:]))
        if total > MOST_METADATA:
            raise ValueError("its metadata unpacks to more than 16 MB")


def _inflated(packed: bytes) -> bytes:
    """What a zlib stream holds, as far as it goes. Raises ``ValueError`` where that is more than ``MOST_METADATA``."""
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(packed, MOST_METADATA + 1)
    except zlib.error:
        return b""
    if len(unpacked) > MOST_METADATA:
        raise ValueError("its metadata unpacks to more than 16 MB")
    return unpacked


def embed(blob: bytes, meta: ImageMeta) -> bytes:
    """An encoded JPEG, PNG, WebP or GIF file with ``meta`` added to it."""
    if blob.startswith(b"\xff\xd8"):
        return _into_jpeg(blob, meta)
    if blob.startswith(b"\x89PNG"):
        return _into_png(blob, meta)
    if blob.startswith(b"GIF8"):
        said = "\n".join(f"{key}={value}" for key, value in meta.text.items()).encode()
        parts = [said[start : start + 255] for start in range(0, len(said), 255)]
        note = _GIF_COMMENT + b"".join(bytes([len(part)]) + part for part in parts) + b"\0" if parts else b""
        return blob[:-1] + note + blob[-1:]  # in front of the trailer
    return _into_webp(blob, meta)


def pages(path: Path) -> int:
    """How many pictures an image file holds that are not frames: more than one only in a TIFF."""
    with path.open("rb") as file:
        head = file.read(4)
        return tiff.pages(head + file.read()) if head in tiff.FILE else 1


def orientation(exif: bytes) -> tuple[int, bool]:
    """Degrees counter-clockwise to turn the picture, and whether to mirror it afterwards (EXIF tag 0x0112)."""
    turns = {
        2: (0, True),
        3: (180, False),
        4: (180, True),
        5: (270, True),
        6: (270, False),
        7: (90, True),
        8: (90, False),
    }
    return turns.get(tiff.orientation(exif), (0, False))


def without_thumbnail(exif: bytes) -> bytes:
    """EXIF whose thumbnail is blanked out: it would still show the picture as it was before the edit."""
    try:
        order, offset = tiff.first(exif)
        (count,) = struct.unpack_from(order + "H", exif, offset)
        link = offset + 2 + 12 * count
        (second,) = struct.unpack_from(order + "I", exif, link)
        cleaned = bytearray(exif)
        if second:
            found = {tag: struct.unpack(order + "I", value)[0] for tag, _, value in tiff.entries(exif, order, second)}
            start, size = found.get(0x0201, 0), found.get(0x0202, 0)
            cleaned[start : start + size] = bytes(len(cleaned[start : start + size]))
            struct.pack_into(order + "I", cleaned, link, 0)
        return bytes(cleaned)
    except (struct.error, IndexError, ValueError):
        return b""


def _xmp(text: dict[str, str]) -> bytes:
    """An XMP packet: the industry's mark for pictures edited by a model, and our tags as attributes."""
    ours = " ".join(f'fsvideo:{key}="{html.escape(value)}"' for key, value in text.items())
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmlns:fsvideo="urn:fsvideo" Iptc4xmpExt:DigitalSourceType="{_AI_EDITED}" {ours}/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()


def _from_xmp(packet: bytes) -> dict[str, str]:
    found = re.findall(r'fsvideo:(\w+)="([^"]*)"', packet.decode(errors="replace"))
    return {key: html.unescape(value) for key, value in found}


def _from_jpeg(blob: bytes) -> ImageMeta:
    exif, icc, text, at = b"", {}, {}, 2
    while at + 4 <= len(blob) and blob[at] == 0xFF and blob[at + 1] != 0xDA:
        marker, size = blob[at + 1], struct.unpack_from(">H", blob, at + 2)[0]
        body = blob[at + 4 : at + 2 + size]
        if marker == 0xE1 and body.startswith(_EXIF) and not exif:
            exif = body[len(_EXIF) :]
        elif marker == 0xE2 and body.startswith(_ICC):
            icc[body[len(_ICC)]] = body[len(_ICC) + 2 :]
        elif marker == 0xFE:
            said = body.decode(errors="replace").rstrip("\0")
            key, equals, value = said.partition("=")
            text.update({key: value} if equals and key.isidentifier() else {"comment": said})
        at += 2 + size
    return ImageMeta(exif, b"".join(icc[number] for number in sorted(icc)), text)


def _into_jpeg(blob: bytes, meta: ImageMeta) -> bytes:
    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body if len(body) < 65534 else b""

    room = 65519
    parts = [meta.icc[start : start + room] for start in range(0, len(meta.icc), room)]
    added = segment(0xE1, _EXIF + meta.exif) if meta.exif else b""
    added += segment(0xE1, _XMP + _xmp(meta.text)) if meta.text else b""
    for number, part in enumerate(parts, 1):
        added += segment(0xE2, _ICC + bytes([number, len(parts)]) + part)
    for key, value in meta.text.items():
        added += segment(0xFE, f"{key}={value}".encode())
    at = 2 + (2 + struct.unpack_from(">H", blob, 4)[0] if blob[2:4] == b"\xff\xe0" else 0)
    return blob[:at] + added + blob[at:]


def _png_chunks(blob: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 12 <= len(blob):
        (size,) = struct.unpack_from(">I", blob, at)
        yield blob[at + 4 : at + 8], blob[at + 8 : at + 8 + size]
        at += 12 + size


def _from_png(blob: bytes) -> ImageMeta:
    exif, icc, text = b"", b"", {}
    for kind, body in _png_chunks(blob):
        if kind == b"eXIf":
            exif = body
        elif kind == b"iCCP":
            icc = _inflated(body[body.index(b"\0") + 2 :])
        elif kind == b"tEXt":
            key, _, value = body.partition(b"\0")
            text[key.decode("latin-1")] = value.decode("latin-1")
        elif kind == b"iTXt" and not body.startswith(b"XML:"):
            key, _, rest = body.partition(b"\0")
            text[key.decode("latin-1")] = rest[2:].split(b"\0", 2)[2].decode(errors="replace") if rest[0] == 0 else ""
    return ImageMeta(exif, icc, text)


def _into_png(blob: bytes, meta: ImageMeta) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    out = [blob[:8]]
    for kind, body in _png_chunks(blob):
        if meta.icc and kind in (b"sRGB", b"gAMA", b"cHRM", b"cICP", b"iCCP"):
            continue  # the profile says it all, and may not stand beside them
        out.append(chunk(kind, body))
        if kind == b"IHDR":
            if meta.icc:
                out.append(chunk(b"iCCP", b"profile\0\0" + zlib.compress(meta.icc)))
            if meta.exif:
                out.append(chunk(b"eXIf", meta.exif))
            for key, value in meta.text.items():
                out.append(chunk(b"iTXt", key[:79].encode("latin-1", "replace") + b"\0\0\0\0\0" + value.encode()))
            if meta.text:
                out.append(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + _xmp(meta.text)))
    return b"".join(out)


def _webp_chunks(blob: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(blob):
        kind, size = struct.unpack_from("<4sI", blob, at)
        yield kind, blob[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _from_webp(blob: bytes) -> ImageMeta:
    parts = dict(_webp_chunks(blob))
    return ImageMeta(
        parts.get(b"EXIF", b"").removeprefix(_EXIF), parts.get(b"ICCP", b""), _from_xmp(parts.get(b"XMP ", b""))
    )


def _into_webp(blob: bytes, meta: ImageMeta) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack("<4sI", kind, len(body)) + body + b"\0" * (len(body) % 2) if body else b""

    parts = dict(_webp_chunks(blob))
    lossless = parts.get(b"VP8L", b"")
    if lossless:  # 14 bits each of width - 1 and height - 1, then one that says alpha
        bits = struct.unpack_from("<I", lossless, 1)[0]
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    else:
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", parts[b"VP8 "], 6))
        alpha = b"ALPH" in parts
    text = _xmp(meta.text) if meta.text else b""
    flags = 0x20 * bool(meta.icc) | 0x10 * alpha | 0x08 * bool(meta.exif) | 0x04 * bool(text)
    head = struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    picture = b"".join(chunk(kind, parts.get(kind, b"")) for kind in (b"ALPH", b"VP8 ", b"VP8L"))
    body = b"WEBP" + chunk(b"VP8X", head) + chunk(b"ICCP", meta.icc) + picture
    body += chunk(b"EXIF", meta.exif) + chunk(b"XMP ", text)
    return b"RIFF" + struct.pack("<I", len(body)) + body
