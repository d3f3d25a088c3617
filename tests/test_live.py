"""`fsvideo live` and what it is made of: filters that know the past alone, the newest picture, streams in and out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commandline import run
from face_fixtures import load_finder, read_clip
from media_fixtures import clip, ffmpeg, remux

from fsvideo.faces.causal import CausalFollower, OneEuro
from fsvideo.flow import latest
from fsvideo.media import provenance, read
from fsvideo.media.broadcast import Encoded
from fsvideo.media.capture import Capture, scheme_of
from fsvideo.media.ffmpeg import find
from fsvideo.media.provenance import read_tags
from fsvideo.types import MediaError

ROOT = Path(__file__).resolve().parents[1]
SOURCE, CLIP = ROOT / "examples" / "grace_hopper.jpg", ROOT / "examples" / "astronaut.mp4"


def steadied(values: np.ndarray, seconds: float = 0.5, size: float = 100.0) -> np.ndarray:
    steady = OneEuro(seconds)
    return np.stack([steady(row, n / 25, size) for n, row in enumerate(values)])


def test_a_still_face_is_calmed_and_a_moving_one_does_not_trail() -> None:
    noise = np.random.default_rng(3).normal(0, 0.4, (150, 82))
    still = steadied(noise)[25:]
    assert still.std() < 0.55 * noise[25:].std()
    moving = 120 * np.arange(150)[:, None] / 25 + np.zeros((150, 82))  # 1.2 face sizes a second
    assert np.abs(steadied(moving) - moving)[25:].max() < 4
    assert np.array_equal(steadied(noise, seconds=0), noise)
    assert np.array_equal(steadied(noise[:40]), steadied(noise)[:40]), "the future plays no part"


def test_faces_of_a_clip_are_followed_at_once() -> None:
    with load_finder() as finder:
        follower = CausalFollower(finder, 0.5)
        for n, image in enumerate(read_clip(CLIP, count=12)):
            present = follower.update(image, n / 25)
            assert [one.id for one in present] == [1]
            assert present[0].opacity == 1
            assert np.abs(present[0].points - present[0].face.points).max() < 6
        blank = np.full_like(image, 90)
        fading = []
        for n in range(8):  # a picture that says nothing is no cut: the face may be back in a moment
            present = follower.update(blank, (12 + n) / 25)
            fading.append(present[0].opacity if present else 0.0)
    assert fading[0] == 1
    assert fading == sorted(fading, reverse=True)
    assert fading[-1] == 0


def test_whoever_is_slow_misses_pictures_but_never_the_last() -> None:
    def quick() -> Iterator[int]:
        for n in range(60):
            time.sleep(0.005)
            yield n

    got = []
    for n in latest(quick(), threading.Event(), 0.1):
        got.append(n)
        time.sleep(0.03)
    assert got == sorted(set(got))
    assert got[-1] == 59
    assert len(got) < 40


def test_it_ends_while_nothing_comes() -> None:
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    assert list(latest((time.sleep(3) for _ in range(2)), stop, 0.05)) == []
    assert time.monotonic() - began < 1.5


def test_its_errors_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(latest((1 // n for n in (1, 0)), threading.Event(), 0.05))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_every_frame_of_a_file_comes_out_marked(tmp_path: Path, suffix: str) -> None:
    run("swap", "--source", SOURCE, "--input", CLIP, "--model", "unchanged", "--end", "0.4", "--preset", "ultrafast",
        "--output", tmp_path / "short.mp4")  # fmt: skip
    output = tmp_path / f"live{suffix}"
    common = ("live", "--source", SOURCE, "--input", tmp_path / "short.mp4", "--output", output, "--json")
    said = json.loads(run(*common).stdout)
    infos = [read.probe(path) for path in (tmp_path / "short.mp4", output)]
    before, after = (list(read.frames(info)) for info in infos)
    assert (said["frames"], said["frames_swapped"], said["dropped"]) == (len(before), len(before), 0)
    times = [[float((f.pts - info.start) * info.time_base) for f in frames]
             for info, frames in zip(infos, (before, after), strict=True)]  # fmt: skip
    assert np.abs(np.subtract(*times)).max() < 2e-3
    rgb = [read.upright(frames[-1], info).rgb.astype(int) for info, frames in zip(infos, (before, after), strict=True)]
    changed = np.abs(rgb[0] - rgb[1]).max(2)
    assert changed.max() > 25, "the face is another one"
    assert np.median(changed) < 6, "and the rest is not"
    assert "AI-edited" in read_tags(output)["comment"]
    assert said["latency_ms"]["median"] > 0
    assert "exists" in run(*common, code=1).stderr
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_transport_stream_is_marked_wherever_it_is_joined(tmp_path: Path) -> None:
    info = read.probe(clip(tmp_path / "clip.mp4", audio=0, seconds=5))
    tags = provenance.tags("1.2.3", "a model, of 'two': parts")
    sink = Encoded(str(tmp_path / "whole.ts"), info, tags, overwrite=False)
    for frame in read.frames(info):
        sink.write(frame)
    sink.close()
    blob = (tmp_path / "whole.ts").read_bytes()
    assert b"fsvideo: AI-edited" in blob[:2000], "the service's name, which players show"
    assert read_tags(tmp_path / "whole.ts") == tags
    assert len(list(read.frames(read.probe(tmp_path / "whole.ts")))) == 125
    (tmp_path / "joined.ts").write_bytes(blob[len(blob) // 4 :])
    assert provenance.examine(tmp_path / "joined.ts").state == "tags"
    assert provenance.examine(remux(tmp_path / "whole.ts", tmp_path / "copied.mkv")).state == "tags"
    assert provenance.examine(remux(tmp_path / "clip.mp4", tmp_path / "other.ts")).state == "nothing"


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (CLIP, "window", "no display"),
        (CLIP, "out.txt", "not a live output"),
        (CLIP, "ftp://127.0.0.1/x.mkv", "ftp is not a protocol"),
        ("http://127.0.0.1:1/x.mp4", "out.mkv", "http is not a protocol"),
        ("tcp://127.0.0.1:1", "out.mkv", "cannot be opened"),
        ("nothing.mp4", "out.mkv", "nothing.mp4"),
        (CLIP, "tcp://127.0.0.1:1", "cannot be opened for writing"),
        (CLIP, "nowhere/out.mkv", "no folder"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: object, target: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    failed = run("live", "--source", SOURCE, "--input", source, "--output", target, "--model", "tiny", code=1)
    assert said in failed.stderr
    assert "Traceback" not in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_protocols() -> None:
    assert [scheme_of(name) for name in ("a.mp4", "/dev/video0", "UDP://x:1", "rtmp://x/y")] == ["", "", "udp", "rtmp"]
    for name in ("file:///etc/passwd", "concat://a", "https://x/y"):
        with pytest.raises(MediaError):
            scheme_of(name)


def test_a_list_of_other_files_is_not_followed(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        link, _ = server.accept()
        link.sendall(f"ffconcat version 1.0\nfile {CLIP}\n".encode() * 50)
        link.close()

    threading.Thread(target=serve, daemon=True).start()
    with pytest.raises(MediaError, match="cannot be opened"):
        Capture(f"tcp://127.0.0.1:{server.getsockname()[1]}")
    server.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_stream_over_the_network(tmp_path: Path) -> None:
    """MPEG-TS over UDP in real time: it is joined anywhere, and its end is the end."""
    ffmpeg("-i", CLIP, "-an", "-c:v", "libx264", "-preset", "ultrafast", "-g", "10", tmp_path / "loop.ts")
    address = f"udp://127.0.0.1:{free_port()}"
    sender = subprocess.Popen(
        [find(), "-v", "error", "-re", "-stream_loop", "3", "-i", str(tmp_path / "loop.ts"), "-c", "copy",
         "-f", "mpegts", f"{address}?pkt_size=1316"],
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        capture = Capture(address)
        assert (capture.live, capture.info.width, capture.info.kind) == (True, read.probe(CLIP).width, "video")
        sink = Encoded(str(tmp_path / "out.ts"), capture.info, {}, overwrite=False)
        frames = capture.frames()
        for _, frame in zip(range(30), frames, strict=False):
            assert sink.write(frame)
        frames.close()
        sink.close()
    finally:
        sender.kill()
        sender.wait()
    assert len(list(read.frames(read.probe(tmp_path / "out.ts")))) == 30


def test_ctrl_c_completes_the_file(tmp_path: Path) -> None:
    output = tmp_path / "live.mkv"
    command = [sys.executable, "-m", "fsvideo", "live", "--source", SOURCE, "--input", CLIP, "--output", output]
    running = subprocess.Popen(
        [*map(str, command), "--model", "tiny", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not any(part.stat().st_size for part in tmp_path.glob(".live*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr
    said = json.loads(stdout)
    assert said["ended"] == "it was ended"
    assert 0 < said["frames"] == len(list(read.frames(read.probe(output))))
    assert list(tmp_path.iterdir()) == [output]


def test_opencv_is_there_before_pyav() -> None:
    """Behind PyAV its windows hang, as both bring a libxcb: whichever room comes first, OpenCV is loaded first."""
    code = "import sys, fsvideo.{}; names = list(sys.modules); assert names.index('cv2') < names.index('av')"
    for first in ("media.read", "media.broadcast", "pipeline", "live"):
        done = subprocess.run([sys.executable, "-c", code.format(first)], capture_output=True, text=True)
        assert done.returncode == 0, (first, done.stderr)
