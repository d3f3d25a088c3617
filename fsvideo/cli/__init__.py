"""The command line: flags become one frozen options value and one call. Heavy imports stay inside the commands."""

from __future__ import annotations

import click

from fsvideo import __version__
from fsvideo.cli.bench import bench
from fsvideo.cli.completion import completion
from fsvideo.cli.evaluate import evaluate
from fsvideo.cli.export import export
from fsvideo.cli.faces import faces
from fsvideo.cli.info import doctor, verify, weights
from fsvideo.cli.live import live
from fsvideo.cli.settings import name_variables
from fsvideo.cli.swap import swap
from fsvideo.cli.train import align, train


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fsvideo")
def main() -> None:
    """Put the face of a source photo on a person in a video.

    Use it with the consent of the people shown. Every output says in its metadata that it is AI-edited.
    """


for command in (swap, live, faces, align, train, evaluate, export, bench, verify, doctor, weights, completion):
    main.add_command(command)
    name_variables(command, "FSVIDEO")
