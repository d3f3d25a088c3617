"""`fsvideo swap`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fsvideo.cli.common import FILE, errors, stack
from fsvideo.types import FsvideoError, SwapOptions

if TYPE_CHECKING:
    from fsvideo.console import Terminal

ENCODERS = ("x264", "x265", "vp9", "av1", "prores", "ffv1")


class _Seconds(click.ParamType):
    """``12.5``, ``1:02.5`` or ``0:01:02.5``."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            parts = [float(p) for p in str(value).split(":")]
        except ValueError:
            parts = []
        if not 1 <= len(parts) <= 3 or any(p < 0 for p in parts):
            self.fail(f"{value!r} is not a time: give seconds (12.5) or h:mm:ss (0:01:02.5)", param, ctx)
        return sum(p * 60**k for k, p in enumerate(reversed(parts)))


@click.command(short_help="Swap a face in videos, images or folders of images.")
@stack(
    click.option(
        "--source",
        "sources",
        type=FILE,
        multiple=True,
        required=True,
        metavar="FACE",
        help="Photo, clip or folder that shows the face to put in; repeat it to average several of one person.",
    ),
    click.option(
        "--input",
        "inputs",
        type=FILE,
        multiple=True,
        required=True,
        metavar="PATH",
        help="Video, image or folder of images to edit; repeatable.",
    ),
    click.option(
        "--output",
        type=FILE,
        metavar="PATH",
        help="Result; a folder for several inputs.  [default: INPUT-swapped.EXT beside the input]",
    ),
    click.option(
        "--faces",
        type=click.Choice(["largest", "all", "reference"]),
        default="largest",
        show_default=True,
        help="Whom to swap: the person who fills most of the picture, everyone, or the one in --reference.",
    ),
    click.option(
        "--reference", type=FILE, metavar="IMAGE", help="Picture of the person to swap, for --faces reference."
    ),
    click.option(
        "--start", type=_Seconds(), metavar="TIME", help="Begin here (seconds or h:mm:ss); the output begins here too."
    ),
    click.option("--end", type=_Seconds(), metavar="TIME", help="End here."),
    click.option("--model", default="compact", show_default=True, metavar="NAME|FILE", help="Weights of the swapper."),
    click.option(
        "--refine/--no-refine",
        default=True,
        show_default=True,
        help="Repair occlusions with HEAR-Net, where the model has one.",
    ),
    click.option(
        "--mask",
        type=click.Choice(["outline", "ellipse"]),
        default="outline",
        show_default=True,
        help="Shape of the swapped region.",
    ),
    click.option(
        "--feather",
        type=click.FloatRange(0, 0.5),
        default=0.15,
        show_default=True,
        help="Width of the mask's soft edge, in parts of the face's width.",
    ),
    click.option(
        "--smooth",
        type=click.FloatRange(0, 5),
        default=0.5,
        show_default=True,
        metavar="SECONDS",
        help="Steady points, mask and colour over this time; 0: off.",
    ),
    click.option(
        "--color",
        type=click.Choice(["match", "keep"]),
        default="match",
        show_default=True,
        help="Match the face's colour to the footage, or keep the network's.",
    ),
    click.option(
        "--encoder",
        type=click.Choice(ENCODERS),
        help="Video encoder.  [default: what suits container and input, x264 for MP4]",
    ),
    click.option(
        "--quality",
        type=int,
        metavar="N",
        help="The encoder's own scale (crf for x264, lower is better).  [default: visually lossless]",
    ),
    click.option("--preset", metavar="NAME", help="The encoder's speed preset (x264: ultrafast to veryslow)."),
    click.option(
        "--audio",
        type=click.Choice(["copy", "none"]),
        default="copy",
        show_default=True,
        help="Copy the sound bit for bit, or leave it out.",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda", "mps"]),
        default="auto",
        show_default=True,
        help="Where the network runs.",
    ),
    click.option(
        "--batch-size", type=click.IntRange(1, 256), default=8, show_default=True, help="Faces a network call."
    ),
    click.option("--threads", type=click.IntRange(0, 256), default=0, help="CPU threads.  [default: all cores]"),
    click.option("--report", type=FILE, metavar="FILE.json", help="Write what happened to every frame."),
    click.option("--compare", type=FILE, metavar="FILE", help="Also make a reel of input and output side by side."),
    click.option(
        "--preview", type=FILE, metavar="FILE.png", help="Make only a sheet of frames, before and after, and no video."
    ),
    click.option("--dry-run", is_flag=True, help="Find the faces, say what would be done, write nothing."),
    click.option(
        "--no-face",
        type=click.Choice(["copy", "fail"]),
        default="copy",
        show_default=True,
        help="When nobody is found in the input: copy it, or fail.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace outputs that exist."),
    click.option("--keep-going", is_flag=True, help="Skip damaged parts of an input instead of failing."),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="Print one machine-readable result to stdout."),
)
def swap(
    sources: tuple[Path, ...],
    inputs: tuple[Path, ...],
    output: Path | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    **rest: Any,
) -> None:
    """Put the face of --source on a person in --input.

    \b
    fsvideo swap --source face.jpg --input clip.mp4
    fsvideo swap --source a.jpg --source b.jpg --input clip.mp4 --output out.mp4 --compare reel.mp4
    """
    single = [rest[name] for name in ("report", "compare", "preview")]
    if len(inputs) > 1 and any(single):
        raise click.UsageError("--report, --compare and --preview go with one --input")
    if rest["faces"] == "reference" and rest["reference"] is None:
        raise click.UsageError("--faces reference needs --reference IMAGE")
    if rest["reference"] is not None and rest["faces"] != "reference":
        raise click.UsageError("--reference goes with --faces reference")
    if rest["start"] is not None and rest["end"] is not None and rest["end"] <= rest["start"]:
        raise click.UsageError("--end must come after --start")
    with errors(quiet) as terminal:
        from fsvideo.pipeline import default_output

        if len(inputs) > 1 and output is not None and not output.is_dir():
            raise FsvideoError(f"{output}: not a folder", "several inputs need an existing folder as --output")
        jobs = []
        for path in inputs:
            place = default_output(path) if output is None else output / path.name if len(inputs) > 1 else output
            jobs.append(SwapOptions(source=sources, input=path, output=place, **rest))
        if not _run(jobs, dry_run, as_json, terminal):
            sys.exit(1)


