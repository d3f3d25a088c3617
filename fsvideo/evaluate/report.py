"""An evaluation as tables, JSON, Markdown, sheets of faces and plots."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import fsvideo
from fsvideo.evaluate.figures import Section
from fsvideo.report import publish

_COSINES = ("cosine to source", "cosine to target")


def grid(section: Section) -> tuple[list[str], list[list[str]]]:
    """A header and rows for a table: a figure and its unit a row, a swapper a column; the number of samples last."""
    header = ["", *(c.name for c in section.columns), "samples"]
    fullest = sorted(section.columns, key=lambda c: -len(c.figures))  # its order of rows
    units = {f.name: f.unit for c in fullest for f in c.figures}
    rows = []
    for name in units:
        found = [next((f for f in c.figures if f.name == name), None) for c in section.columns]
        counts = {f.samples for f in found if f is not None}
        samples = str(counts.pop()) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        label = f"{name}, {units[name]}" if units[name] else name
        rows.append([label, *("" if f is None else number(f.value) for f in found), samples])
    return header, rows


def number(value: float) -> str:
    """Three digits that count, or whole numbers."""
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def document(sections: Sequence[Section], settings: dict[str, Any]) -> dict[str, Any]:
    """Everything as one JSON value."""
    return {
        "fsvideo": fsvideo.__version__,
        "settings": settings,
        "sections": [
            {
                "title": s.title,
                "about": s.about,
                "swappers": [
                    {
                        "name": c.name,
                        "figures": [{**asdict(f), "value": round(f.value, 6)} for f in c.figures],
                        "samples": {name: [round(v, 4) for v in values] for name, values in c.values.items()},
                    }
                    for c in s.columns
                ],
            }
            for s in sections
        ],
    }


def markdown(sections: Sequence[Section], settings: dict[str, Any]) -> str:
    """The tables, what they mean and the pictures beside them."""
    lines = [f"# Evaluation, fsvideo {fsvideo.__version__}", ""]
    lines += [", ".join(f"{name}: {value}" for name, value in settings.items()), ""]
    for section in sections:
        lines += [f"## {section.title}", "", *section.about, ""]
        if section.columns:
            header, rows = grid(section)
            lines += [_row(header), _row(["---"] + ["---:"] * (len(header) - 1)), *map(_row, rows), ""]
        if section.sheet is not None:
            lines += [f"![faces: {section.title}]({section.file})", ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def write(folder: Path, sections: Sequence[Section], settings: dict[str, Any]) -> list[Path]:
    """evaluation.json, evaluation.md, a sheet of faces a section and plots, each whole or not at all."""
    files = {
        "evaluation.json": json.dumps(document(sections, settings), indent=1).encode(),
        "evaluation.md": markdown(sections, settings).encode(),
    }
    for section in sections:
        if section.sheet is not None:
            files[section.file] = bytes(cv2.imencode(".png", section.sheet[..., ::-1])[1])
        if section.columns and any(name in c.values for c in section.columns for name in _COSINES):
            files[f"{Path(section.file).stem}_identity.png"] = _plot(section)
    paths = [folder / name for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        publish(path, content)
    return paths


def _plot(section: Section) -> bytes:
    """How the cosines to source and target are spread, a panel a column."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.6 * len(section.columns)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(len(section.columns), sharex=True))
    bins = np.linspace(-0.4, 1, 57).tolist()
    for panel, column in zip(panels, section.columns, strict=True):
        for name in _COSINES:
            panel.hist(column.values.get(name, []), bins, alpha=0.6, label=name)
        panel.set_title(column.name, fontsize=9, loc="left")
        panel.set_ylabel("samples", fontsize=8)
    panels[0].legend(fontsize=8)
    panels[-1].set_xlabel("cosine, by the judge", fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, metadata={"Software": None})
    return picture.getvalue()
