"""The words for what a run found and made."""

from __future__ import annotations

from typing import Any

from fsvideo.types import MediaInfo, SwapOptions, SwapResult

_MATRIX = {0: "RGB", 1: "BT.709", 2: "untagged colour", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}


def describe(info: MediaInfo) -> str:
    """One line on an input: size, rate, colour, what else is in it."""
    parts = [f"{info.display_width} x {info.display_height}"]
    if info.kind == "video" and info.rate is not None:
        parts.append(f"{float(info.rate):.5g} frames/s" + (" variable" if info.variable_rate else ""))
    parts.append(f"{info.codec}, {info.bit_depth} bit, {_MATRIX.get(info.color.matrix, f'matrix {info.color.matrix}')}")
    if info.rotation or info.mirrored:
        parts.append(f"turned {info.rotation} degrees" + (", mirrored" if info.mirrored else ""))
    if info.interlaced:
        parts.append("interlaced")
    parts += [*info.audio, *(f"subtitles {s}" for s in info.subtitles)]
    return " | ".join(parts)


def found_rows(result: SwapResult) -> list[tuple[str, str]]:
    """What the input holds."""
    times = result.footage.times
    seconds = float(times[-1] - times[0]) if len(times) else 0.0
    length = f"{result.frames} frames, {seconds:.2f} s" if result.frames != 1 else "1 frame"
    people, cuts = result.people, len(result.footage.cuts)
    shots = f", {cuts} cut{'s' * (cuts != 1)}" if cuts else ""
    return [
        ("input", describe(result.info)),
        ("length", length + shots),
        ("faces", f"{people} {'person' if people == 1 else 'people'} in {len(result.footage.tracks)} tracks"),
    ]


def made_rows(result: SwapResult, options: SwapOptions, dry_run: bool) -> list[tuple[str, str]]:
    """What was made, or would be."""
    verb = "would be swapped" if dry_run else "swapped"
    rows = [
        ("model", result.model),
        (verb, f"{result.swapped_faces} faces in {result.swapped_frames} of {result.frames} frames"),
    ]
    rows += [("note", note) for note in result.notes]
    if dry_run:
        rows.append(("would write", str(options.output)))
    elif options.preview is not None:
        rows.append(("preview", str(options.preview)))
    else:
        size = result.output.stat().st_size / 1e6 if result.output and result.output.is_file() else 0.0
        rows.append(("output", f"{result.output}" + (f" ({size:.1f} MB)" if size else "")))
        rows += [(name, str(path)) for name, path in (("compare", options.compare), ("report", options.report)) if path]
    rate = result.frames / result.seconds if result.seconds else 0.0
    rows.append(("time", f"{result.seconds:.1f} s, {rate:.1f} frames/s over both passes"))
    return rows


def as_dict(result: SwapResult) -> dict[str, Any]:
    """The machine-readable result."""
    return {
        "input": str(result.input),
        "output": None if result.output is None else str(result.output),
        "model": result.model,
        "frames": result.frames,
        "frames_swapped": result.swapped_frames,
        "faces_swapped": result.swapped_faces,
        "people": result.people,
        "cuts": result.footage.cuts,
        "seconds": round(result.seconds, 3),
        "notes": result.notes,
    }
