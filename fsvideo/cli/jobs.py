"""Many inputs in one run: a folder of videos, and lists of jobs in CSV files."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsvideo.cli.common import seconds_of
from fsvideo.options import SwapOptions
from fsvideo.places import marks
from fsvideo.types import FsvideoError, MediaError

if TYPE_CHECKING:
    from fsvideo.console import Terminal

COLUMNS = ("source", "input", "output", "reference", "start", "end")
_NEEDED = ("source", "input")
_BETWEEN = ";"  # several sources in a cell
VIDEOS = frozenset(  # by name: what a folder is taken for must not wait until all of it was opened
    {".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".mxf", ".ogv", ".ts", ".webm", ".wmv"}
)


def inputs_in(path: Path) -> list[Path]:
    """``path`` itself; or, where it is a folder of videos, each of them, in natural order.

    A folder of images is one clip. One of videos may hold other things, but no images: nobody could say which is meant.
    ``NAME-swapped.EXT`` is left out where NAME is there too: it is an earlier run's output.
    """
    if not path.is_dir():
        return [path]
    from fsvideo.media.read import IMAGES, in_natural_order

    found = [one for one in path.iterdir() if one.is_file() and not one.name.startswith(".")]
    videos = [one for one in found if one.suffix.lower() in VIDEOS]
    if not videos:
        return [path]
    image = next((one for one in found if one.suffix.lower() in IMAGES), None)
    if image is not None:
        raise MediaError(
            f"{path}: holds videos and images ({videos[0].name}, {image.name})",
            "a folder is either one clip of images or a batch of videos: separate them, or name each with --input",
        )
    stems = {one.stem for one in videos}
    return in_natural_order(one for one in videos if one.stem.removesuffix("-swapped") not in stems - {one.stem})


def read_jobs(path: Path, base: SwapOptions) -> list[SwapOptions]:
    """The jobs of a CSV file; what its columns do not say is as in ``base``.

    Relative paths are relative to the file. Raises FsvideoError that names every wrong line, and why it is.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            lines = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except OSError as error:
        raise FsvideoError(f"{path}: cannot be read ({error.strerror})", "check the name") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FsvideoError(f"{path}: not a CSV file ({error})", "save it as comma-separated UTF-8 text") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    _, header = lines[0] if lines else (0, [])
    strange = [name for name in header if name not in COLUMNS]
    missing = [name for name in _NEEDED if name not in header]
    if strange or missing or len(set(header)) < len(header):
        what = f"no column {missing[0]}" if missing else f"unknown or doubled columns in {', '.join(header)}"
        raise FsvideoError(f"{path}: {what}", f"the first line names the columns, of {','.join(COLUMNS)}")
    if len(lines) < 2:
        raise FsvideoError(f"{path}: there are no jobs in it", "one line a job below the header")
    jobs: list[SwapOptions] = []
    taken: dict[Any, int] = {}  # by outputs, the lines that have them
    wrong: list[str] = []
    for number, cells in lines[1:]:
        try:
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells, the header has {len(header)}")
            job = _job(dict(zip(header, cells, strict=True)), path.parent, base)
            twin = next((taken[mark] for mark in marks(job.output) if mark in taken), None)
            if twin is not None:
                raise ValueError(f"the output {job.output} is that of line {twin}, too")
            taken |= dict.fromkeys(marks(job.output), number)
            jobs.append(job)
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        raise FsvideoError("\n  ".join([f"{path}: nothing was done, as it is wrong in", *wrong]), "mend it, then again")
    return jobs


def _job(cells: dict[str, str], folder: Path, base: SwapOptions) -> SwapOptions:
    """One line. Raises ValueError with what is wrong."""
    from fsvideo.outputs import default_output

    for name in _NEEDED:
        if not cells[name]:
            raise ValueError(f"no {name}")
    sources = tuple(folder / name.strip() for name in cells["source"].split(_BETWEEN) if name.strip())
    path = folder / cells["input"]
    reference = folder / cells["reference"] if cells.get("reference") else base.reference
    for kind, place in (*(("source", one) for one in sources), ("input", path), ("reference", reference)):
        if place is not None and not place.exists():
            raise ValueError(f"the {kind} {place} does not exist")
    if inputs_in(path) != [path]:
        raise ValueError(f"the input {path} is a folder of videos: give each a line")
    output = folder / cells["output"] if cells.get("output") else default_output(path)
    if not output.parent.is_dir():
        raise ValueError(f"there is no folder {output.parent} for the output")
    try:
        start, end = (seconds_of(cells[n]) if cells.get(n) else getattr(base, n) for n in ("start", "end"))
    except ValueError as error:
        raise ValueError(f"{error} is not a time: give seconds (12.5) or h:mm:ss (0:01:02.5)") from error
    if end is not None and end <= (start or 0.0):
        raise ValueError("end must come after start")
    faces = "reference" if reference is not None else base.faces
    return replace(
        base, source=sources, input=path, output=output, reference=reference, faces=faces, start=start, end=end
    )


def jobs_of(
    sources: tuple[Path, ...], inputs: tuple[Path, ...], output: Path | None, terminal: Terminal, **rest: Any
) -> list[SwapOptions]:
    """A job for every input, and where its output goes."""
    from fsvideo.outputs import default_output

    paths = [path for one in inputs for path in inputs_in(one)]
    many = len(paths) > 1 or paths[0] != inputs[0]
    taken: dict[Any, Path] = {}  # by outputs, the inputs that have them
    if many and output is not None and not output.is_dir():
        raise FsvideoError(f"{output}: not a folder", "several inputs need an existing folder as --output")
    jobs: list[SwapOptions] = []
    for path in paths:
        usual = default_output(path)
        if (output is None or many) and usual.suffix != path.suffix:
            terminal.note(f"{path.name}: {path.suffix} cannot be written; it becomes {usual.suffix[1:].upper()}")
        place = output or usual
        if output is not None and many:
            place = output / f"{path.stem}{usual.suffix}"
        twin = next((taken[mark] for mark in marks(place) if mark in taken), None)
        if twin is not None:
            raise FsvideoError(f"{place}: would be the output of {twin} and of {path}", "give them other names")
        taken |= dict.fromkeys(marks(place), path)
        jobs.append(SwapOptions(source=sources, input=path, output=place, **rest))
    return jobs
