"""The commands that only look: `fsvideo doctor`, `verify`, `weights`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from fsvideo.cli.common import FILE, errors
from fsvideo.types import FsvideoError


@click.command()
@click.argument("file", type=FILE)
def verify(file: Path) -> None:
    """Show what FILE says about how it was made.

    Marks can be removed: a file that says nothing may be edited all the same.
    """
    with errors() as terminal:
        from fsvideo.media.provenance import read_tags

        tags = read_tags(file)
        said = {key: tags[key] for key in ("synthetic_media", "comment", "description") if key in tags}
        if not any("fsvideo" in value for value in said.values()):
            raise FsvideoError(f"{file}: carries no mark of fsvideo", "a mark can be removed, so this proves nothing")
        terminal.table(list(said.items()))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result to stdout.")
def doctor(as_json: bool) -> None:
    """Say what is installed, what works here, and what is missing."""
    with errors() as terminal:
        from fsvideo.doctor import checks

        rows = checks()
        if as_json:
            click.echo(json.dumps([{"name": r.name, "ok": r.ok, "found": r.found, "hint": r.hint} for r in rows]))
        else:
            for row in rows:
                mark = "[green]ok[/]     " if row.ok else "[red]missing[/]"
                terminal.print(f"{mark} {row.name:<16} {row.found}" + (f"\n        {row.hint}" if row.hint else ""))
        if not all(r.ok or r.optional for r in rows):
            sys.exit(1)


@click.group()
def weights() -> None:
    """The weights that ship."""


@weights.command("list")
def weights_list() -> None:
    """Show each file, what it is for and its licence."""
    with errors() as terminal:
        from fsvideo.weights import SHIPPED, find

        rows = []
        for name, shipped in SHIPPED.items():
            size = find(name).stat().st_size
            rows.append((name, f"{shipped.about}; {size / 1e6:.1f} MB, {shipped.license}, {shipped.file}"))
        terminal.table(rows)


@weights.command("verify")
def weights_verify() -> None:
    """Compare every file with its sha256; exit 1 if one is missing or altered."""
    with errors() as terminal:
        from fsvideo.weights import verify

        found = verify()
        terminal.table([(check.name, check.state) for check in found])
        if any(check.state != "ok" for check in found):
            raise FsvideoError(
                "some weights are not as they were shipped", "reinstall fsvideo, or restore weights/ in the checkout"
            )
