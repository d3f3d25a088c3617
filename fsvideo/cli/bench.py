"""`fsvideo bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fsvideo.cli.common import BACKEND, COMPUTE, FILE, MODEL, REFINE, Number, errors, stack


@click.command(short_help="Measure what a swap costs on this machine.")
@stack(
    click.option("--input", type=FILE, metavar="CLIP", help="Video to swap.  [default: the checkout's example clip]"),
    click.option(
        "--source",
        type=FILE,
        metavar="FACE",
        help="Photo of the face to put in.  [default: the checkout's example photo, else who is in the clip]",
    ),
    click.option(
        "--seconds",
        type=Number(0, min_open=True),
        default=10.0,
        show_default=True,
        metavar="N",
        help="How much of the clip to use, from its start.",
    ),
    click.option(
        "--faces", type=click.Choice(["largest", "all"]), default="largest", show_default=True, help="Whom to swap."
    ),
    MODEL,
    REFINE,
    COMPUTE,
    BACKEND,
    click.option("--output", type=FILE, metavar="DIR", help="Write bench.json and a plot, bench.png, there."),
    click.option("--overwrite", is_flag=True, help="Replace those of an earlier run."),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="Print the measurements to stdout, machine-readable."),
)
def bench(output: Path | None, overwrite: bool, quiet: bool, as_json: bool, **rest: Any) -> None:
    """Measure what the machine can do, what each stage of a swap takes, and how fast a whole run is.

    Stages are measured one after the other with one thread each, in milliseconds of computing (CPU) a frame; the whole
    run is a swap as it always is, in a process of its own. Leave the machine alone meanwhile: times on the clock count
    what else runs on it.

    \b
    fsvideo bench
    fsvideo bench --input clip.mp4 --seconds 4 --output bench
    """
    with errors(quiet) as terminal:
        from fsvideo.bench.run import bench as run
        from fsvideo.bench.setup import BenchOptions
        from fsvideo.bench.show import check, stage_table, summary, write

        if output is not None:
            check(output, overwrite)
        with terminal.live():
            found = run(BenchOptions(**rest), terminal)
        terminal.listing(*stage_table(found))
        rows = summary(found)
        if output is not None:
            rows += [("written", str(path)) for path in write(found, output)]
        terminal.table(rows)
        if as_json:
            click.echo(json.dumps(found))
