"""`fsvideo live`."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from fsvideo.cli.common import BACKEND, COMPUTE, FILE, MODEL, REFERENCE, REFINE, TUNE, Number, errors, stack
from fsvideo.cli.look import LOOK, take_look
from fsvideo.options import SwapOptions


@click.command(short_help="Swap a face in live pictures: from a camera, stream or file to a window, device or stream.")
@stack(
    click.option(
        "--source",
        "sources",
        type=FILE,
        multiple=True,
        required=True,
        metavar="FACE",
        help="Photo, video or folder that shows the face to put in; repeat it to average several of one person.",
    ),
    click.option(
        "--input",
        "source",
        required=True,
        metavar="FILE|DEVICE|URL",
        help="A video file, a camera (/dev/video0), or a stream's address.",
    ),
    click.option(
        "--output",
        "target",
        default="window",
        show_default=True,
        metavar="window|DEVICE|FILE|URL",
        help="A window, a v4l2loopback device (/dev/video2), a file (mp4, mov, mkv, ts, flv) or an address.",
    ),
    click.option(
        "--faces",
        type=click.Choice(["largest", "all", "reference"]),
        default="largest",
        show_default=True,
        help="Whom to swap: who filled most of the last seconds, everyone, or the one in --reference.",
    ),
    REFERENCE,
    MODEL,
    REFINE,
    TUNE,
    LOOK,
    click.option(
        "--smooth",
        type=Number(0, 5),
        default=0.5,
        show_default=True,
        metavar="SECONDS",
        help="Steady points, colour and the face itself by so much of the past; 0: off.",
    ),
    COMPUTE,
    BACKEND,
    click.option("--overwrite", is_flag=True, help="Replace an output file that exists."),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="Print one machine-readable result to stdout."),
)
def live(
    sources: tuple[Path, ...], source: str, target: str, threads: int, quiet: bool, as_json: bool, **rest: Any
) -> None:
    """Put the face of --source on a person in --input while it runs.

    \b
    fsvideo live --source face.jpg --input /dev/video0
    fsvideo live --source face.jpg --input /dev/video0 --output /dev/video2
    fsvideo live --source face.jpg --input udp://0.0.0.0:5000 --output rtmp://host/app/key
    fsvideo live --source face.jpg --input clip.mp4 --output live.mkv

    Nothing is known of what comes next, so positions are steadied by the past alone and --input clip.mp4 comes out
    better through `fsvideo swap`. Frames of a camera or stream are dropped so that the result does not fall behind; of
    a file, none is. The terminal shows frames a second and how many milliseconds the result is behind. Ctrl-C ends it,
    in a window q, Escape or closing it, too: a file is completed then, and the exit code is 0. Sound is not passed on.

    Addresses: udp, rtp, tcp, rtmp, rtmps, srt and rtsp, as far as PyAV's FFmpeg has them. The network is used
    for an address that you name here, and for nothing else.

    MARKS: live output cannot carry a signed C2PA manifest, which is made of a finished file. Files and streams say in
    tags that they are AI-edited (MPEG-TS and RTSP in the H.264 stream itself, where `fsvideo verify` finds them and
    players show nothing), and the window in its title; a video device can say nothing. Tell those who see it.
    """
    if (rest["faces"] == "reference") != (rest["reference"] is not None):
        raise click.UsageError("--reference IMAGE and --faces reference go together")
    look = take_look(rest)
    options = SwapOptions(source=sources, input=Path(), output=Path(), look=look, **rest)
    with errors(quiet) as terminal:
        import torch

        from fsvideo.live import live as run
        from fsvideo.media.broadcast import check_sink
        from fsvideo.networks import pick_device
        from fsvideo.summary import counted
        from fsvideo.swapper import load_swapper

        check_sink(target)
        if threads:
            torch.set_num_threads(threads)
        device = pick_device(options.device)
        swapper = load_swapper(options.model, options.refine, device, backend=options.backend, note=terminal.note)
        with _until_asked() as stop, terminal.gauge() as tell:
            result = run(options, source, target, swapper, stop, tell)
        said = result.as_dict()
        latency, faces = said["latency_ms"], counted(result.swapped_faces, "face")
        terminal.table(
            [
                ("backend", swapper.backend),
                ("swapped", f"{faces} in {result.swapped_frames} of {counted(result.frames, 'frame')}"),
                ("dropped", f"{result.dropped} frames"),
                ("speed", f"{said['frames_per_second']:.1f} frames/s over {result.seconds:.1f} s"),
                ("behind", f"{latency['median']:.0f} ms, 95 of 100 frames under {latency['p95']:.0f} ms"),
                ("ended", result.ended),
                ("marked", _marked(target)),
            ]
        )
        if as_json:
            click.echo(json.dumps({"input": source, "output": target, "backend": swapper.backend, **said}))


@contextmanager
def _until_asked() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set: a frame in the making is finished. A second Ctrl-C interrupts."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _marked(target: str) -> str:
    if target == "window":
        return "as AI-edited, in the window's title"
    if target.startswith("/dev/"):
        return "no: a video device can say nothing"
    return "as AI-edited, in tags only: live output carries no signed manifest"
