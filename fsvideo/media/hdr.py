"""HDR's static metadata (mastering display, light levels) from a decoded picture to an encoder's parameters."""

from __future__ import annotations

import struct

from fsvideo.media import tone
from fsvideo.media.formats import side_data
from fsvideo.media.opening import main_video, open_input
from fsvideo.types import MediaInfo

# encoder: names of the two parameters, and the units of chromaticity and luminance they count in
_WORDS = {
    "libx264": ("mastering-display", "cll", 50000, 10000),
    "libx265": ("master-display", "max-cll", 50000, 10000),
    "libsvtav1": ("mastering-display", "content-light", 0, 0),
}


def parameters(info: MediaInfo, codec: str) -> list[str] | None:
    """``key=value`` parameters for ``codec``; [] if the video has no such metadata, None if the encoder takes none."""
    if info.kind != "video" or not tone.is_hdr(info.color.transfer):
        return []
    with open_input(info.path) as source:
        stream = main_video(source, info.path)
        picture = next(source.decode(stream), None)
        side = side_data(picture, stream.codec_context.name) if picture is not None else {}
    display, light = side.get("MASTERING_DISPLAY_METADATA"), side.get("CONTENT_LIGHT_LEVEL")
    if display is None and light is None:
        return []
    if codec not in _WORDS:
        return None
    display_name, light_name, chromaticity, luminance = _WORDS[codec]
    found = []
    if display is not None:
        found.append(f"{display_name}={_mastering(display, chromaticity, luminance)}")
    if light is not None:
        found.append("{}={},{}".format(light_name, *struct.unpack("<2I", light[:8])))
    return found


def _mastering(raw: bytes, chromaticity: int, luminance: int) -> str:
    """``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`` from AVMasteringDisplayMetadata: rationals R, G, B, white, min, max."""
    numbers = struct.unpack("<20i", raw[:80])
    values = [numbers[at] / (numbers[at + 1] or 1) for at in range(0, 20, 2)]

    def pair(name: str, x: float, y: float, unit: int) -> str:
        return f"{name}({round(x * unit)},{round(y * unit)})" if unit else f"{name}({x:.5g},{y:.5g})"

    red, green, blue, white = (values[at : at + 2] for at in (0, 2, 4, 6))
    points = [("G", green), ("B", blue), ("R", red), ("WP", white)]
    return "".join(pair(name, x, y, chromaticity) for name, (x, y) in points) + pair(
        "L", values[9], values[8], luminance
    )
