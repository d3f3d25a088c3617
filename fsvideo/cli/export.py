"""`fsvideo export`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fsvideo.cli.common import FILE, Switch, errors, stack


@click.command(short_help="Write the networks of a model as a file for ONNX Runtime or OpenVINO.")
@stack(
    click.option("--model", default="compact", show_default=True, metavar="NAME|FILE", help="Weights of the swapper."),
    click.option(
        "--refine/--no-refine",
        cls=Switch,
        default=True,
        show_default=True,
        help="With HEAR-Net, where the model has one.",
    ),
    click.option("--to", type=click.Choice(["onnx", "openvino"]), required=True, help="For which runtime."),
    click.option("--output", type=FILE, required=True, metavar="DIR", help="Where the file goes."),
    click.option("--overwrite", is_flag=True, help="Replace a file that exists."),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result to stdout."),
)
def export(model: str, refine: bool, to: str, output: Path, overwrite: bool, quiet: bool, as_json: bool) -> None:
    """Write AEI-Net, with HEAR-Net where the model has one, as one graph that takes any number of faces.

    \b
    fsvideo export --to onnx --output exported
    fsvideo export --model runs/a1/aei.safetensors --to openvino --output exported

    It is compared with PyTorch before it gets its place. Hashes of the weights, the crop's template and the identity
    encoder's name are in its metadata. `fsvideo swap --backend` needs no such file: it makes its own on first use.
    """
    with errors(quiet) as terminal:
        import torch

        from fsvideo.export import export as run
        from fsvideo.swapper import load_swapper

        done = run(load_swapper(model, refine, torch.device("cpu")), to, output, overwrite, terminal.note)
        rows = [("model", done.model), *(("written", str(path)) for path in done.files)]
        rows += [(f"takes {name}", what) for name, what in done.inputs.items()]
        rows += [(f"gives {name}", what) for name, what in done.outputs.items()]
        rows.append(("tried in", f"{done.runtime}: {done.difference:.1e} at most from PyTorch's result"))
        rows += [(name, value) for name, value in done.meta.items() if name.startswith("sha256")]
        terminal.table(rows)
        if as_json:
            click.echo(json.dumps(done.as_dict()))
