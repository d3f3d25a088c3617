"""Files from strangers: the example clip and portrait in every shape that trips video tools, and how to compare two."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from commandline import run
from media_fixtures import X264, ffmpeg, remux

from fsvideo.media.ffmpeg import find

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "grace_hopper.jpg"
CLIP = ROOT / "examples" / "astronaut.mp4"
LOSSLESS = (*X264, "-qp", "0")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "14", "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1")
VP9 = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-crf", "20", "-b:v", "0", "-row-mt", "1")
PASSING = ("-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-video_track_timescale", "90000")
DISPLAY = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


def face(
    path: Path,
    *output: str | Path,
    filters: str = "null",
    encode: tuple[str, ...] = X264,
    size: str = "320:240",
    seconds: float = 0.32,
    audio: bool = True,
    more: tuple[str | Path, ...] = (),
) -> Path:
    """The example clip, smaller and shorter, as ``output`` and ``filters`` say; ``more``: further inputs."""
    sound = ("-c:a", "libopus" if path.suffix == ".webm" else "aac") if audio else ("-an",)
    picture = ("-t", str(seconds), "-i", CLIP, *more, "-map", "0:V", *(("-map", "0:a") if audio else ()))
    ffmpeg(*picture, "-vf", f"scale={size},{filters}", *encode, *sound, *output, f"file:{path}")
    return path


def _hdr(path: Path, transfer: str) -> Path:
    """10-bit BT.2020: the clip as a mastering desk would send it, diffuse white at 203 nits (PQ) or 75 % (HLG)."""
    light = "zscale=tin=709:min=709:pin=709:rin=tv:t=linear,format=gbrpf32le,zscale=p=2020"
    params = f"log-level=error:master-display={DISPLAY}:max-cll=1000,400:hdr10-opt=0"
    tagged = f"{light},zscale=t={transfer}:npl=203:m=2020_ncl:r=tv,format=yuv420p10le"
    return face(path, "-x265-params", params, filters=tagged, encode=X265)


def _alpha(path: Path, encode: tuple[str, ...]) -> Path:
    ramp = "format=yuva420p,geq=lum='p(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='clip(X*2,0,255)'"
    return face(path, filters=ramp, encode=encode, seconds=0.24, audio=path.suffix == ".webm")


def _interlaced(path: Path, order: str) -> Path:
    weave = {"tff": "interleave_top", "bff": "interleave_bottom"}[order]
    encode = ("-c:v", "libx264", "-flags", "+ildct+ilme", "-x264-params", f"{order}=1", "-pix_fmt", "yuv420p")
    return face(path, filters=f"tinterlace={weave},fieldorder={order}", encode=encode, seconds=0.8)


def _tone(path: Path, *options: str, length: float) -> Path:
    sine = (*options, "-f", "lavfi", "-i", f"sine=440:duration={length}")
    ffmpeg(
        "-t",
        "0.32",
        "-i",
        CLIP,
        *sine,
        "-map",
        "0:V",
        "-map",
        "1:a",
        "-vf",
        "scale=320:240",
        *X264,
        "-c:a",
        "aac",
        path,
    )
    return path


def _rich(path: Path) -> Path:
    """Two languages of sound, subtitles, chapters, titles and (MP4) cover art."""
    folder = path.parent
    srt, meta, cover = folder / f"{path.name}.srt", folder / f"{path.name}.meta", folder / f"{path.name}.jpg"
    srt.write_text("1\n00:00:00,050 --> 00:00:00,150\nHello\n\n2\n00:00:00,160 --> 00:00:00,300\nWorld\n")
    parts = "".join(f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}00\nEND={n + 1}00\ntitle=part {n}\n" for n in (0, 1))
    meta.write_text(f";FFMETADATA1\ntitle=My film\nartist=Me\n{parts}")
    ffmpeg("-i", SOURCE, "-vf", "scale=120:-2", f"file:{cover}")
    mp4 = path.suffix == ".mp4"
    inputs = ("-i", srt, "-i", meta, *(("-i", cover) if mp4 else ()))
    maps = ("-map", "0:a", "-map", "1", *(("-map", "3", "-c:v:1", "copy") if mp4 else ()))
    art = ("-disposition:v:1", "attached_pic") if mp4 else ()
    words = ("-map_metadata", "2", "-map_chapters", "2", "-c:s", "mov_text" if mp4 else "subrip")
    says = ("-metadata:s:a:1", "language=deu", "-metadata:s:s:0", "language=fra", "-metadata:s:a:0", "title=main")
    ffmpeg(
        *("-t", "0.32", "-i", CLIP, *inputs, "-map", "0:V", "-map", "0:a", *maps),
        *("-filter:v:0", "scale=320:240", "-c:v:0", "libx264", "-preset:v:0", "ultrafast", "-c:a", "aac"),
        *(*words, *says, *art, f"file:{path}"),
    )
    return path


_UNTURN = {  # what turns the pixels so that the display matrix turns them back upright
    (0, False): "null",
    (90, False): "transpose=clock",
    (180, False): "transpose=clock,transpose=clock",
    (270, False): "transpose=cclock",
    (0, True): "hflip",
    (90, True): "hflip,transpose=clock",
    (180, True): "hflip,transpose=clock,transpose=clock",
    (270, True): "hflip,transpose=cclock",
}


def _turned(path: Path, rotation: int, mirrored: bool) -> Path:
    plain = path.with_name(f"plain-{path.name}")
    face(plain, filters=_UNTURN[rotation, mirrored], encode=LOSSLESS)
    turn = ("-display_rotation", str(rotation), *(("-display_hflip",) if mirrored else ()))
    return remux(plain, path, *turn)


TURNS = {f"turned-{rotation}{'-mirrored' * mirrored}.mp4": (rotation, mirrored) for rotation, mirrored in _UNTURN}
MAKERS: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": lambda p: face(p, encode=LOSSLESS),
    "variable-rate.mp4": lambda p: face(
        p, "-fps_mode", "vfr", filters="select='not(mod(n,3))+gt(random(1),.5)'", seconds=0.9
    ),
    "jitter.mp4": lambda p: face(p, *PASSING, filters="settb=1/90000,setpts='PTS+0.008*random(2)/TB'"),
    "jitter.mkv": lambda p: face(p, *PASSING[:4], filters="settb=1/90000,setpts='PTS+0.008*random(2)/TB'"),
    "edit-list.mp4": lambda p: remux(face(p.with_name("long.mp4"), seconds=1.2), p, "-ss", "0.77"),
    "starts-at-5s.mp4": lambda p: face(p, "-output_ts_offset", "5"),
    "starts-at-5s.mkv": lambda p: face(p, "-output_ts_offset", "5"),
    "stream.ts": lambda p: face(p),
    "odd-420.webm": lambda p: face(p, size="321:241", encode=(*VP9, "-pix_fmt", "yuv420p")),
    "odd-444.mp4": lambda p: face(p, size="321:241", encode=(*X264[:-1], "yuv444p")),
    "odd-422.mkv": lambda p: face(p, size="321:241", encode=("-c:v", "ffv1", "-pix_fmt", "yuv422p")),
    "422.mov": lambda p: face(p, encode=(*X264[:-1], "yuv422p")),
    "444.mp4": lambda p: face(p, encode=(*X264[:-1], "yuv444p")),
    "pq.mp4": lambda p: _hdr(p, "smpte2084"),
    "hlg.mp4": lambda p: _hdr(p, "arib-std-b67"),
    "top-field-first.mp4": lambda p: _interlaced(p, "tff"),
    "bottom-field-first.mp4": lambda p: _interlaced(p, "bff"),
    "full-range.mp4": lambda p: face(p, "-color_range", "pc", filters="scale=out_range=pc,format=yuvj420p"),
    "bt601.mp4": lambda p: face(
        p,
        filters="scale=out_color_matrix=bt601,setparams=color_primaries=smpte170m:color_trc=smpte170m:colorspace=smpte170m",
    ),
    "sample-aspect.mp4": lambda p: face(p, size="240:240", filters="setsar=4/3"),
    "one-frame.mp4": lambda p: face(p, "-frames:v", "1", audio=False),
    "no-audio.mp4": lambda p: face(p, audio=False),
    "two-audio.mkv": lambda p: face(p, "-map", "0:a"),
    "longer-audio.mp4": lambda p: _tone(p, length=1.5),
    "shorter-audio.mp4": lambda p: _tone(p, length=0.2),
    "audio-starts-late.mp4": lambda p: _tone(p, "-itsoffset", "0.3", length=0.3),
    "audio-starts-late.mkv": lambda p: _tone(p, "-itsoffset", "0.3", length=0.3),
    "rich.mp4": _rich,
    "rich.mkv": _rich,
    "quicktime.mov": lambda p: face(p),
    "matroska.mkv": lambda p: face(p),
    "film.avi": lambda p: face(p, "-c:a", "mp3", encode=("-c:v", "mpeg4", "-q:v", "2")),
    "clip.webm": lambda p: face(p, encode=(*VP9, "-pix_fmt", "yuv420p")),
    "alpha.webm": lambda p: _alpha(p, (*VP9, "-pix_fmt", "yuva420p", "-auto-alt-ref", "0")),
    "alpha.mov": lambda p: _alpha(p, ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le")),
    "loop.gif": lambda p: face(
        p, filters="fps=12.5,split[a][b];[a]palettegen[c];[b][c]paletteuse", encode=(), audio=False
    ),
    **{name: lambda p, t=turn: _turned(p, *t) for name, turn in TURNS.items()},  # type: ignore[misc]
}


class Hard:
    """Makes each file of ``MAKERS`` when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str) -> Path:
        path = self._folder / name
        return path if path.exists() else MAKERS[name](path)