def _run(jobs: list[SwapOptions], dry_run: bool, as_json: bool, terminal: Terminal) -> bool:
    """Run every job on one loaded swapper; a failed one is reported and the rest go on. True if all went well."""
    import torch

    from fsvideo.pipeline import check_input
    from fsvideo.pipeline import swap as run
    from fsvideo.summary import as_dict, found_rows, made_rows
    from fsvideo.swapper import load_swapper, pick_device

    threads = jobs[0].threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    if len(jobs) == 1:
        check_input(jobs[0].input)  # before the networks are loaded
    swapper = load_swapper(jobs[0].model, jobs[0].refine, pick_device(jobs[0].device))
    results, failed = [], 0
    for options in jobs:
        options = replace(options, threads=threads)
        try:
            terminal.print(f"[bold]{options.input.name}[/]")
            with terminal.live():
                result = run(options, swapper, terminal, write=not dry_run)
            terminal.table(found_rows(result) + made_rows(result, options, dry_run))
            results.append(as_dict(result))
        except FsvideoError as error:
            if len(jobs) == 1:
                raise
            failed += 1
            terminal.error(error)
            results.append({"input": str(options.input), "error": str(error), "hint": error.hint})
    if failed:
        terminal.print(f"{len(jobs) - failed} of {len(jobs)} done, {failed} failed")
    if as_json:
        click.echo(json.dumps(results[0] if len(jobs) == 1 else results))
    return not failed
