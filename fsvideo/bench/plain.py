"""What the bare ffmpeg program needs for the same decoding and the same encoding."""

from __future__ import annotations

import os
import resource
import subprocess

from fsvideo.media import ffmpeg
from fsvideo.media.write import ENCODERS, choose_encoder
from fsvideo.types import FsvideoError, MediaInfo

_TIME_LIMIT = 3600.0  # seconds


def decoding(info: MediaInfo, seconds: float) -> float:
    """CPU seconds for so many seconds of a clip, in one thread."""
    return _cpu(info, seconds, [])


def encoding(info: MediaInfo, seconds: float) -> float:
    """CPU seconds for the same with the settings of `fsvideo swap`, in one thread, without the decoding."""
    encoder = ENCODERS[choose_encoder(".mp4", info, None)]
    words = ["-c:v", encoder.codec, f"-{encoder.quality}", str(encoder.quality_default)]
    words += [f"-{encoder.preset}", encoder.preset_default, "-threads", "1"]
    return max(0.0, _cpu(info, seconds, words) - decoding(info, seconds))


def _cpu(info: MediaInfo, seconds: float, words: list[str]) -> float:
    lists = [word for name, value in ffmpeg.ONLY_MEDIA.items() for word in (f"-{name}", value)]
    source = ["-threads", "1", *lists, "-t", f"{seconds:g}", "-i", f"file:{os.fspath(info.path)}"]
    command = [ffmpeg.find(), "-nostdin", "-v", "error", *source, "-map", "0:v:0", *words, "-f", "null", "-"]
    before = _children()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIME_LIMIT)
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise FsvideoError(f"{info.path}: the ffmpeg program cannot do it ({last})", "fsvideo doctor says which it is")
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
