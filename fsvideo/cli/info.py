"""The commands that only look: `fsvideo doctor`, `verify`, `weights`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from fsvideo.cli.common import FILE, errors
from fsvideo.types import FsvideoError

_ALTERED, _SILENT = 3, 4


@click.command()
@click.argument("file", type=FILE)
@click.option("--trust", type=FILE, metavar="FILE.pem", help="Certificates to trust, those of issuers or of signers.")
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result to stdout.")
def verify(file: Path, trust: Path | None, as_json: bool) -> None:
    """Show what FILE says about how it was made, whichever tool wrote it. Nothing is asked of the network.

    Marks can be removed: a file that says nothing may be edited all the same.

    \b
    Exit codes: 0 it says something: a manifest that holds, or tags only
                1 it cannot be read     3 its manifest does not hold: altered or invalid
                2 wrong usage           4 it says nothing
    """
    with errors() as terminal:
        from fsvideo.media.certificate import trusted
        from fsvideo.media.provenance import examine
        from fsvideo.summary import statement_rows

        statement = examine(file, trusted(trust) if trust is not None else "")
        terminal.table(statement_rows(statement))
        if as_json:
            click.echo(json.dumps(statement.as_dict()))
        sys.exit({"altered": _ALTERED, "invalid": _ALTERED, "nothing": _SILENT}.get(statement.state, 0))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable result to stdout.")
def doctor(as_json: bool) -> None:
    """Say what is installed, what works here, and what is missing."""
    with errors() as terminal:
        from rich.markup import escape

        from fsvideo.doctor import checks

        rows = checks()
        if as_json:
            click.echo(json.dumps([{"name": r.name, "ok": r.ok, "found": r.found, "hint": r.hint} for r in rows]))
        else:
            for row in rows:
                lacking = "[yellow]without[/]" if row.optional else "[red]missing[/]"
                mark = "[green]ok[/]     " if row.ok else lacking
                hint = f"\n        {row.hint}" if row.hint else ""
                terminal.print(f"{mark} {escape(f'{row.name:<16} {row.found}{hint}')}")
        if not all(r.ok or r.optional for r in rows):
            sys.exit(1)


@click.group()
def weights() -> None:
    """List or check the weights that ship."""


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
