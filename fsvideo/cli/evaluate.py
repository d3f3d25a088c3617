"""`fsvideo evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fsvideo.cli.common import COMPUTE, FILE, MODEL, TUNE, Switch, backend, errors, stack


@click.command(short_help="Measure swaps on photos of people and on clips.")
@stack(
    click.option("--people", type=FILE, metavar="DIR", help="A folder with a folder of photos for each person."),
    click.option("--clips", type=FILE, metavar="DIR", help="Videos; one file is fine too."),
    click.option(
        "--source", type=FILE, metavar="FACE", help="Photo to put on the clips.  [default: people of --people in turn]"
    ),
    MODEL,
    click.option(
        "--refine/--no-refine",
        cls=Switch,
        default=True,
        show_default=True,
        help="Measure with and without HEAR-Net, or only without.",
    ),
    TUNE,
    click.option(
        "--swapper",
        "swappers",
        type=click.Choice(["aei", "warp", "unchanged"]),
        multiple=True,
        default=("aei",),
        show_default=True,
        help="The model, the landmark-warping baseline, or no swap at all; repeat to compare.",
    ),
    click.option(
        "--judge", default="judge", show_default=True, metavar="NAME|FILE.onnx", help="Recogniser that looks people up."
    ),
    click.option(
        "--features", type=FILE, metavar="FILE", help="State dict of an ImageNet MobileNetV2, for the Fréchet distance."
    ),
    click.option("--occluders", type=FILE, metavar="DIR", help="PNG cut-outs with alpha to lay over faces."),
    click.option(
        "--held-out",
        multiple=True,
        default=("microphone",),
        show_default=True,
        metavar="PREFIX",
        help="How the names of occluders that HEAR-Net was not trained on begin; only these are used. Repeatable.",
    ),
    click.option(
        "--output",
        type=FILE,
        default=Path("evaluation"),
        show_default=True,
        metavar="DIR",
        help="Where the report goes.",
    ),
    click.option("--limit", type=click.IntRange(2), metavar="N", help="At most this many people."),
    click.option(
        "--limit-frames",
        type=click.IntRange(0),
        default=0,
        metavar="N",
        show_default="all",
        help="At most this many frames of each clip.",
    ),
    click.option(
        "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed for choosing pairs and occluders."
    ),
    COMPUTE,
    backend("torch"),
    click.option("--overwrite", is_flag=True, help="Replace a report that exists."),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="Print the report to stdout, machine-readable."),
)
def evaluate(threads: int, quiet: bool, as_json: bool, **rest: Any) -> None:
    """Measure identity, pose, expression, sharpness, occlusion and flicker, and write tables and pictures.

    \b
    fsvideo evaluate --people photos --swapper aei --swapper warp --output report
    fsvideo evaluate --clips clips --source face.jpg --limit-frames 100
    """
    if rest["people"] is None and rest["clips"] is None:
        raise click.UsageError("give --people, --clips, or both")
    if rest["clips"] is not None and rest["people"] is None and rest["source"] is None:
        raise click.UsageError("--clips needs --source, or --people to take faces from")
    with errors(quiet) as terminal:
        import os

        import cv2
        import torch

        from fsvideo import heap
        from fsvideo.evaluate.report import document, grid
        from fsvideo.evaluate.run import EvaluateOptions
        from fsvideo.evaluate.run import evaluate as run

        torch.set_num_threads(threads or os.cpu_count() or 1)
        heap.keep()
        if threads:
            cv2.setNumThreads(threads)
        options = EvaluateOptions(**rest)
        with terminal.live("items"):
            sections, files = run(options, terminal, lambda s: terminal.figures(s.title, s.about, *grid(s)))
        terminal.table([("written", str(path)) for path in files])
        if as_json:
            click.echo(json.dumps(document(sections, options.settings())))
