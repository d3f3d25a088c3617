"""Pass 2 in segments: each is made, stored and vouched for by itself, and a run that breaks off loses one at most."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from fsvideo import report
from fsvideo.journal import Work
from fsvideo.media.writer import PartsWriter
from fsvideo.memory import Memory
from fsvideo.meter import OFF, Meter
from fsvideo.options import SwapOptions
from fsvideo.render import FrameTask, Job, Key, Painter, Past, painted, past_as_record, past_from_record
from fsvideo.survey import Survey, decode_from, from_bytes, to_bytes
from fsvideo.swapper import Swapper
from fsvideo.types import Frame, MediaError, MediaInfo, Ui

_SURVEY = "survey.npz"


def surveyed(work: Work, look: Callable[[Memory], Survey]) -> Survey:
    """What pass 1 finds, or found before the run broke off."""
    if work.info(_SURVEY) is not None:
        return from_bytes(work.path(_SURVEY).read_bytes())
    memory = Memory(work)
    found = look(memory)
    work.put(_SURVEY, to_bytes(found))
    memory.forget()
    return found


def make(
    work: Work,
    writer: PartsWriter,
    found: Survey,
    info: MediaInfo,
    jobs: list[Job],
    swapper: Swapper,
    options: SwapOptions,
    ui: Ui,
    meter: Meter = OFF,
) -> list[Path]:
    """Make every segment that is not there yet; the segments' places, in order."""
    segments = found.segments
    for gap in _runs(missing(work, found, ui)):
        first = segments[gap.start].start
        before = work.info(name_of(gap.start - 1)) if gap.start else None
        painter = Painter(info, options, past_from_record(before["past"] if before else {}))
        source = meter.each("decode", decode_from(info, first, found, options, ui))
        with closing(painted(source, info, jobs, swapper, options, found.cuts, painter, meter)) as swapped:
            for number in gap:
                log = report.FrameLog(info, swapper) if options.report else None
                stretch = segments[number]
                last: deque[Mapping[Key, Past]] = deque(maxlen=1)
                made = shown(_noting(islice(swapped, len(stretch)), last), stretch, info, log, ui)
                with meter.stage("encode"):
                    writer.write_part(work.path(name_of(number)), made)
                past = past_as_record(last[0], jobs, stretch.stop)
                rows = log.frames if log is not None else []
                store(work, number, past, rows)
    return places(work, found)


def missing(work: Work, found: Survey, ui: Ui) -> list[int]:
    """The segments that are not there yet, by number; begins the stage that makes them."""
    segments = found.segments
    left = [number for number in range(len(segments)) if work.info(name_of(number)) is None]
    if len(left) < len(segments):
        ui.note(f"going on: {len(segments) - len(left)} of {len(segments)} segments are there")
    ui.stage("swap", sum(len(segments[number]) for number in left))
    return left


def name_of(number: int) -> str:
    """What a segment's part is called."""
    return f"{number:05}"


def store(work: Work, number: int, past: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Vouch for a segment that lies in its place: with what the next one needs of it, and its report's rows."""
    work.add(name_of(number), {"segment": number, "past": past, "report": rows})


def places(work: Work, found: Survey) -> list[Path]:
    """Where all segments are, in order."""
    return [work.path(name_of(number)) for number in range(len(found.segments))]


def rows(work: Work, found: Survey) -> list[dict[str, Any]]:
    """What the segments' reports say of each frame."""
    infos = [work.info(name_of(number)) for number in range(len(found.segments))]
    return [row for info in infos if info is not None for row in info["report"]]


def shown(
    swapped: Iterator[tuple[FrameTask, Frame]], stretch: range, info: MediaInfo, log: report.FrameLog | None, ui: Ui
) -> Generator[Frame]:
    """The frames of a stretch. Raises MediaError if they are not those that pass 1 saw."""
    number = stretch.start
    for task, frame in swapped:
        if frame.index != number:
            break
        number += 1
        if log is not None:
            log.add(task, frame)
        ui.advance()
        yield frame
    if number != stretch.stop:
        raise MediaError(f"{info.path}: changed while it was read", "leave it alone until the output is there")


def _noting(
    swapped: Iterator[tuple[FrameTask, Frame]], last: deque[Mapping[Key, Past]]
) -> Generator[tuple[FrameTask, Frame]]:
    """``swapped``; ``last`` holds the painter's past when the newest of them was painted: it has gone on since."""
    for task, frame in swapped:
        last.append(task.past)
        yield task, frame


def _runs(numbers: list[int]) -> Iterator[range]:
    """Runs of numbers that follow one another."""
    begin = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield range(numbers[begin], numbers[at - 1] + 1)
            begin = at
