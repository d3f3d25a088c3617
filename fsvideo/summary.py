"""The words for what a run found and made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fsvideo.media.manifest import Manifest, Step
from fsvideo.media.provenance import Statement
from fsvideo.media.seal import can_be_signed
from fsvideo.options import Forecast, SwapOptions, SwapResult
from fsvideo.types import MediaInfo

_MATRIX = {0: "RGB", 1: "BT.709", 2: "untagged colour", 5: "BT.601", 6: "BT.601", 9: "BT.2020"}


def counted(number: int, word: str) -> str:
    """ "1 face", "2 faces"."""
    return f"{number} {word}" + "s" * (number != 1)


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
    seconds *= len(times) / max(1, len(times) - 1)  # the last frame is shown for a while, too
    length = f"{result.frames} frames, {seconds:.2f} s" if result.frames != 1 else "1 frame"
    if result.moments:
        length = f"{result.frames} frames looked at, at {result.moments} moments spread over {seconds:.0f} s"
    people, tracks, cuts = result.people, len(result.footage.tracks), len(result.footage.cuts)
    shots = f", {cuts} cut{'s' * (cuts != 1)}" if cuts else ""
    return [
        ("input", describe(result.info)),
        ("length", length + shots),
        ("faces", f"{people} {'person' if people == 1 else 'people'} in {tracks} track{'s' * (tracks != 1)}"),
    ]


def made_rows(result: SwapResult, options: SwapOptions, dry_run: bool) -> list[tuple[str, str]]:
    """What was made, or would be."""
    verb = "would be swapped" if dry_run or options.preview is not None else "swapped"
    faces = counted(result.swapped_faces, "face")
    rows = [
        ("model", result.model),
        ("backend", result.backend),
        (verb, f"{faces} in {result.swapped_frames} of {counted(result.frames, 'frame')}"),
    ]
    rows += [("note", note) for note in result.notes]
    if dry_run:
        return rows + _planned_rows(result, options)
    if options.preview is not None:
        rows.append(("preview", str(options.preview)))
    else:
        size = result.output.stat().st_size / 1e6 if result.output and result.output.is_file() else 0.0
        rows.append(("output", f"{result.output}" + (f" ({size:.1f} MB)" if size >= 0.05 else "")))
        rows.append(("marked", _marked(result, options)))
        rows += [(name, str(path)) for name, path in (("compare", options.compare), ("report", options.report)) if path]
    rate = result.frames / result.seconds if result.seconds else 0.0
    rows.append(("time", f"{result.seconds:.1f} s, {rate:.1f} frames/s over both passes"))
    return rows


def _planned_rows(result: SwapResult, options: SwapOptions) -> list[tuple[str, str]]:
    """What a dry run says of the run it stands for."""

    def place(path: Path, resumed: bool = False) -> str:
        refused = path.exists() and not options.overwrite and not resumed
        return f"{path}" + (" (exists already: needs --overwrite)" if refused else "")

    rows = [("would write", place(options.output, options.resume))]
    rows += [
        (f"would write {name}", place(path))
        for name, path in (("reel", options.compare), ("report", options.report))
        if path
    ]
    plan = result.forecast
    if plan is None:
        return rows
    if plan.encoder:
        rows.append(("encoder", plan.encoder))
    if plan.seconds is not None:
        work = "tune, swap and encode" if options.tune else "swap and encode"
        pass2 = f"{_span(plan.seconds)} to {work} (tried out on a few frames)"
        rows.append(
            ("would take", f"about {_span(result.seconds + plan.seconds)}: {pass2}, the rest to find the faces")
        )
    if plan.size is not None:
        need = _room(plan, options, result.info)
        short = need > plan.free
        enough = "NOT ENOUGH: make room, or choose another place" if short else "enough"
        rows.append(("disk", f"about {need / 1e6:.0f} MB needed, {plan.free / 1e6:.0f} MB free: {enough}"))
    return rows


def _room(plan: Forecast, options: SwapOptions, info: MediaInfo) -> int:
    """Bytes that are needed for a while: the parts, the whole, and the signed whole."""
    signed = options.provenance == "c2pa" and can_be_signed(options.output, info)
    return (plan.size or 0) * (3 if signed else 2)


def _span(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _marked(result: SwapResult, options: SwapOptions) -> str:
    """How the output says what it is."""
    if result.provenance == "none":
        return "no: nothing in it is edited"
    if result.provenance == "c2pa":
        return "as AI-edited, in a signed C2PA manifest and in tags"
    why = "" if options.provenance == "metadata" else f": {options.output.suffix} files hold no C2PA manifest"
    return f"as AI-edited, in tags only{why}"


def as_dict(result: SwapResult) -> dict[str, Any]:
    """The machine-readable result."""
    return {
        "input": str(result.input),
        "output": None if result.output is None else str(result.output),
        "model": result.model,
        "backend": result.backend,
        "frames": result.frames,
        "frames_swapped": result.swapped_frames,
        "faces_swapped": result.swapped_faces,
        "people": result.people,
        "cuts": result.footage.cuts,
        "seconds": round(result.seconds, 3),
        "provenance": result.provenance,
        "notes": result.notes,
        **({} if result.forecast is None else {"forecast": asdict(result.forecast)}),
    }


def statement_rows(statement: Statement) -> list[tuple[str, str]]:
    """What `fsvideo verify` shows of a file, the newest step of its history first."""
    manifest, rows = statement.manifest, [("file", str(statement.path))]
    rows.append(("manifest", "none (C2PA)" if manifest is None else _HOLDS[manifest.state]))
    if manifest is not None:
        rows += [("problem", problem) for problem in manifest.problems]
        for at, step in enumerate(manifest.steps):
            rows += _step_rows(
                step, "before that" if at else "made with", step.signer if at else _signer(step, manifest)
            )
    if statement.tags:
        rows += [(f"tag {key}", value) for key, value in statement.tags.items()]
        if statement.state == "tags":
            rows.append(("", "tags are not signed: anyone can write or remove them"))
    if statement.state == "nothing":
        rows.append(("", "it says nothing of AI; a mark can be removed, so this proves nothing"))
    return rows


_HOLDS = {
    "valid": "valid: the file is as it was signed",
    "altered": "ALTERED: the file is not what was signed",
    "invalid": "INVALID: the statement itself does not hold",
    "unread": "not read",
}
_TERMS = {
    "compositeWithTrainedAlgorithmicMedia": "a recording with parts made by a trained model",
    "trainedAlgorithmicMedia": "made by a trained model",
    "compositeSynthetic": "put together with synthetic parts",
    "digitalCapture": "a recording",
}


def _signer(step: Step, manifest: Manifest) -> str:
    if manifest.state != "valid":
        return f"{step.signer} (does not hold)"
    if manifest.trusted:
        return f"{step.signer} (trusted certificate)"
    return f"{step.signer} (untrusted certificate: nobody you named vouches for it; see --trust)"


def _step_rows(step: Step, title: str, signer: str) -> list[tuple[str, str]]:
    actions = ", ".join(action.removeprefix("c2pa.") for action in step.actions)
    terms = [source.rpartition("/")[2] for source in step.source_types]
    inputs = [f"{i.name}" + (f" (its own manifest was {i.state} then)" if i.state else "") for i in step.inputs]
    rows = [(title, step.tool), ("actions", actions), ("when", step.when and f"{step.when} (as stated)")]
    rows += [("source type", f"{term}: {_TERMS[term]}" if term in _TERMS else term) for term in terms]
    rows += [("model", step.model), *((name, f"sha256 {digest}") for name, digest in step.weights)]
    rows += [("made from", ", ".join(inputs)), ("signed by", signer)]
    return [(name, value) for name, value in rows if value]
