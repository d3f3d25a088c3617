"""The measurements of `fsvideo bench` as tables and as a picture."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from fsvideo.bench.run import ENCODE, NETWORK
from fsvideo.report import publish
from fsvideo.types import WriteError

Document = dict[str, Any]


def stage_table(found: Document) -> tuple[list[str], list[list[str]]]:
    """A header and a row for each stage."""
    rows = []
    for name, cost in found["stages"].items():
        bare = found["ffmpeg"].get(f"{name}_cpu_ms_per_frame")
        beside = "" if bare is None else f"{2 * bare:.2f} (twice)" if name == "decode" else f"{bare:.2f}"
        rows.append([name, f"{cost['cpu_ms_per_frame']:.2f}", f"{100 * cost['wall_share']:.0f} %", beside])
    rows.append(["together", f"{found['cpu_ms_per_frame']:.2f}", "100 %", ""])
    return ["stage", "CPU ms a frame", "share of time", "bare ffmpeg, CPU ms"], rows


def summary(found: Document) -> list[tuple[str, str]]:
    """A name and a value with its unit a row."""
    clip, machine, net, whole = (found[name] for name in ("clip", "machine", "network", "whole"))
    products = found["ceilings"]["matrix_product_gflop_per_s"]
    size = f"{clip['width']} x {clip['height']}, {clip['frames']} frames, {clip['faces_per_frame']:.2f} faces a frame"
    speed = f"{net['ms_per_face']:.1f} ms a face"
    if net["gmac_per_face"]:
        speed += f", {net['gmac_per_face']:.2f} GMAC, {net['gflop_per_s']:.0f} GFLOP/s"
        speed += f": {100 * net['share_of_ceiling']:.0f} % of the {net['ceiling']} ceiling"
    beside = found["cpu_ms_per_frame_beside_network_and_encode"]
    return [
        ("clip", f"{clip['name']}, {size}"),
        ("backend", found["backend"]),
        ("machine", f"{machine['cores']} cores, {machine['threads']} threads, networks on {machine['device']}"),
        ("matrix product", ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in products.items())),
        ("memory copy", f"{found['ceilings']['memory_copy_gb_per_s']:.1f} GB/s"),
        ("network", speed),
        ("beside network and encoder", f"{beside:.1f} CPU ms a frame"),
        ("whole run", f"{whole['frames_per_s']:.2f} frames/s, {whole['cpu_ms_per_frame']:.1f} CPU ms a frame"),
        ("wall over busiest resource", f"{whole['wall_over_busiest']:.2f}"),
        ("peak memory", f"{whole['peak_memory_mb']:.0f} MB"),
        ("start-up", f"{whole['start_up_wall_s']:.1f} s, of it {whole['start_up_cpu_s']:.1f} s CPU"),
    ]


def check(folder: Path, overwrite: bool) -> None:
    """Raises WriteError where ``write`` would replace what is there, unless that is wanted."""
    if not overwrite and (there := [path for path in _files(folder) if path.exists()]):
        raise WriteError(f"{there[0]} exists already", "add --overwrite to replace it, or choose another --output")


def write(found: Document, folder: Path) -> list[Path]:
    """bench.json and bench.png in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers, plot = _files(folder)
    publish(numbers, (json.dumps(found, indent=1) + "\n").encode())
    publish(plot, picture(found))
    return [numbers, plot]


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "bench.json", folder / "bench.png"


def picture(found: Document) -> bytes:
    """A PNG: a bar for each stage, and bare ffmpeg's beside those it has."""
    from matplotlib.figure import Figure

    names = list(found["stages"])
    values = [found["stages"][name]["cpu_ms_per_frame"] for name in names]
    colors = ["tab:gray" if name in (*NETWORK, *ENCODE) else "tab:blue" for name in names]
    figure = Figure(figsize=(8, 0.45 * len(names) + 1.2), layout="constrained")
    panel = figure.subplots()
    bars = panel.barh(names, values, color=colors)
    panel.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    for name, times in (("decode", 2), ("encode", 1)):
        if name in names:
            bare = times * found["ffmpeg"][f"{name}_cpu_ms_per_frame"]
            panel.plot([bare, bare], [names.index(name) - 0.45, names.index(name) + 0.45], color="black")
    panel.invert_yaxis()
    panel.margins(x=0.12)
    panel.set_xlabel("CPU ms a frame; black: bare ffmpeg for the same; grey: network and encoder")
    clip = found["clip"]
    panel.set_title(f"{clip['width']} x {clip['height']}, {clip['faces_per_frame']:.2g} faces a frame", fontsize=10)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
