"""The report as one HTML page that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import PurePath
from string import Template
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fsvideo.media import imagemeta
from fsvideo.report.people import Person, people_of
from fsvideo.report.plots import Axis, Line, Plot, figure, lanes
from fsvideo.report.samples import MOST, Sample
from fsvideo.report.sheet import clock
from fsvideo.types import Image

Rows = Sequence[tuple[str, str]]

_QUALITY = 82  # of WebP
_MOST_PEOPLE = 12  # with plots; the others have a line in the table


def html(
    document: Mapping[str, Any],
    facts: Rows,
    said: Rows,
    tags: Mapping[str, str],
    samples: Iterable[Sample],
    times: npt.NDArray[np.float64],
) -> str:
    """The page. ``document``: the report as data; ``facts``: the run in words; ``said``: what the output says of
    itself; ``tags``: the mark of synthetic media; ``times``: of every frame, seconds.
    """
    style, script = (_file(name) for name in ("page.css", "page.js"))
    name = PurePath(document["input"]).name
    times = times - times[0]
    people = people_of(document["per_frame"])
    axis = Axis(times, [float(times[cut]) for cut in document["cuts"]])
    over_time = len(times) > 1 and axis.span > 1e-3 and len(people) > 0
    parts = {
        "style": style,
        "script": script,
        "style_hash": _hash(style),
        "script_hash": _hash(script),
        "mark": _safe(tags["comment"]),
        "machine_mark": _safe(tags["synthetic_media"]),
        "title": _safe(f"{name}: fsvideo report"),
        "heading": f"What fsvideo did to {_safe(name)}",
        "warning": _warning(document),
        "figures": _figures(document, people),
        "notes": "".join(f"<p>Note: {_safe(note)}.</p>" for note in document["notes"]),
        "pairs": _pairs(list(samples), tags),
        "timeline": _timeline(people, axis) if over_time else "",
        "people": _people(people, axis, over_time),
        "facts": _table([*facts, *_sources(document)]),
        "provenance": f"<h2>How the output is marked</h2>{_MARKS}{_table(said)}" if said else "",
        "settings": _table(_flat(document["recipe"])),
    }
    return Template(_file("page.html")).substitute(parts)


_MARKS = "<p>What <code>fsvideo verify</code> reads in it. Marks can be removed: their absence proves nothing.</p>"


def _file(name: str) -> str:
    return resources.files("fsvideo.report").joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _safe(text: object) -> str:
    """Any string as text of a page: a name on disk need not be UTF-8."""
    return escape(str(text).encode(errors="surrogateescape").decode(errors="replace"))


def _table(rows: Rows) -> str:
    body = "".join(f"<tr><th>{_safe(name)}</th><td>{_safe(value)}</td></tr>" for name, value in rows)
    return f'<table class="rows">{body}</table>'


def _sources(document: Mapping[str, Any]) -> Rows:
    return [("source" if not n else "", source) for n, source in enumerate(document["sources"])]


def _flat(recipe: Mapping[str, Any]) -> Rows:
    """The recipe's entries, hashes and settings, as rows."""
    rows: list[tuple[str, str]] = []
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}: {key}", str(one)) for key, one in value.items()]
        elif isinstance(value, list):
            rows += [(name, str(one)) for one in value]
        elif value is not None:
            rows.append((name, ("yes" if value else "no") if isinstance(value, bool) else str(value)))
    hashed = ("input", "source", "reference", "weights: ")
    return [(f"{name}, sha256" if name.startswith(hashed) else name, value) for name, value in rows]


def _warning(document: Mapping[str, Any]) -> str:
    if document["provenance"] == "none":
        return "No face was swapped: the output shows what the input shows."
    return (
        f"<strong>The output is synthetic.</strong> In {document['frames_swapped']} of {document['frames']} frames a "
        "trained model has painted another face over a person's own. It shows something that nobody did. Say so "
        "wherever it is shown, and use it only with the consent of those it shows. The pictures marked "
        "“after” on this page are synthetic, too."
    )


def _figures(document: Mapping[str, Any], people: Sequence[Person]) -> str:
    cards = [
        ("frames swapped", f"{document['frames_swapped']} of {document['frames']}"),
        ("people found", str(document["people"])),
        ("cuts", str(len(document["cuts"]))),
    ]
    if people:

        def mean(measure: str) -> float:
            return float(np.nanmean(np.concatenate([getattr(p, measure) for p in people])))

        cards += [
            ("similarity to the source, mean", f"{mean('to_source'):.2f}"),
            ("similarity to the target, mean", f"{mean('to_target'):.2f}"),
        ]
        if any(np.isfinite(p.flicker).any() for p in people):
            cards.append(("flicker added, mean", f"{mean('added'):+.2f} levels"))
        cards.append(("detections filled in", str(int(sum(p.filled.sum() for p in people)))))
    return '<dl class="figures">' + "".join(f"<div><dt>{n}</dt><dd>{_safe(v)}</dd></div>" for n, v in cards) + "</dl>"


def _pairs(samples: Sequence[Sample], tags: Mapping[str, str]) -> str:
    if not samples:
        return ""
    shown = "".join(_pair(sample, tags) for sample in samples[:MOST])
    return (
        "<h2>Before and after</h2><p>Cut out around the faces. Drag across a picture, or choose it with the Tab key "
        "and use the arrow keys. Frames that are an extreme of what was measured say so; the others are spread over "
        'the clip.</p><label class="all">after <input type="range" min="0" max="100" value="50" '
        f'aria-label="all pictures: how much of each shows before"> before</label><div class="pairs">{shown}</div>'
    )


