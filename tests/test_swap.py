"""`fsvideo swap` from end to end, through the real command line on real media."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import peak
import pytest
from click.testing import Result
from commandline import run

from fsvideo.media import read
from fsvideo.media.provenance import read_tags

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "grace_hopper.jpg"
CLIP = ROOT / "examples" / "astronaut.mp4"
CLIPS = (
    "crowd.mp4",
    "dark_720p.mp4",
    "dark_outdoors.mp4",
    "expressions.mp4",
    "glasses_524.mp4",
    "glasses_talk_20s.mp4",
    "indoor_1080p.mp4",
    "portrait_720x1280_no_audio.mp4",
    "stage_cuts_mic_small_faces.mp4",
)


def swap(clip: Path, output: Path, *more: object, code: int = 0) -> Result:
    """A quick swap: the encoder's fastest preset."""
    return run(
        "swap", "--source", SOURCE, "--input", clip, "--output", output, "--preset", "ultrafast", *more, code=code
    )


def times(path: Path) -> list[float]:
    """The time of every frame, seconds."""
    info = read.probe(path)
    return [float(f.pts * info.time_base) for f in read.frames(info)]


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(audio=0) if p.size] if container.streams.audio else []


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first second of the example clip."""
    path = tmp_path_factory.mktemp("short") / "short.mp4"
    run(
        "swap",
        "--source",
        SOURCE,
        "--input",
        CLIP,
        "--output",
        path,
        "--model",
        "unchanged",
        "--end",
        "1",
        "--preset",
        "ultrafast",
    )
    return path


def test_example_is_swapped_and_everything_else_kept(tmp_path: Path) -> None:
    output, log = tmp_path / "out.mp4", tmp_path / "log.json"
    done = swap(CLIP, output, "--report", log, "--json")
    said = json.loads(done.stdout)
    before, after = times(CLIP), times(output)
    assert said["frames"] == len(before) == len(after)
    assert np.abs(np.subtract(before, after)).max() < 1e-3
    assert audio_packets(output) == audio_packets(CLIP) != []
    assert said["frames_swapped"] == said["frames"]
    report = json.loads(log.read_text())
    likeness = [
        (f["similarity_to_source"], f["similarity_to_target"]) for row in report["per_frame"] for f in row["faces"]
    ]
    assert len(likeness) == len(before)
    to_source, to_target = np.mean(likeness, axis=0)
    assert to_source > to_target
    assert "AI-edited" in read_tags(output)["comment"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_keeps_frames_times_and_sound(data: Path, tmp_path: Path, name: str) -> None:
    clip, output = data / "clips" / name, tmp_path / name
    swap(clip, output, "--end", "6") if "talk" in name else swap(clip, output)
    before, after = times(clip), times(output)
    if "talk" in name:
        before = [t for t in before if t < before[0] + 6]
    else:
        assert audio_packets(output) == audio_packets(clip)
    assert len(after) == len(before)
    assert np.abs(np.subtract(before, after)).max() < 1e-3


def test_a_swapper_that_returns_its_input_changes_nothing(tmp_path: Path) -> None:
    output = tmp_path / "same.mkv"
    run(
        "swap",
        "--source",
        SOURCE,
        "--input",
        CLIP,
        "--output",
        output,
        "--model",
        "unchanged",
        "--encoder",
        "ffv1",
        "--end",
        "1",
    )
    infos = [read.probe(p) for p in (CLIP, output)]
    for a, b in zip(read.frames(infos[0]), read.frames(infos[1]), strict=False):
        assert all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


def test_pixels_away_from_the_face_stay_exact(tmp_path: Path) -> None:
    output, log = tmp_path / "swapped.mkv", tmp_path / "log.json"
    run(
        "swap",
        "--source",
        SOURCE,
        "--input",
        CLIP,
        "--output",
        output,
        "--encoder",
        "ffv1",
        "--end",
        "0.4",
        "--report",
        log,
    )
    faces = [row["faces"] for row in json.loads(log.read_text())["per_frame"]]
    infos = [read.probe(p) for p in (CLIP, output)]
    changed = 0
    for a, b, found in zip(read.frames(infos[0]), read.frames(infos[1]), faces, strict=False):
        left, top, right, bottom = found[0]["region"]
        difference = np.abs(a.planes[0].astype(int) - b.planes[0])
        changed += int((difference[top:bottom, left:right] > 4).sum())
        difference[top:bottom, left:right] = 0
        assert difference.max() == 0
    assert changed > 1000


def test_image_and_folder_inputs(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    info = read.probe(CLIP)
    from fsvideo.media.view import upright

    for frame in read.frames(info, stop=0.2):
        cv2.imwrite(str(folder / f"{frame.index:03}.png"), upright(frame, info).rgb[..., ::-1])
    single = tmp_path / "one.png"
    (folder / "000.png").rename(single)
    run("swap", "--source", SOURCE, "--input", single, "--output", tmp_path / "one-out.png")
    before, after = (cv2.imread(str(p)).astype(int) for p in (single, tmp_path / "one-out.png"))
    assert before.shape == after.shape
    assert np.abs(before - after).max() > 20
    assert np.abs(before - after)[:40].max() == 0
    run("swap", "--source", SOURCE, "--input", folder, "--output", tmp_path / "frames-out")
    assert sorted(p.name for p in (tmp_path / "frames-out").iterdir()) == sorted(p.name for p in folder.iterdir())


def test_several_inputs_go_on_after_a_failure(short: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a film")
    out = tmp_path / "out"
    out.mkdir()
    arguments = (
        "swap",
        "--source",
        SOURCE,
        "--input",
        broken,
        "--input",
        short,
        "--output",
        out,
        "--model",
        "tiny",
        "--json",
    )
    done = run(*arguments, code=1)
    results = json.loads(done.stdout)
    assert "error" in results[0]
    assert results[1]["output"] == str(out / short.name)
    assert [p.name for p in out.iterdir()] == [short.name]


@pytest.mark.parametrize(
    ("name", "says"),
    [("noface_grass__08.jpg", "no face"), ("three_people__48.jpg", "3 faces"), ("missing.jpg", "missing.jpg")],
)
def test_sources_that_cannot_serve(data: Path, short: Path, tmp_path: Path, name: str, says: str) -> None:
    output = tmp_path / "out.mp4"
    done = run(
        "swap", "--source", data / "hard" / name, "--input", short, "--output", output, "--model", "tiny", code=1
    )
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_exit_2() -> None:
    assert "--source" in run("swap", "--input", CLIP, code=2).stderr
    assert "--reference" in run("swap", "--source", SOURCE, "--input", CLIP, "--faces", "reference", code=2).stderr
    assert "--end" in run("swap", "--source", SOURCE, "--input", CLIP, "--start", "2", "--end", "1", code=2).stderr


def test_interrupt_leaves_no_output_and_exits_130(tmp_path: Path) -> None:
    """Nothing, or what --resume goes on with where a part was stored already; and then it says so."""
    command = [sys.executable, "-m", "fsvideo", "swap", "--source", str(SOURCE), "--input", str(CLIP)]
    command += ["--output", str(tmp_path / "out.mp4"), "--preset", "veryslow"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "PYTHONFAULTHANDLER": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell starts background jobs deaf to it
    )
    began = time.monotonic()
    while not list(tmp_path.iterdir()) and time.monotonic() - began < 120:  # the work has begun
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    left = list(tmp_path.iterdir())
    assert all(p.name.startswith(".out-") and p.suffix == ".fsvideo" for p in left) and len(left) <= 1
    assert ("--resume" in stderr) == bool(left)


def test_dry_run_and_preview_write_no_video(short: Path, tmp_path: Path) -> None:
    output, sheet = tmp_path / "out.mp4", tmp_path / "sheet.png"
    done = run("swap", "--source", SOURCE, "--input", short, "--output", output, "--model", "tiny", "--dry-run")
    assert "would" in done.stderr
    assert list(tmp_path.iterdir()) == []
    run("swap", "--source", SOURCE, "--input", short, "--output", output, "--model", "tiny", "--preview", sheet)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]
    info = read.probe(CLIP)
    picture = cv2.imread(str(sheet))
    assert picture.shape[1] == 6 * 480
    height = round(480 * info.display_height / info.display_width)
    assert 2 * height < picture.shape[0] < 2.2 * height  # and a strip with the times
    strip = picture[2 * height :]
    assert all((strip[:, x : x + 480] > 150).any() for x in range(0, 6 * 480, 480))


def test_compare_shows_the_same_moments_side_by_side(short: Path, tmp_path: Path) -> None:
    reel, output = tmp_path / "reel.mp4", tmp_path / "out.mp4"
    swap(short, output, "--model", "unchanged", "--start", "0.4", "--compare", reel)
    from fsvideo.media.view import upright

    info = read.probe(reel)
    shown = [upright(f, info).rgb.astype(int) for f in read.frames(info)]
    assert len(shown) == len(times(output)) == 15
    half = info.display_width // 2
    assert all(np.abs(rgb[:, :half] - rgb[:, half:]).mean() < 3 for rgb in shown)
    assert np.abs(shown[0][:, :half] - shown[-1][:, half:]).mean() > 4  # other moments differ
    for place, says in ((tmp_path / "reel.gif", "video"), (tmp_path / "no" / "reel.mp4", "folder")):
        assert says in swap(short, tmp_path / "b.mp4", "--model", "unchanged", "--compare", place, code=1).stderr
    assert not (tmp_path / "b.mp4").exists()


def test_reference_chooses_the_person(data: Path, short: Path, tmp_path: Path) -> None:
    astronaut = ROOT / "examples" / "astronaut.png"
    options = ("--model", "tiny", "--faces", "reference", "--json")
    said = json.loads(swap(short, tmp_path / "a.mp4", *options, "--reference", astronaut).stdout)
    assert said["frames_swapped"] == said["frames"]
    done = swap(short, tmp_path / "b.mp4", *options, "--reference", SOURCE, code=1)
    assert "nobody" in done.stderr


def test_doctor_and_weights() -> None:
    found = json.loads(run("doctor", "--json").stdout)
    assert {row["name"] for row in found} >= {"torch", "av", "face finder", "ffmpeg program", "weights identity"}
    assert all(row["ok"] for row in found if row["name"] in ("face finder", "encoders", "weights landmarker"))
    assert "identity" in run("weights", "list").stderr
    assert "ok" in run("weights", "verify").stderr


def watched(clip: Path, output: Path, scratch: Path) -> tuple[int, set[str], int]:
    """Of a swap: peak memory in MB, names seen in the output folder meanwhile, most bytes in the scratch folder."""
    given = ("--source", SOURCE, "--input", clip, "--output", output, "--model", "tiny", "--preset", "ultrafast")
    scratch.mkdir()
    seen: set[str] = set()
    most = 0
    environment = {**os.environ, "TMPDIR": str(scratch)}
    with subprocess.Popen(peak.command("swap", *given), stderr=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None:
            seen |= {p.name for p in output.parent.iterdir()}
            with contextlib.suppress(FileNotFoundError):  # one may go while it is looked at
                most = max(most, sum(p.stat().st_size for p in scratch.rglob("*")))
            time.sleep(0.1)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0, said
    return peak.told(said), seen, most


@pytest.mark.slow
def test_memory_does_not_grow_with_the_clip_and_no_frame_goes_to_disk(tmp_path: Path) -> None:
    from fsvideo.media import ffmpeg

    clips = []
    for loops in (3, 12):  # 14 and 58 seconds
        clips.append(tmp_path / f"{loops}.mp4")
        command = [ffmpeg.find(), "-v", "error", "-stream_loop", str(loops - 1), "-i", str(CLIP), "-c", "copy"]
        subprocess.run([*command, str(clips[-1])], check=True)
    (tmp_path / "out").mkdir()
    runs = [watched(clip, tmp_path / "out" / clip.name, tmp_path / f"scratch-{clip.stem}") for clip in clips]
    short, long = (memory for memory, _, _ in runs)
    assert len(times(tmp_path / "out" / "12.mp4")) == 12 * len(times(CLIP))
    assert long < 1.1 * short
    files = {name for _, seen, _ in runs for name in seen} - {"3.mp4", "12.mp4"}
    assert sorted(name[:2] + name[-8:] for name in files) == [".1.fsvideo", ".3.fsvideo"]  # where each output grows
    assert max(most for _, _, most in runs) < 100_000  # libraries' notes to themselves; a frame has nine times as much
