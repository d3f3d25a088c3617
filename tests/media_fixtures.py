"""Makes the media that are hard: small, synthetic, exact."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import av
import numpy as np

from fsvideo.media.ffmpeg import find

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-bf", "2", "-pix_fmt", "yuv420p")


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg; its words are the failure's."""
    command = [find(), "-nostdin", "-y", "-v", "error", *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def clip(
    path: Path,
    *output: str | Path,
    size: str = "160x96",
    rate: int = 25,
    seconds: float = 1.0,
    audio: int = 1,
    filters: str = "null",
    encode: tuple[str, ...] = X264,
) -> Path:
    """A moving test picture with ``audio`` tones; ``output``: more options for the output."""
    picture = f"testsrc2=size=320x240:rate={rate}:duration={seconds},scale={size.replace('x', ':')},setsar=1"
    command: list[str | Path] = ["-f", "lavfi", "-i", picture]
    for number in range(audio):
        command += ["-f", "lavfi", "-i", f"sine={440 * (number + 1)}:duration={seconds}"]
    command += ["-map", "0:v"]
    for number in range(audio):
        command += ["-map", f"{number + 1}:a"]
    sound = ("-c:a", "libopus" if path.suffix == ".webm" else "aac") if audio else ()
    ffmpeg(*command, "-vf", filters, *encode, *sound, *output, f"file:{path}")
    return path


def remux(source: Path, target: Path, *before: str, after: tuple[str | Path, ...] = ()) -> Path:
    """Copy packets; ``before`` and ``after`` are options on either side of the input."""
    ffmpeg(*before, "-i", f"file:{source}", "-map", "0", "-c", "copy", *after, f"file:{target}")
    return target


def still(path: Path, *output: str, size: str = "160x96", filters: str = "null") -> Path:
    """One picture as an image file."""
    source = f"testsrc2=size=320x240:rate=1,scale={size.replace('x', ':')},setsar=1"
    ffmpeg("-f", "lavfi", "-i", source, "-frames:v", "1", "-vf", filters, "-update", "1", *output, f"file:{path}")
    return path


def packets(path: Path, kind: str, number: int = 0) -> list[tuple[float, bytes]]:
    """(seconds, bytes) of every packet of the ``number``-th stream of a kind."""
    with av.open(str(path)) as container:
        stream = [one for one in container.streams if one.type == kind][number]
        found = []
        for packet in container.demux(stream):
            if packet.size:
                found.append((float((packet.pts or 0) * packet.time_base), bytes(packet)))
        return found


def damage(path: Path, target: Path, where: float = 0.5, size: int = 4096) -> Path:
    """A copy with ``size`` bytes of noise at ``where`` of its length."""
    blob = bytearray(path.read_bytes())
    at = int(len(blob) * where)
    blob[at : at + size] = np.random.default_rng(7).integers(0, 256, size, dtype=np.uint8).tobytes()
    target.write_bytes(blob)
    return target


def cut_off(path: Path, target: Path, share: float = 0.5) -> Path:
    """The first part of a file."""
    blob = path.read_bytes()
    target.write_bytes(blob[: int(len(blob) * share)])
    return target


def exif(orientation: int, thumbnail: bytes = b"") -> bytes:
    """A TIFF structure with an orientation, and a thumbnail if given."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(4, "little")
    link = 26 if thumbnail else 0
    head = b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + entry + link.to_bytes(4, "little")
    if not thumbnail:
        return head
    start = 26 + 2 + 24 + 4
    second = b"\x02\x00" + b"\x01\x02\x04\x00\x01\x00\x00\x00" + start.to_bytes(4, "little")
    second += b"\x02\x02\x04\x00\x01\x00\x00\x00" + len(thumbnail).to_bytes(4, "little") + bytes(4)
    return head + second + thumbnail


def tiff(path: Path, *pages: tuple[np.ndarray, int], previews: bool = False) -> Path:
    """A TIFF of RGB pages, each with its orientation; ``previews``: all but the first are smaller versions of it."""
    blob = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for number, (rgb, turn) in enumerate(pages):
        strip, (height, width) = len(blob), rgb.shape[:2]
        blob += rgb.tobytes() + struct.pack("<HHH", 8, 8, 8)
        fields = [(254, 4, 1, int(previews and number > 0)), (256, 4, 1, width), (257, 4, 1, height)]
        fields += [(258, 3, 3, len(blob) - 6), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, strip), (274, 3, 1, turn)]
        fields += [(277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, rgb.size)]
        struct.pack_into("<I", blob, link, len(blob))
        blob += struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
        link = len(blob)
        blob += bytes(4)
    path.write_bytes(blob)
    return path
