"""The files that a run is given and those it makes: none may be both, whatever it is called, and no two results one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fsvideo.options import SwapOptions
from fsvideo.types import WriteError


def marks(path: Path) -> set[Any]:
    """By these a file is known under any name: where it really is and, if it is there, its number on its disk."""
    place = os.path.realpath(path)
    try:
        found = os.stat(place)
    except OSError:
        return {place}
    return {place, (found.st_dev, found.st_ino)}


def apart(jobs: Sequence[SwapOptions], command: Iterable[Path] = ()) -> None:
    """Refuse results that would replace what any of the jobs is given, or each other. Raises WriteError.

    ``command``: what else is read for these jobs, such as their list.
    """
    given: dict[Any, str] = {}
    for what, path in [*(("a file that this command reads", path) for path in command), *_given(jobs)]:
        for place in (path, *_images(path)):
            given |= dict.fromkeys(marks(place), what)
    made: set[Any] = set()
    for job in jobs:
        results = _results(job)
        for result in (*results, *_replaced(job)):
            if taken := marks(result) & given.keys():
                raise WriteError(f"{result}: is {given[taken.pop()]} itself", "choose another name for the result")
        for result in results:
            if marks(result) & made:
                raise WriteError(f"{result}: two results would have this name", "name each of them differently")
            made |= marks(result)


def _given(jobs: Sequence[SwapOptions]) -> Iterator[tuple[str, Path]]:
    for job in jobs:
        yield "the input" if len(jobs) == 1 else "an input", job.input
        yield from (("a source", path) for path in job.source)
        for part in job.parts:
            yield from (("a source", path) for path in part.source)
            yield from (("a reference", path) for path in part.reference)
        named = (("the reference", job.reference), ("the certificate", job.certificate), ("the key", job.key))
        yield from ((what, path) for what, path in named if path is not None)
        if os.path.isfile(job.model):
            yield "the model", Path(job.model)


def _results(job: SwapOptions) -> list[Path]:
    if job.preview is not None:
        return [job.preview]
    return [path for path in (job.output, job.report, job.compare) if path is not None]


def _replaced(job: SwapOptions) -> Iterator[Path]:
    """In a folder that is there already images are replaced one by one; those that are copied keep their names."""
    if job.preview is None and job.output.is_dir():
        for image in _images(job.input):
            yield job.output / image.name
            yield job.output / f"{image.stem}.png"


def _images(path: Path) -> list[Path]:
    """What is read of a folder."""
    if not os.path.isdir(path):
        return []
    from fsvideo.media.read import folder_images

    try:
        return folder_images(path)
    except OSError:  # it is said where it is opened
        return []
