"""The structure of TIFF files, which is that of EXIF, too: directories of tags."""

from __future__ import annotations

import struct
from collections.abc import Iterator

FILE = (b"II*\0", b"MM\0*")
ORIENTATION = 0x0112
_KIND, _NO_PAGE = 0x00FE, 5  # NewSubfileType: a smaller version of another picture, or a mask of it
_MOST = 64  # directories that are looked at


def first(blob: bytes) -> tuple[str, int]:
    """The order of bytes, as ``struct`` has it, and where the first directory lies."""
    order = {b"II": "<", b"MM": ">"}.get(blob[:2])
    if order is None:
        raise ValueError("not a TIFF structure")
    return order, struct.unpack_from(order + "I", blob, 4)[0]


def entries(blob: bytes, order: str, offset: int) -> Iterator[tuple[int, int, bytes]]:
    """(tag, type, the four bytes of the value or its offset) of one directory."""
    (count,) = struct.unpack_from(order + "H", blob, offset)
    for index in range(count):
        tag, kind = struct.unpack_from(order + "HH", blob, offset + 2 + 12 * index)
        yield tag, kind, blob[offset + 10 + 12 * index : offset + 14 + 12 * index]


def orientation(blob: bytes) -> int:
    """What the first directory says of it: 1 to 8, or 1 where it says nothing."""
    try:
        order, offset = first(blob)
        for tag, _, value in entries(blob, order, offset):
            if tag == ORIENTATION:
                return int(struct.unpack(order + "H", value[:2])[0])
    except (struct.error, ValueError):
        pass
    return 1


def only_orientation(number: int) -> bytes:
    """A structure that says nothing else."""
    return struct.pack("<4sIHHHIHHI", FILE[0], 8, 1, ORIENTATION, 3, 1, number, 0, 0)


def pages(blob: bytes) -> int:
    """How many pictures it holds, without smaller versions and masks; as far as it can be read."""
    count = 0
    try:
        order, offset = first(blob)
        for _ in range(_MOST):
            if not offset:
                break
            kinds = (
                struct.unpack(order + "I", value)[0] for tag, _, value in entries(blob, order, offset) if tag == _KIND
            )
            count += not next(kinds, 0) & _NO_PAGE
            (size,) = struct.unpack_from(order + "H", blob, offset)
            (offset,) = struct.unpack_from(order + "I", blob, offset + 2 + 12 * size)
    except (struct.error, ValueError):
        pass
    return count
