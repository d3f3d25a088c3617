"""`fsvideo align` and `fsvideo train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from fsvideo.cli.common import DEVICE, FILE, Number, errors, stack

RUN = stack(
    click.option("--data", type=FILE, required=True, metavar="DIR", help="Crops, as `fsvideo align` makes them."),
    click.option("--output", type=FILE, metavar="RUN", help="The run's folder.  [default: runs/NETWORK-DATE]"),
    click.option("--config", type=FILE, metavar="FILE.toml", help="Settings; a run's own config.toml shows them all."),
    click.option(
        "--preset",
        metavar="NAME",
        help="Sizes of the network: compact or tiny; for `train aei` also aei-256.  [default: compact]",
    ),
    click.option("--steps", type=click.IntRange(1), metavar="N", help="Stop after so many steps."),
    click.option("--max-minutes", type=Number(0), metavar="M", help="Stop after so many minutes."),
    click.option("--resume", is_flag=True, help="Go on with the run in --output, or the newest one."),
    click.option("--name", metavar="NAME", help="Name of the weights.  [default: that of the run's folder]"),
    DEVICE,
)


@click.command()
@click.option(
    "--input",
    "inputs",
    type=FILE,
    multiple=True,
    required=True,
    metavar="PATH",
    help="Photo, video or folder of them; repeatable.",
)
@click.option("--output", type=FILE, required=True, metavar="DIR", help="Where the crops go.")
@click.option("--size", type=click.IntRange(64, 512), default=256, show_default=True, help="Side of the crops, pixels.")
@click.option(
    "--faces",
    type=click.Choice(["largest", "all"]),
    default="largest",
    show_default=True,
    help="Whose faces to take from a picture of several people.",
)
@click.option("--workers", type=click.IntRange(0, 256), default=0, show_default="all cores", help="Processes.")
@DEVICE
def align(
    inputs: tuple[Path, ...], output: Path, size: int, faces: Literal["largest", "all"], workers: int, device: str
) -> None:
    """Cut aligned training crops out of photos, folders and videos.

    A stopped run goes on where it was when the same command is given again.
    """
    with errors() as terminal:
        from fsvideo.train.commands import AlignOptions, align_command

        with terminal.live("photos"):
            result = align_command(AlignOptions(inputs, output, size, faces, workers, device), terminal)
        rows = [("kept", f"{result.kept} crops in {result.output}"), ("to look at", str(result.output / "sheet.png"))]
        rows += [("left out", f"{count} {reason}") for reason, count in sorted(result.left_out.items())]
        terminal.table(rows)


@click.group()
def train() -> None:
    """Train your own weights."""


@train.command()
@RUN
@click.option(
    "--size",
    type=click.Choice(["64", "128", "256", "512"]),
    help="Side of the crops to learn on, pixels.  [default: 64; aei-256: 256]",
)
@click.option(
    "--init",
    type=FILE,
    metavar="NAME|FILE",
    help="Start from these weights: compact, or a file. --size is theirs or larger, to which they grow; where it is "
    "theirs, the discriminators that lie beside them are used, too.",
)
@click.option(
    "--losses",
    type=click.Choice(["shipped", "brief", "paper"]),
    default="shipped",
    show_default=True,
    help="Loss weights: the shipped model's; brief: attributes, identity and reconstruction alone, 10, 10, 5; the "
    "paper's, 10, 5, 10.",
)
def aei(size: str | None, init: Path | None, losses: str, **run: Any) -> None:
    """Train AEI-Net, which makes the swap.

    \b
    fsvideo train aei --data crops --output runs/a64 --max-minutes 90
    fsvideo train aei --data crops --output runs/a128 --init runs/a64/aei.safetensors --size 128
    """
    _train("aei", run, {"size": int(size) if size else None}, init=init, losses=losses)


@train.command(short_help="Train HEAR-Net, which repairs the swap.")
@RUN
@click.option("--aei", default="compact", show_default=True, metavar="NAME|FILE", help="The AEI-Net to repair.")
@click.option("--init", type=FILE, metavar="FILE", help="Start from this HEAR-Net, whose AEI-Net may be another.")
@click.option("--occluders", type=FILE, metavar="DIR", help="PNG cut-outs with alpha, used beside the drawn occluders.")
def hear(aei: str, init: Path | None, occluders: Path | None, **run: Any) -> None:
    """Train HEAR-Net, which repairs what AEI-Net got wrong, behind a frozen AEI-Net."""
    _train("hear", run, {}, aei=aei, init=init, occluders=occluders)


def _train(network: str, run: dict[str, Any], changes: dict[str, Any], **more: Any) -> None:
    with errors() as terminal:
        from fsvideo import heap
        from fsvideo.train.commands import TrainOptions, train_aei_command, train_hear_command

        heap.keep()
        for name in ("preset", "steps", "max_minutes"):
            changes[name] = run.pop(name)
        given = {name: value for name, value in changes.items() if value is not None}
        command = {"aei": train_aei_command, "hear": train_hear_command}[network]
        with terminal.live("samples"):
            result = command(TrainOptions(**run, **more, changes=given), terminal)
        terminal.table(
            [
                ("run", str(result.output)),
                ("weights", str(result.weights)),
                ("trained", f"{result.steps} steps; {result.minutes:.1f} minutes this time"),
            ]
        )
