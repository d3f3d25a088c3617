"""`fsvideo completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(short_help="Print the script that completes commands and options in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes fsvideo's commands, options and values in SHELL.

    \b
    bash:  fsvideo completion bash > ~/.local/share/bash-completion/completions/fsvideo
    zsh:   fsvideo completion zsh > ~/.zfunc/_fsvideo     (with ~/.zfunc in fpath, before compinit)
    fish:  fsvideo completion fish > ~/.config/fish/completions/fsvideo.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click knows all three
    click.echo(kind(click.get_current_context().find_root().command, {}, "fsvideo", "_FSVIDEO_COMPLETE").source())
