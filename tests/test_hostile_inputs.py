"""Files that are broken, lie, or want something: one clear line, no output, no memory taken, nothing else opened."""

from __future__ import annotations

import json
import os
import pickle
import socket
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import peak
import pytest
from hard_fixtures import ROOT, SOURCE, command, decoded, face, swap
from media_fixtures import clip, cut_off, damage, ffmpeg, remux, still

from fsvideo.models.aei import AEIConfig

ENOUGH = 700  # MB: a plain swap of a small clip takes 500


@pytest.fixture(scope="session")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return face(tmp_path_factory.mktemp("hostile") / "short.mp4", seconds=0.2)


@pytest.fixture
def door() -> Iterator[socket.socket]:
    """A server that nobody shall call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


def refused(path: Path, output: Path, *more: object, model: str = "unchanged", names: str | None = None) -> str:
    """It fails with one line that names the file and at most one that says what to do; no output is left."""
    before = sorted(os.listdir(output.parent))
    stderr = swap(path, output, *more, model=model, code=1).stderr
    lines = stderr.strip().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("error"))
    assert (names if names is not None else path.name) in lines[at]
    assert len(lines) <= at + 2 and "Traceback" not in stderr
    assert sorted(os.listdir(output.parent)) == before
    return stderr


# broken


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"hello, world\n" * 50, "not a readable"),
        ("noise.mkv", bytes(range(256)) * 9, "not a readable"),
        ("text.jpg", b"hello", "not a readable"),
        ("page.gif", b"<html><body>404</body></html>", "not a readable"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert says in refused(path, tmp_path / "out.mp4")


def test_an_animated_webp_is_refused_with_what_to_do(short: Path, tmp_path: Path) -> None:
    ffmpeg("-i", short, "-an", "-c:v", "libwebp_anim", tmp_path / "dance.webp")
    assert "animated WebP" in refused(tmp_path / "dance.webp", tmp_path / "out.mp4")


def test_cut_files_are_refused_or_used_as_far_as_they_go(tmp_path: Path) -> None:
    whole = face(tmp_path / "whole.mkv", seconds=2.4)
    assert "index" in refused(cut_off(remux(whole, tmp_path / "w.mp4"), tmp_path / "no-moov.mp4"), tmp_path / "out.mp4")
    cut = cut_off(whole, tmp_path / "cut.mkv")
    assert "cut off" in refused(cut, tmp_path / "out.mkv")
    run = swap(cut, tmp_path / "out.mkv", "--keep-going", "--preset", "ultrafast")
    assert 20 <= run.said["frames"] == len(decoded(tmp_path / "out.mkv")[0]) < 60
    assert "skipped" in run.stderr


def test_damage_in_the_middle_is_reported_or_gone_over(tmp_path: Path) -> None:
    whole = face(tmp_path / "whole.mp4", "-movflags", "+faststart", seconds=2, audio=False, size="640:480")
    bad = damage(whole, tmp_path / "bad.mp4")
    assert "damaged at" in refused(bad, tmp_path / "out.mp4")
    run = swap(bad, tmp_path / "out.mp4", "--keep-going", "--preset", "ultrafast")
    assert 40 <= run.said["frames"] <= 50
    assert "skipped" in run.stderr and "--keep-going" not in run.stderr


# names


@pytest.mark.parametrize(
    "name",
    [b"sp ace 'quote\".mp4", b"-x.mp4", b"a:b.mp4", b"%03d.mp4", b"caf\xe9.mp4", b"[red]0*?.mp4", "é中.mp4".encode()],
)
def test_names_that_hurt(short: Path, tmp_path: Path, name: bytes) -> None:
    """Given relative to the folder it lies in, as a user types it: as input, as default output and as reel."""
    (tmp_path / os.fsdecode(name)).write_bytes(short.read_bytes())
    given = [b"--input", name, b"--source", os.fsencode(SOURCE), b"--model", b"unchanged", b"--preset", b"ultrafast"]
    given += [b"--compare", b"reel " + name] if name.startswith(b"sp") or b"\xe9" in name else []
    line = [os.fsencode(sys.executable), b"-m", b"fsvideo", b"swap", *given]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    made = tmp_path / os.fsdecode(name.replace(b".mp4", b"-swapped.mp4"))
    assert len(decoded(made)[0]) == len(decoded(short)[0])
    assert len(list(tmp_path.iterdir())) == (3 if b"--compare" in given else 2)


# playlists and addresses


def _lists(folder: Path, secret: Path, port: int) -> dict[str, str]:
    web = f"http://127.0.0.1:{port}/x.mp4"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        "<Period><AdaptationSet><Representation id='1' mimeType='video/mp4' bandwidth='1'><BaseURL>{}</BaseURL>"
        "<SegmentBase/></Representation></AdaptationSet></Period></MPD>"
    )
    (folder / "inner.mp4").write_text(f"ffconcat version 1.0\nfile '{secret.name}'\n")
    (folder / "inner.ts").write_text(hls.format(secret.name))
    return {
        "concat.mp4": f"ffconcat version 1.0\nfile '{secret.name}'\n",
        "concat-web.mkv": f"ffconcat version 1.0\nfile '{web}'\n",
        "concat-of-concat.mp4": "ffconcat version 1.0\nfile 'inner.mp4'\n",
        "hls.mp4": hls.format(secret.name),
        "hls-web.mp4": hls.format(web),
        "hls-of-hls.ts": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\ninner.ts\n",
        "hls-of-concat.mp4": hls.format("inner.mp4"),
        "hls.m3u8": hls.format(secret.name),
        "dash.mp4": dash.format(secret.name),
        "dash-web.mpd": dash.format(web),
        "session.mp4": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
        "frames.jpg": f"file '{secret.name}'\n",
        "svg.png": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{web}"/></svg>',
    }


def test_playlists_open_nothing(short: Path, tmp_path: Path, door: socket.socket) -> None:
    (tmp_path / "secret.mp4").write_bytes(short.read_bytes())
    for name, content in _lists(tmp_path, tmp_path / "secret.mp4", door.getsockname()[1]).items():
        (tmp_path / name).write_text(content)
        refused(tmp_path / name, tmp_path / "out.mp4")
        if "web" in name:
            assert "not a readable" in swap(short, tmp_path / "out.mp4", "--source", tmp_path / name, code=1).stderr
    assert not (tmp_path / "out.mp4").exists()


def test_a_film_that_refers_to_another_file_is_not_followed(short: Path, tmp_path: Path) -> None:
    """QuickTime can keep its samples in another file; ours is made to by its data reference."""
    film = bytearray(remux(short, tmp_path / "film.mov").read_bytes())
    at = film.index(b"url \x00\x00\x00\x01")
    film[at : at + 4] = b"alis"
    (tmp_path / "refers.mov").write_bytes(film)
    before = swap(tmp_path / "film.mov", tmp_path / "a.mov", "--preset", "ultrafast").said["frames"]
    done = swap(tmp_path / "refers.mov", tmp_path / "b.mov", "--preset", "ultrafast")
    assert done.said["frames"] == before  # read from itself, as if it said nothing


@pytest.mark.parametrize("way", ["input", "source", "reference"])
def test_addresses_are_names_of_files(short: Path, tmp_path: Path, door: socket.socket, way: str) -> None:
    port = door.getsockname()[1]
    for address in (
        f"http://127.0.0.1:{port}/x.mp4",
        f"tcp:127.0.0.1:{port}",
        f"concat:{short}|{short}",
        f"subfile,,start,0,end,0,,:{short}",
        f"file:{short}",
        "pipe:0",
        "data:image/png;base64,iVBORw0KGgo=",
        f"crypto:{short}",
        "-",
    ):
        given = {"input": short, "source": SOURCE, "reference": SOURCE} | {way: address}
        line = ["--source", given["source"], "--faces", "reference", "--reference", given["reference"]]
        done = swap(Path(given["input"]), tmp_path / "out.mp4", *line, "--dry-run", code=1)
        assert "No such file" in done.stderr, address
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_looks_like_an_address_is_a_file(short: Path, tmp_path: Path, door: socket.socket) -> None:
    port = door.getsockname()[1]
    command("swap", "--source", SOURCE, "--input", short, "--output", f"http://127.0.0.1:{port}/x.mp4", code=1)
    for name in (f"tcp:127.0.0.1:{port}.mp4", "pipe:1.mp4"):
        given = ("--input", short, "--output", name, "--model", "unchanged", "--preset", "ultrafast")
        done = command("swap", "--source", SOURCE, *given, cwd=tmp_path)
        assert done.said is None and len(decoded(tmp_path / name)[0]) == 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipe:1.mp4", f"tcp:127.0.0.1:{port}.mp4"]


# claims


def _golomb(value: int) -> str:
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _h264(width: int, height: int) -> bytes:
    """A stream whose sequence header claims a size, and a slice of noise."""
    bits = "01000010" + "00000000" + "00111100" + _golomb(0) + _golomb(0) + _golomb(0) + _golomb(0) + _golomb(1) + "0"
    bits += _golomb(width // 16 - 1) + _golomb(height // 16 - 1) + "1" + "1" + "0" + "0" + "1"
    sps = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    start = b"\0\0\0\1"
    return start + b"\x67" + sps + start + b"\x68\xce\x3c\x80" + start + b"\x65\x88\x84" + bytes(range(1, 250)) * 4


def _png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*one) for one in chunks) + chunk(b"IEND", b"")


def _bomb(megabytes: int) -> bytes:
    """A zlib stream of so many megabytes of zeros."""
    packer, zeros = zlib.compressobj(9), bytes(1 << 20)
    start = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)  # stands by itself: can be repeated
    check = 1
    for _ in range(megabytes):
        check = zlib.adler32(zeros, check)
    return start + block * (megabytes - 1) + b"\x03\x00" + struct.pack(">I", check)


def _liars(folder: Path, short: Path) -> dict[str, Path]:
    """Small files that claim to be enormous."""
    jpeg = bytearray(still(folder / "small.jpg").read_bytes())
    at = jpeg.index(b"\xff\xc0") + 5
    stream = remux(clip(folder / "plain.mp4", audio=0, seconds=0.4), folder / "plain.h264")
    gif = bytearray(still(folder / "small.gif").read_bytes())
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    bmp = bytearray(still(folder / "small.bmp").read_bytes())
    bmp[18:26] = struct.pack("<ii", 60000, 60000)
    raw = clip(folder / "raw.avi", audio=0, seconds=0.2, encode=("-c:v", "rawvideo", "-pix_fmt", "yuv420p"))
    avi = bytearray(raw.read_bytes())
    form = avi.index(b"strf") + 12
    avi[form : form + 8] = struct.pack("<ii", 60000, 60000)
    mov = bytearray(
        clip(folder / "raw.mov", audio=0, seconds=0.2, encode=("-c:v", "png", "-pix_fmt", "rgb24")).read_bytes()
    )
    entry = mov.rindex(b"png ", 0, mov.rindex(b"stts")) + 28
    mov[entry : entry + 4] = struct.pack(">HH", 60000, 60000)
    long = bytearray(remux(short, folder / "long.mkv").read_bytes())
    length = long.index(b"\x44\x89\x88") + 3
    long[length : length + 8] = struct.pack(">d", 1e12)
    made = {
        "huge.png": _png(60000, 60000, (b"IDAT", _bomb(64))),
        "profile.png": _png(64, 64, (b"iCCP", b"x\0\0" + _bomb(1000)), (b"IDAT", zlib.compress(bytes(64 * 9)))),
        "words.png": _png(64, 64, (b"zTXt", b"x\0\0" + _bomb(1000)), (b"IDAT", zlib.compress(bytes(64 * 9)))),
        "huge.jpg": bytes(jpeg[:at]) + struct.pack(">HH", 65500, 65500) + bytes(jpeg[at + 4 :]),
        "huge.gif": bytes(gif),
        "wide.bmp": bytes(bmp),
        "huge.avi": bytes(avi),
        "huge.mov": bytes(mov),
        "huge.h264": _h264(60000, 60000),
        "grown.h264": stream.read_bytes() + _h264(60000, 60000),
        "long.mkv": bytes(long),
    }
    for name, content in made.items():
        (folder / name).write_bytes(content)
    many = ("-i", short, "-map", "0:V", *("-map", "0:a") * 70, "-c", "copy")
    ffmpeg(*many, folder / "many.mkv")
    return {name: folder / name for name in (*made, "many.mkv")}


def test_small_files_that_claim_to_be_huge_take_no_memory(short: Path, tmp_path: Path) -> None:
    """All in one process, whose peak is measured; each is refused on its own."""
    made = _liars(tmp_path, short)
    (tmp_path / "out").mkdir()
    inputs = [argument for path in made.values() for argument in ("--input", path)]
    options = ("--model", "unchanged", "--threads", 1, "--json", "--output", tmp_path / "out")
    line = peak.command("swap", "--source", SOURCE, *inputs, *options)
    done = subprocess.run(line, capture_output=True, timeout=300, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    said = {Path(row["input"]).name: row for row in json.loads(done.stdout)}
    missed = {name for name in made if "error" not in said[name]}
    assert missed == set(), {name: said[name] for name in missed}
    assert all("\n" not in row["error"] and name in row["error"] for name, row in said.items())
    for name in set(made) - {"profile.png", "words.png", "grown.h264"}:
        assert "--no-limits" in said[name]["hint"], said[name]
    assert list((tmp_path / "out").iterdir()) == []
    assert peak.told(done.stderr) < ENOUGH


def test_limits_can_be_raised(short: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.mkv"
    ffmpeg("-i", short, "-map", "0:V", *("-map", "0:a") * 70, "-c", "copy", many)
    assert "70 streams" not in refused(many, tmp_path / "out.mkv")
    assert swap(many, tmp_path / "out.mkv", "--no-limits", "--preset", "ultrafast").said["frames"] == 5
    assert len(decoded(tmp_path / "out.mkv")[0]) == 5


# checkpoints


class _Payload:
    def __init__(self, canary: Path) -> None:
        self._canary = str(canary)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self._canary,)


def _safetensors(header: dict[str, object] | bytes, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def _checkpoints(folder: Path) -> dict[str, bytes]:
    shipped = (ROOT / "weights" / "aei_compact.safetensors").read_bytes()
    crop = json.dumps(
        {"size": 256, "template": [[0.345, 0.385], [0.655, 0.385], [0.5, 0.56], [0.372, 0.696], [0.628, 0.696]]}
    )
    sizes = {"size": 256, "z_id": 128, "att": [4096] * 7, "gen": [4096] * 8}
    meta = {"kind": "aei", "crop": crop, "identity": "dlib"}
    one = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    with zipfile.ZipFile(folder / "zip", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(_Payload(folder / "canary")))
    return {
        "pickle.pt": pickle.dumps(_Payload(folder / "canary")),
        "pickle.safetensors": pickle.dumps(_Payload(folder / "canary")),
        "torch.pt": (folder / "zip").read_bytes(),
        "cut.safetensors": shipped[: len(shipped) // 2],
        "cut-in-header.safetensors": shipped[:100],
        "empty.safetensors": b"",
        "text.safetensors": b"weights, honestly\n" * 10,
        "header.safetensors": _safetensors(b"{}", length=1 << 60),
        "terabytes.safetensors": _safetensors(
            {"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}, "__metadata__": meta}
        ),
        "nan.safetensors": _safetensors(b'{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', bytes(4)),
        "minus.safetensors": _safetensors(b'{"x":{"dtype":"F32","shape":[-1,-1],"data_offsets":[0,4]}}', bytes(4)),
        "deep.safetensors": _safetensors(b"[" * 200_000),
        "no-kind.safetensors": _safetensors({"x": one}, bytes(4)),
        "no-config.safetensors": _safetensors({"x": one, "__metadata__": meta}, bytes(4)),
        "wide.safetensors": _safetensors({"x": one, "__metadata__": {**meta, "config": json.dumps(sizes)}}, bytes(4)),
        "deep-config.safetensors": _safetensors(
            {"x": one, "__metadata__": {**meta, "config": "[" * 100_000}}, bytes(4)
        ),
        "nan-config.safetensors": _safetensors(
            {"x": one, "__metadata__": {**meta, "config": json.dumps({**sizes, "z_id": float("nan")})}}, bytes(4)
        ),
        "endless-config.safetensors": _safetensors(
            {"x": one, "__metadata__": {**meta, "config": json.dumps({**sizes, "size": float("inf")})}}, bytes(4)
        ),
        "long-config.safetensors": _safetensors(
            {"x": one, "__metadata__": {**meta, "config": json.dumps({**sizes, "att": [1] * 1_000_000})}}, bytes(4)
        ),
        "list-config.safetensors": _safetensors({"x": one, "__metadata__": {**meta, "config": "[1]"}}, bytes(4)),
        "crop.safetensors": _safetensors(
            {"x": one, "__metadata__": {**meta, "config": AEIConfig().to_json(), "crop": "null"}}, bytes(4)
        ),
    }


def test_hostile_checkpoints_are_refused_in_one_line(short: Path, tmp_path: Path) -> None:
    before = peak.start_anew()
    for name, content in _checkpoints(tmp_path).items():
        (tmp_path / name).write_bytes(content)
        error = refused(short, tmp_path / "out.mp4", model=str(tmp_path / name), names=name)
        assert "Traceback" not in error
    for name in ("identity", "detector", "landmarker", "nobody", str(tmp_path), "http://127.0.0.1/x.safetensors"):
        refused(short, tmp_path / "out.mp4", model=name, names="")
    assert not (tmp_path / "canary").exists()
    assert peak.held() - before < ENOUGH  # one set of networks
