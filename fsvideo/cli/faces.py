"""`fsvideo faces`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fsvideo.cli.common import FILE, SECONDS, errors, stack
from fsvideo.options import SwapOptions


@click.command(short_help="List the people in a video, an image or a folder of images.")
@stack(
    click.option("--input", "path", type=FILE, required=True, metavar="PATH", help="Video, image or folder of images."),
    click.option(
        "--output",
        type=FILE,
        metavar="FILE.toml",
        help="Write the people here, for `fsvideo swap --people`; FILE.png shows them, FILE-faces has their pictures.",
    ),
    click.option("--start", type=SECONDS, metavar="TIME", help="Look from here on (seconds or h:mm:ss)."),
    click.option("--end", type=SECONDS, metavar="TIME", help="Look no further than this."),
    click.option("--threads", type=click.IntRange(0, 256), default=0, help="CPU threads.  [default: all cores]"),
    click.option("--overwrite", is_flag=True, help="Replace FILE.toml, with what was edited in it, and its pictures."),
    click.option("--keep-going", is_flag=True, help="Skip damaged parts of the input instead of failing."),
    click.option("--no-limits", is_flag=True, help="Take an input however large it claims to be."),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="Print one machine-readable result to stdout."),
)
def faces(
    path: Path,
    output: Path | None,
    start: float | None,
    end: float | None,
    threads: int,
    overwrite: bool,
    keep_going: bool,
    no_limits: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """List who is in --input: how long each person is seen, how large, and how far they turn.

    With --output it also writes a file to edit, in which each person can be given a face of their own:

    \b
    fsvideo faces --input clip.mp4 --output people.toml
    fsvideo swap --people people.toml --input clip.mp4
    """
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--end must come after --start")
    with errors(quiet) as terminal:
        import os

        import torch

        from fsvideo import roster
        from fsvideo.media import read
        from fsvideo.networks import load_finder
        from fsvideo.swapper import unchanged

        info = read.probe(path, read.NO_LIMITS if no_limits else read.LIMITS)
        if output is not None:
            roster.check_output(output, info, overwrite)
        threads = threads or os.cpu_count() or 1
        torch.set_num_threads(threads)
        options = SwapOptions(
            source=(), input=path, output=path, start=start, end=end, threads=threads, keep_going=keep_going,
            no_limits=no_limits,
        )  # fmt: skip
        with load_finder(note=terminal.note) as finder, terminal.live():
            found = roster.people(options, finder, unchanged(), terminal)
        if found.people:
            terminal.figures(path.name, [], *roster.table(found))
        else:
            terminal.note(f"{path}: nobody was found in it")
        if output is not None and found.people:
            roster.write(output, found)
            terminal.note(f"written: {output}, {roster.sheet_of(output).name}, {roster.folder_of(output).name}")
        if as_json:
            said = {
                "input": str(path),
                "frames": found.frames,
                "seconds": round(found.seconds, 3),
                "people": [person.as_dict() for person in found.people],
                "output": str(output) if output is not None and found.people else None,
            }
            click.echo(json.dumps(said))