@dataclass(frozen=True)
class Run:
    """A finished command: its exit code, its JSON if it printed some, and what it said on stderr."""

    code: int
    said: Any
    stderr: str


def swap(path: Path, output: Path | None, *more: object, model: str = "unchanged", code: int = 0) -> Run:
    """`fsvideo swap` in this process; a traceback or another exit code than ``code`` fails the test."""
    arguments = ["swap", "--source", SOURCE, "--input", path, "--model", model, "--threads", 1, "--json", *more]
    arguments += [] if output is None else ["--output", output]
    done = run(*arguments, code=code)
    return Run(done.exit_code, json.loads(done.stdout) if done.stdout else None, done.stderr)


def command(*arguments: object, code: int = 0, cwd: Path = ROOT, **options: Any) -> Run:
    """`python -m fsvideo` as a process of its own."""
    line = [sys.executable, "-m", "fsvideo", *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, timeout=300, cwd=cwd, env={**os.environ, **environment}, **options)
    stderr = done.stderr.decode(errors="replace")
    assert done.returncode == code, stderr[-2000:]
    assert "Traceback" not in stderr
    return Run(done.returncode, json.loads(done.stdout) if done.stdout.startswith(b"{") else None, stderr)


@cache
def decoded(path: Path, *options: str, filters: str = "null") -> tuple[list[float], list[str]]:
    """Time in seconds and hash of every frame of the main video, as the ffmpeg program (not PyAV) decodes them."""
    line = [
        find(),
        "-nostdin",
        "-v",
        "error",
        "-copyts",
        *options,
        "-i",
        f"file:{path}",
        "-map",
        "0:V:0",
        "-vf",
        filters,
    ]
    line += ["-fps_mode", "passthrough", "-enc_time_base", "demux", "-f", "framehash", "-hash", "sha256", "-"]
    done = subprocess.run(line, capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line]
    over, under = next(row for row in rows if row.startswith("#tb")).split()[-1].split("/")
    cells = [row.split(",") for row in rows if not row.startswith("#")]
    return [int(cell[2]) * int(over) / int(under) for cell in cells], [cell[-1].strip() for cell in cells]


