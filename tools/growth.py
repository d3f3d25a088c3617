"""How the cost of a swap grows with the clip's length and with the faces in it: a Markdown table on stdout.

    python tools/growth.py [--lengths 10,100,1000] [--faces 1,4,16] [--seconds 10] [--model compact] [--input CLIP]

The clip (by default the example one) is looped for length, and tiled for faces: every tiling is 1280 x 960. Each row is
a swap in a process of its own, as `fsvideo bench` does its whole run.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import tempfile
from pathlib import Path

from fsvideo.bench import whole
from fsvideo.bench.setup import BenchOptions
from fsvideo.media import ffmpeg

_WIDTH, _HEIGHT = 1280, 960


def numbers(text: str) -> list[int]:
    return [int(one) for one in text.split(",") if one]


def made(clip: Path, seconds: float, side: int, place: Path) -> Path:
    """The clip, looped to so many seconds; ``side`` x ``side`` of it beside each other, or as it is where that is 0."""
    chain = []
    if side:
        names = "".join(f"[{n}]" for n in range(side * side))
        spots = "|".join(f"{n % side * (_WIDTH // side)}_{n // side * (_HEIGHT // side)}" for n in range(side * side))
        tiles = f"[0:v]scale={_WIDTH // side}:{_HEIGHT // side}"
        tiles += f",split={side * side}{names};{names}xstack=inputs={side * side}:layout={spots}" if side > 1 else ""
        chain = ["-filter_complex", tiles]
    command = [ffmpeg.find(), "-v", "error", "-stream_loop", "-1", "-i", str(clip), "-t", f"{seconds}", *chain, "-an"]
    subprocess.run([*command, "-c:v", "libx264", "-crf", "16", str(place)], check=True)
    return place


def row(name: str, options: BenchOptions) -> str:
    """What a whole run took, start-up left out of the time."""
    took = whole.run(options)
    rate = took.frames / 25
    return f"| {name} | {took.cpu / rate:.2f} | {took.wall / rate:.2f} | {took.peak / 1e6:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=numbers, default=[10, 100])
    parser.add_argument("--faces", type=numbers, default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--input", type=Path)
    wanted = parser.parse_args()
    clip = BenchOptions(wanted.input).clip
    print("| | CPU s a second of video (25 frames) | wall s | peak memory, MB |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for length in wanted.lengths:
            path = made(clip, length, 0, Path(folder) / f"long{length}.mp4")
            print(row(f"{length} s", BenchOptions(path, seconds=length + 1, model=wanted.model)), flush=True)
        for count in wanted.faces:
            path = made(clip, wanted.seconds, math.isqrt(count), Path(folder) / f"faces{count}.mp4")
            options = BenchOptions(path, seconds=wanted.seconds + 1, model=wanted.model, faces="all")
            print(row(f"{count} faces" if count > 1 else "1 face", options), flush=True)


if __name__ == "__main__":
    main()
