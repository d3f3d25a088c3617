"""The command line, and the example in every kind of file that is signed or tagged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import commandline
from click.testing import Result

from fsvideo.media import ffmpeg

ROOT = Path(__file__).resolve().parents[1]
SOURCE, CLIP = ROOT / "examples" / "grace_hopper.jpg", ROOT / "examples" / "astronaut.mp4"
SIGNED = ("mp4", "mov", "jpg", "png", "webp")
TAGGED = ("mkv", "webm")
AI_EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def run(*arguments: object, code: int = 0, **environment: str) -> Result:
    """`fsvideo` on a wide terminal, which breaks no line."""
    return commandline.run(*arguments, code=code, COLUMNS="200", **environment)


def swap(*arguments: object, code: int = 0, **environment: str) -> Result:
    return run("swap", "--source", SOURCE, *arguments, code=code, **environment)


def convert(target: Path, *options: str, source: Path = CLIP) -> Path:
    line = [ffmpeg.find(), "-nostdin", "-v", "error", "-i", str(source), *options, str(target)]
    subprocess.run(line, check=True)
    return target


def every_kind(folder: Path) -> Path:
    """The example, a third of a second or one frame of it, in every kind of file; the folder of them."""
    for suffix in (*SIGNED, *TAGGED):
        length = ["-frames:v", "1"] if suffix in ("jpg", "png", "webp") else ["-t", "0.32"]
        quick = ["-deadline", "realtime", "-cpu-used", "8"] if suffix == "webm" else []
        convert(folder / f"clip_{suffix}.{suffix}", *length, "-vf", "scale=320:-2", *quick)
    return folder