def _pair(sample: Sample, tags: Mapping[str, str]) -> str:
    time = clock(sample.seconds)
    height, width = sample.after.shape[:2]
    size = f'width="{width}" height="{height}"'
    why = f"<em>{_safe(sample.why)}</em>" if sample.why else ""
    return (
        f'<figure class="pair"><div class="stage"><img class="after" {size} alt="after, at {time}: synthetic" '
        f'src="{_picture(sample.after, tags)}"><img class="before" {size} alt="before, at {time}" '
        f'src="{_picture(sample.before, {})}"><b>before</b><b>after</b><i></i><input type="range" min="0" max="100" '
        f'value="50" aria-label="at {time}: how much of the picture shows before"></div>'
        f"<figcaption><span>{time}</span><span>frame {sample.index}</span>{why}</figcaption></figure>"
    )


def _picture(rgb: Image, tags: Mapping[str, str]) -> str:
    """A data URI; a synthetic picture carries the mark when it is saved from the page."""
    webp = bytes(cv2.imencode(".webp", rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1])
    if tags:
        webp = imagemeta.embed(webp, imagemeta.ImageMeta(text=dict(tags)))
    return "data:image/webp;base64," + base64.b64encode(webp).decode()


def _timeline(people: Sequence[Person], axis: Axis) -> str:
    lines = [(p.name, p.swapped, p.filled) for p in people]
    cuts = " Dashed: a cut, where another shot begins." if axis.cuts else ""
    return (
        "<h2>Who is swapped when</h2><p>Bars: frames in which somebody is swapped. Shaded: the detector missed the "
        "face there, and its place was filled in from the frames around." + cuts + "</p>"
        f'<div class="timeline">{lanes(lines, axis)}</div>'
    )


def _people(people: Sequence[Person], axis: Axis, over_time: bool) -> str:
    if not people:
        return ""
    names = ("frames", "to source", "to target", "flicker", "of the original", "mask, pixels", "filled in")
    head = "".join(f"<th>{name}</th>" for name in ("", *names))
    body = "".join(f"<tr><th>{p.name}</th>" + "".join(f"<td>{v}</td>" for v in _numbers(p)) + "</tr>" for p in people)
    text = (
        "<h2>People</h2><p>Means over the frames in which a person is swapped. Similarities are cosines: about 0 for "
        "strangers, 0.6 on average for two photos of one person. A good swap is near the source and far from the "
        "target. It is the recogniser that the swapper works with that says so, and it is easily pleased: "
        "<code>fsvideo evaluate</code> asks another one.</p>"
        f'<div class="wide"><table class="numbers"><tr>{head}</tr>{body}</table></div>'
    )
    if not over_time:
        return text
    if len(people) > _MOST_PEOPLE:
        text += f"<p>Plots of the first {_MOST_PEOPLE}, who fill most of the clip:</p>"
    for person in people[:_MOST_PEOPLE]:
        plots = "".join(figure(plot, axis) for plot in _plots(person))
        text += f'<h3>{person.name}</h3><div class="plots">{plots}</div>'
    return text


def _numbers(person: Person) -> list[str]:
    def mean(values: npt.NDArray[np.float64], digits: int) -> str:
        return f"{np.nanmean(values):.{digits}f}" if np.isfinite(values).any() else "not measured"

    return [
        str(int(person.swapped.sum())),
        *(mean(values, 2) for values in (person.to_source, person.to_target, person.flicker, person.own_flicker)),
        mean(person.area, 0),
        str(int(person.filled.sum())),
    ]


def _plots(person: Person) -> list[Plot]:
    def plot(title: str, unit: str, about: str, *lines: Line, **more: float) -> Plot:
        return Plot(title, unit, about, lines, person.tracks, person.filled, **more)

    return [
        plot(
            "Similarity",
            "cosine",
            "How like the source and how like the person before the swap the new face is. The first line above the "
            "second: it worked. A dip is a moment to look at.",
            Line("to the source", person.to_source),
            Line("to the target", person.to_target),
            floor=0.0,
            ceiling=1.0,
        ),
        plot(
            "Head pose",
            "degrees",
            "Where the face of the input looks; 0 is into the camera. Far turned faces come out worse, and are left as "
            "they are in the end.",
            Line("yaw (left, right)", person.pose[:, 0]),
            Line("pitch (up, down)", person.pose[:, 1]),
            Line("roll (tilt)", person.pose[:, 2]),
            floor=-20.0,
            ceiling=20.0,
        ),
        plot(
            "Flicker",
            "levels of 255",
            "Mean change of the face from one frame to the next that motion does not explain, before encoding. What "
            "the result has above the original is flicker that the swap added.",
            Line("of the result", person.flicker),
            Line("of the original", person.own_flicker),
            floor=0.0,
        ),
        plot(
            "Size of the mask",
            "thousand pixels of the frame",
            "How much of the picture is replaced. Small faces hold little detail. A jump within a shot is a lost "
            "track.",
            Line("mask", person.area / 1000),
            floor=0.0,
        ),
    ]
