"""The command line in this process: as a user types it, without the seconds that a new process takes to import all."""

from __future__ import annotations

import cv2
import torch
from click.testing import CliRunner, Result

from fsvideo.cli import main


def run(*arguments: object, code: int = 0, **environment: str) -> Result:
    """`fsvideo` with these arguments; its exit code is checked, and what no user may see is raised."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        done = CliRunner().invoke(main, [str(one) for one in arguments], env=environment)
    finally:  # a command sets how many the whole process uses
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.stderr[-2000:]
    return done
