"""`fsvideo bench` through the command line: numbers that make sense, files, errors. Nothing here is about speed."""

from __future__ import annotations

import gc
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from commandline import run
from media_fixtures import clip

from fsvideo import heap
from fsvideo.bench import whole
from fsvideo.bench.run import STAGES
from fsvideo.meter import OFF, StageMeter

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_what_is_measured_is_plausible(tmp_path: Path) -> None:
    done = run("bench", "--model", "tiny", "--seconds", 0.2, "--json", "--output", tmp_path / "new" / "bench")
    found = json.loads(done.stdout)
    assert found["clip"] == {**found["clip"], "width": 640, "height": 480, "frames": 5, "faces_per_frame": 1.0}
    assert found["ceilings"]["matrix_product_gflop_per_s"]["fp32"] > 1
    assert found["ceilings"]["memory_copy_gb_per_s"] > 0.1
    assert 0.001 < found["network"]["gmac_per_face"] < 1 and 0 < found["network"]["share_of_ceiling"] < 1.5
    stages, parts = found["stages"], found["parts"]
    assert set(stages) == set(STAGES) - {"refine"}  # tiny has no HEAR-Net
    assert sum(one["wall_share"] for one in stages.values()) == pytest.approx(1)
    cpu = {name: one["cpu_ms_per_frame"] for name, one in stages.items()}
    assert all(value > 0 for value in cpu.values())
    assert sum(cpu.values()) == pytest.approx(found["cpu_ms_per_frame"])
    assert sum(one["cpu_ms_per_frame"] for one in parts.values()) == pytest.approx(found["cpu_ms_per_frame"])
    beside = found["cpu_ms_per_frame_beside_network_and_encode"]
    assert beside == pytest.approx(sum(cpu.values()) - cpu["network"] - cpu["encode"])
    assert found["ffmpeg"]["decode_cpu_ms_per_frame"] >= 0 and found["ffmpeg"]["encode_cpu_ms_per_frame"] > 0
    whole_run = found["whole"]
    assert whole_run["wall_over_busiest"] > 0.9  # no faster than its cores allow
    assert whole_run["frames_per_s"] == pytest.approx(5 / whole_run["wall_s"])
    assert whole_run["start_up_cpu_s"] > 0 and 100 < whole_run["peak_memory_mb"] < 4000
    assert json.loads((tmp_path / "new" / "bench" / "bench.json").read_text()) == found
    plot = cv2.imread(str(tmp_path / "new" / "bench" / "bench.png"))
    assert plot is not None and plot.std() > 10


@pytest.mark.slow
def test_what_users_get_is_what_is_measured() -> None:
    """The shipped model on the backend that a swap takes: one graph, compared with the ceiling of its own precision."""
    pytest.importorskip("openvino")
    found = json.loads(run("bench", "--seconds", 0.2, "--json").stdout)
    assert found["backend"].startswith("openvino") and found["model"].endswith("with HEAR-Net")
    assert found["network"]["ceiling"] == ("bf16" if "bfloat16" in found["backend"] else "fp32")
    assert found["network"]["gmac_per_face"] > 1 and 0 < found["network"]["share_of_ceiling"] < 1.5
    assert set(found["stages"]) == set(STAGES) - {"refine"}
    plain = json.loads(run("bench", "--backend", "torch", "--seconds", 0.2, "--json").stdout)
    assert plain["backend"].startswith("torch") and set(plain["stages"]) == set(STAGES)
    assert plain["network"]["gmac_per_face"] == pytest.approx(found["network"]["gmac_per_face"])


def test_what_cannot_be_measured_is_said_in_one_line(tmp_path: Path) -> None:
    missing = run("bench", "--input", tmp_path / "none.mp4", code=1)
    assert "none.mp4" in missing.stderr and not missing.stdout
    photo = run("bench", "--input", ROOT / "examples" / "astronaut.png", code=1)
    assert "needs a video" in photo.stderr
    run("bench", "--seconds", 0, code=2)
    (tmp_path / "bench.png").write_text("mine")
    taken = run("bench", "--seconds", 0.2, "--output", tmp_path, code=1)
    assert "bench.png exists already" in taken.stderr and "--overwrite" in taken.stderr
    assert (tmp_path / "bench.png").read_text() == "mine"
    replaced = run("bench", "--input", tmp_path / "none.mp4", "--output", tmp_path, "--overwrite", code=1)
    assert "none.mp4" in replaced.stderr  # nothing else stood in the way


