"""The report of a finished run, as data or as a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsvideo
from fsvideo.journal import digest
from fsvideo.media import provenance, read
from fsvideo.options import SwapOptions, SwapResult
from fsvideo.report import page
from fsvideo.report.files import publish, write_json
from fsvideo.report.samples import Row, take
from fsvideo.summary import describe, found_rows, made_rows, statement_rows
from fsvideo.swapper import Swapper
from fsvideo.types import MediaError, Ui

_PAGES = (".html", ".htm")


def check(path: Path) -> None:
    """Raise ``MediaError`` for a name that a report cannot have."""
    if path.suffix.lower() not in (*_PAGES, ".json"):
        raise MediaError(f"{path}: a report is a page or data", "name it .html or .json")


def write(
    options: SwapOptions, result: SwapResult, swapper: Swapper, recipe: Mapping[str, Any], rows: list[Row], ui: Ui
) -> None:
    """Write the report to ``options.report``, whole or not at all. ``rows``: FrameLog's. Raises FsvideoError."""
    assert options.report is not None and result.output is not None
    document = {
        "fsvideo": fsvideo.__version__,
        "model": swapper.name,
        "input": str(options.input),
        "output": str(result.output),
        "sources": [str(s) for s in (*options.source, *(s for part in options.parts for s in part.source))],
        "frames": result.frames,
        "frames_swapped": result.swapped_frames,
        "cuts": result.footage.cuts,
        "people": result.people,
        "notes": result.notes,
        "provenance": result.provenance,
        "recipe": dict(recipe),
        "per_frame": rows,
    }
    if options.report.suffix.lower() not in _PAGES:
        write_json(options.report, document)
        return
    ui.stage("report", 0)
    limits = read.NO_LIMITS if options.no_limits else read.LIMITS
    after = read.probe(result.output, limits)
    how: dict[str, Any] = {"threads": options.threads}
    if options.keep_going:
        how["on_damage"] = lambda error: None  # told in pass 1
    facts = [row for row in found_rows(result) + made_rows(result, options, False) if row[0] != "note"]
    facts += [("output holds", describe(after)), ("sha256 of the output", digest(result.output))]
    said = statement_rows(provenance.examine(result.output)) if result.output.is_file() else []
    tags = provenance.tags(fsvideo.__version__, swapper.name)
    text = page.html(document, facts, said, tags, take(result.info, after, rows, **how), result.footage.times)
    publish(options.report, text.encode())
