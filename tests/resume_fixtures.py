"""What the tests of runs that break off share: a clip with everything in it, and what the same output means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from media_fixtures import ffmpeg, packets

from fsvideo.media import read
from fsvideo.media.provenance import read_tags

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "grace_hopper.jpg"
EXAMPLE = ROOT / "examples" / "astronaut.mp4"
SEGMENT = 0.32  # seconds: eight frames or more


def make_clip(folder: Path) -> Path:
    """Two seconds of the example with a variable rate, B-frames, sound, subtitles and a title."""
    words = folder / "words.srt"
    words.write_text("1\n00:00:00,100 --> 00:00:00,900\nHello\n\n2\n00:00:01,100 --> 00:00:01,900\nWorld\n")
    encode = ("-c:v", "libx264", "-preset", "veryfast", "-g", "12", "-bf", "3", "-fps_mode", "vfr")
    drop = ("-vf", "scale=320:240,select='gt(mod(n\\,7)\\,0)'", "-t", "2.2", "-map", "0", "-map", "1")
    ffmpeg(
        *("-i", EXAMPLE, "-i", words, *drop, *encode, "-c:a", "copy", "-c:s", "mov_text", "-metadata", "title=Film"),
        folder / "clip.mp4",
    )
    return folder / "clip.mp4"


def assert_same(a: Path, b: Path) -> None:
    """Frames, times, sound, subtitles and tags are equal."""
    infos = read.probe(a), read.probe(b)
    for one, two in zip(read.frames(infos[0]), read.frames(infos[1]), strict=True):
        assert one.pts == two.pts and one.duration == two.duration
        assert all(np.array_equal(x, y) for x, y in zip(one.planes, two.planes, strict=True)), one.index
    for kind in ("video", "audio", "subtitle"):
        assert packets(a, kind) == packets(b, kind) != []
    assert read_tags(a) == read_tags(b)
