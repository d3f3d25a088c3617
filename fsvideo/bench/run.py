"""All measurements of `fsvideo bench`, and what they come to."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsvideo.bench import ceilings, network, plain, whole
from fsvideo.bench.setup import BenchOptions, cores, set_threads
from fsvideo.console import Silent
from fsvideo.meter import Cost, StageMeter
from fsvideo.pipeline import swap
from fsvideo.processor import has_bfloat16
from fsvideo.types import MediaInfo, Ui

# What is shown as one stage, and what the run calls its parts.
STAGES: dict[str, tuple[str, ...]] = {
    "decode": ("decode to find", "decode"),
    "find": ("shrink", "find", "recognise"),
    "crop": ("crop",),
    "network": ("network",),
    "refine": ("refine",),
    "blend": ("mask", "blend"),
    "encode": ("encode",),
    "provenance": ("sign",),
    "rest": ("rest",),
}
NETWORK, ENCODE = ("network", "refine"), ("encode",)


@dataclass(frozen=True)
class Stages:
    """A run whose stages followed one another in one thread. ``start``: what it costs before the first frame."""

    frames: int
    costs: dict[str, Cost]  # by the names of STAGES
    parts: dict[str, Cost]  # by the run's own names
    start: Cost


def stages(options: BenchOptions) -> Stages:
    """Measure each stage. Raises FsvideoError where the clip cannot be swapped."""
    meter = StageMeter()
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        wanted, swapper = options.swap_options(Path(folder) / "out.mp4", 1), options.load()
        with network.told_apart(swapper, meter), meter.stage("rest"):
            result = swap(wanted, swapper, Silent(), meter=meter)
    start = meter.costs.pop("start", Cost())
    costs = {}
    for stage, parts in STAGES.items():
        spent = [meter.costs[part] for part in parts if part in meter.costs]
        if spent:
            costs[stage] = Cost(sum(one.cpu for one in spent), sum(one.wall for one in spent))
    return Stages(result.frames, costs, dict(meter.costs), start)


@contextmanager
def _one_thread() -> Iterator[None]:
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    set_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def bench(options: BenchOptions, ui: Ui) -> dict[str, Any]:
    """Measure everything: a document for JSON, every name with its unit. Raises FsvideoError."""
    import torch

    info = options.probe()
    ui.stage("whole run", 0)
    complete = whole.run(options)
    swapper = options.load()
    device = getattr(swapper, "device", torch.device("cpu"))
    threads = options.threads or cores()
    set_threads(threads)
    ui.stage("ceilings", 0)
    products = {"fp32": ceilings.matrix_product(device, torch.float32)}
    if has_bfloat16(device):
        products["bf16"] = ceilings.matrix_product(device, torch.bfloat16)
    copy = ceilings.memory_copy()
    ui.stage("network", 0)
    flop, seconds = network.operations(swapper), network.seconds(swapper, options.batch_size)
    precision = "bf16" if "bfloat16" in swapper.backend and "bf16" in products else "fp32"
    numbers = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    products[precision] = max(products[precision], ceilings.matrix_product(device, numbers))
    ui.stage("stages", 0)
    apart = stages(options)
    ui.stage("ffmpeg", 0)
    length = min(options.seconds, info.duration or options.seconds)
    bare = {"decode": plain.decoding(info, length), "encode": plain.encoding(info, length)}
    return {
        "clip": _clip(info, apart.frames, complete),
        "model": swapper.name,
        "backend": swapper.backend,
        "machine": {"cores": cores(), "threads": threads, "device": str(device)},
        "ceilings": {"matrix_product_gflop_per_s": products, "memory_copy_gb_per_s": copy},
        "network": {
            "gmac_per_face": flop / 2e9,
            "ms_per_face": 1e3 * seconds,
            "gflop_per_s": flop / seconds / 1e9,
            "ceiling": precision,
            "share_of_ceiling": flop / seconds / 1e9 / products[precision],
        },
        **_of_stages(apart),
        "ffmpeg": {f"{name}_cpu_ms_per_frame": 1e3 * cpu / apart.frames for name, cpu in bare.items()},
        "whole": _of_whole(complete, apart, device.type != "cpu"),
    }


def _clip(info: MediaInfo, frames: int, complete: whole.Whole) -> dict[str, Any]:
    size = {"width": info.display_width, "height": info.display_height}
    return {"name": info.path.name, **size, "frames": frames, "faces_per_frame": complete.faces / complete.frames}


def _of_stages(apart: Stages) -> dict[str, Any]:
    def each(costs: dict[str, Cost]) -> dict[str, Any]:
        wall = sum(cost.wall for cost in apart.costs.values())
        return {
            name: {"cpu_ms_per_frame": 1e3 * cost.cpu / apart.frames, "wall_share": cost.wall / wall}
            for name, cost in costs.items()
        }

    other = [cost.cpu for name, cost in apart.costs.items() if name not in (*NETWORK, *ENCODE)]
    return {
        "stages": each(apart.costs),
        "parts": each(apart.parts),
        "cpu_ms_per_frame": 1e3 * sum(cost.cpu for cost in apart.costs.values()) / apart.frames,
        "cpu_ms_per_frame_beside_network_and_encode": 1e3 * sum(other) / apart.frames,
    }


def _of_whole(complete: whole.Whole, apart: Stages, own_device: bool) -> dict[str, Any]:
    """``wall_over_busiest``: 1 where the cores, or the device of the network, never wait for anything."""
    busiest = complete.cpu / cores()
    if own_device:
        busiest = max(busiest, sum(apart.costs[name].wall for name in NETWORK if name in apart.costs))
    return {
        "frames_per_s": complete.frames / complete.wall,
        "wall_s": complete.wall,
        "cpu_s": complete.cpu,
        "cpu_ms_per_frame": 1e3 * complete.cpu / complete.frames,
        "wall_over_busiest": complete.wall / busiest,
        "start_up_wall_s": complete.start_wall,
        "start_up_cpu_s": complete.start_cpu,
        "peak_memory_mb": complete.peak / 1e6,
    }