def test_a_run_that_fails_in_its_process_says_why(tmp_path: Path) -> None:
    clip = ROOT / "examples" / "astronaut.mp4"
    failed = run("bench", "--input", clip, "--model", tmp_path / "none.safetensors", "--seconds", 0.2, code=1)
    assert "none.safetensors" in failed.stderr


def test_a_clip_that_shows_nobody_is_not_measured(tmp_path: Path) -> None:
    said = run("bench", "--input", clip(tmp_path / "nobody.mp4", seconds=0.2), "--model", "warp", code=1).stderr
    assert "no face to swap was found" in said and "--no-face" not in said


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_a_stage_in_another_counts_for_itself_alone() -> None:
    meter = StageMeter()

    def source() -> Iterator[int]:
        for number in range(3):
            burn(0.02)
            with meter.stage("inner"):
                burn(0.01)
            yield number

    with meter.stage("outer"):
        assert list(meter.ahead(meter.each("make", source()), 2)) == [0, 1, 2]
        burn(0.03)
    cpu = {name: cost.cpu for name, cost in meter.costs.items()}
    assert cpu["make"] == pytest.approx(0.06, abs=0.015) and cpu["inner"] == pytest.approx(0.03, abs=0.01)
    assert cpu["outer"] == pytest.approx(0.03, abs=0.015)
    assert all(cost.wall >= cost.cpu - 0.01 for cost in meter.costs.values())


def test_an_error_in_a_stage_closes_it() -> None:
    meter, closed = StageMeter(), []

    def source() -> Iterator[int]:
        try:
            yield 1
            raise KeyError("broken")
        finally:
            closed.append(True)

    with pytest.raises(KeyError), meter.stage("outer"):
        list(meter.each("make", source()))
    assert closed == [True] and set(meter.costs) == {"outer", "make"}
    with meter.stage("next"):
        burn(0.001)
    assert meter.costs["next"].cpu > 0


def test_a_meter_that_is_off_leaves_all_as_it_is() -> None:
    items = [1, 2, 3]
    assert OFF.each("make", items) is items
    assert OFF.stage("one") is OFF.stage("two")
    assert list(OFF.ahead(items, 2)) == items


def test_the_peak_is_what_was_held() -> None:
    heap.keep()
    before = whole.peak()
    ballast = np.ones(before + (64 << 20), np.uint8)
    assert whole.peak() > before + (32 << 20) and ballast[-1] == 1


def test_what_is_loaded_is_never_looked_through_for_garbage() -> None:
    """Modules stay; garbage that is made later is still found."""
    before = gc.get_freeze_count()
    try:
        with heap.loading():
            assert not gc.isenabled()
            module = [[] for _ in range(1000)]
        assert gc.isenabled() and gc.get_freeze_count() >= before + len(module)
        ring: list[object] = []
        ring.append(ring)
        del ring
        assert gc.collect() >= 1
        with pytest.raises(ImportError), heap.loading():
            raise ImportError
        assert gc.isenabled()
    finally:
        gc.unfreeze()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heap of another C library is left as it is")
def test_freed_memory_is_kept_until_it_is_given_back() -> None:
    """In a process of its own, whose heap nobody else's pieces lie in."""
    script = """
import numpy as np
from fsvideo import heap

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

assert heap.keep()
begin = held()
pieces = [np.ones(1 << 20, np.uint8) for _ in range(200)]
del pieces[::2]  # nothing at the end is free
kept = held()
heap.give_back()
print(kept - begin, held() - begin)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    kept, left = map(int, said.split())
    assert kept > 180 and left < 130