def luma(path: Path, count: int = 100) -> list[np.ndarray[Any, Any]]:
    """The luma samples of the first ``count`` frames (8 bits), turned upright by the ffmpeg program."""
    line = [find(), "-nostdin", "-i", f"file:{path}", "-map", "0:V:0", "-frames:v", str(count)]
    line += ["-vf", "format=yuv444p,extractplanes=y", "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    done = subprocess.run(line, capture_output=True, check=True)
    width, height = map(int, re.findall(r"rawvideo.*?, (\d+)x(\d+)", done.stderr.decode(errors="replace"))[-1])
    return list(np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width))


def others(path: Path) -> dict[tuple[str, int], list[tuple[float, str]]]:
    """(kind, number) of every sound and subtitle stream -> time in seconds and hash of each of its packets."""
    found: dict[tuple[str, int], list[tuple[float, str]]] = {}
    with av.open(f"file:{path}") as container:
        names = {}
        for kind in ("audio", "subtitle"):
            for number, stream in enumerate([s for s in container.streams if s.type == kind]):
                names[stream.index] = (kind, number)
                found[kind, number] = []
        for packet in container.demux():
            if packet.size and packet.stream_index in names:
                time = float((packet.pts or 0) * packet.time_base)
                found[names[packet.stream_index]].append((time, hashlib.sha256(bytes(packet)).hexdigest()))
    return found


@dataclass(frozen=True)
class Shape:
    """What a player is told about the picture."""

    depth: int
    color: tuple[int, int, int, int]
    aspect: float
    rotation: int
    interlaced: bool


def shape(path: Path) -> Shape:
    with av.open(f"file:{path}") as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        full = 2 if frame.format.name.startswith("yuvj") else int(frame.color_range)
        tags = int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), full
        aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1
        depth = max(part.bits for part in frame.format.components)
        return Shape(depth, tags, float(aspect), round(frame.rotation), frame.interlaced_frame)
