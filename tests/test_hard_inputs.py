"""Any file in, an exact file out: every odd but valid file keeps its frames, times, samples, sound and tags."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import peak
import pytest
from hard_fixtures import CLIP, MAKERS, ROOT, SOURCE, TURNS, Hard, Run, decoded, face, luma, others, shape, swap
from media_fixtures import exif, ffmpeg, remux

from fsvideo.media import imagemeta

VPX = ("-c:v", "libvpx-vp9")  # FFmpeg's own decoder drops transparency
EXACT = (
    "variable-rate.mp4",
    "edit-list.mp4",
    "odd-420.webm",
    "odd-444.mp4",
    "odd-422.mkv",
    "422.mov",
    "pq.mp4",
    "hlg.mp4",
    "top-field-first.mp4",
    "full-range.mp4",
    "sample-aspect.mp4",
    "alpha.webm",
    "alpha.mov",
    "loop.gif",
    "turned-90.mp4",
    "turned-180-mirrored.mp4",
)


@pytest.fixture(scope="session")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Hard:
    return Hard(tmp_path_factory.mktemp("hard"))


def same_times(source: Path, target: Path, shift: float = 0.0) -> None:
    """As many frames, each within a millisecond of its time; all sound and subtitle packets, byte for byte, alike."""
    before, after = decoded(source)[0], decoded(target)[0]
    assert len(before) == len(after) > 0
    assert np.abs(np.subtract(before, after) + shift).max() < 1e-3
    told, kept = others(source), others(target)
    assert told.keys() == kept.keys()
    for stream, packets in told.items():
        assert [said for _, said in packets] == [said for _, said in kept[stream]], stream
        assert [time + shift for time, _ in packets] == pytest.approx([time for time, _ in kept[stream]], abs=1e-3)


def swapped_everywhere(run: Run, source: Path) -> None:
    frames = len(decoded(source)[0])
    assert (run.said["frames"], run.said["frames_swapped"]) == (frames, frames), run.stderr


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in TURNS and name != "stream.ts"])
def test_the_same_kind_of_file_comes_out(hard: Hard, tmp_path: Path, name: str) -> None:
    source, target = hard(name), tmp_path / f"out{Path(name).suffix}"
    fast = not name.endswith((".mov", ".webm", ".gif")) and name != "odd-422.mkv"
    run = swap(source, target, *(("--preset", "ultrafast") if fast else ()))
    swapped_everywhere(run, source)
    same_times(source, target)
    assert shape(target) == shape(source), run.said["notes"]


@pytest.mark.parametrize("name", EXACT)
def test_lossless_and_unchanged_is_bit_exact(hard: Hard, tmp_path: Path, name: str) -> None:
    """The face path runs on every frame, with a swapper that returns its input; FFV1 then holds what was decoded."""
    source, target = hard(name), tmp_path / "out.mkv"
    swapped_everywhere(swap(source, target, "--encoder", "ffv1"), source)
    planes = "format=gbrap" if name.endswith(".gif") else "null"
    native = ("-noautorotate", *(VPX if name == "alpha.webm" else ()))
    assert decoded(source, *native, filters=planes)[1] == decoded(target, "-noautorotate", filters=planes)[1]
    # Matroska has no times below zero: an MP4's sound that begins before the picture moves all of it, together
    begins = [packets[0][0] for packets in others(source).values() if packets]
    shift = max(0.0, -min(begins, default=0.0)) if source.suffix in (".mp4", ".mov") else 0.0
    same_times(source, target, shift)


@pytest.mark.parametrize("name", TURNS)
def test_a_face_is_swapped_upright_however_the_picture_is_turned(hard: Hard, tmp_path: Path, name: str) -> None:
    """All eight orientations show the same upright clip, and must show the same swap: as a player turns them."""
    source, target = hard(name), tmp_path / "out.mp4"
    run = swap(source, target, "--preset", "ultrafast", "--quality", 1, model="tiny")
    swapped_everywhere(run, source)
    same_times(source, target)
    shown, made = luma(source), luma(target)
    base = luma(hard("turned-0.mp4"))
    assert all(np.array_equal(a, b) for a, b in zip(base, shown, strict=True))  # the fixture is what it says
    changed = np.mean([np.abs(a.astype(int) - b) for a, b in zip(shown, made, strict=True)], axis=0)
    centre = np.argwhere(changed > 12).mean(axis=0)
    assert np.abs(centre - (112, 138)).max() < 12  # rows, columns of the face
    assert changed[:, 240:].max() < 6 and changed[100:130, 120:160].mean() > 6
    assert (shape(target).rotation - shape(source).rotation) % 360 == 0


def outside(source: Path, target: Path, log: Path) -> list[float]:
    """Luma PSNR of every frame away from the swapped region, dB."""
    regions = [row["faces"][0]["region"] for row in json.loads(log.read_text())["per_frame"]]
    found = []
    pairs = zip(luma(source, len(regions)), luma(target), regions, strict=True)
    for before, after, (left, top, right, bottom) in pairs:
        error = (before.astype(float) - after) ** 2
        error[top:bottom, left:right] = np.nan
        found.append(float(10 * np.log10(255**2 / np.nanmean(error))))
    return found


def test_at_default_quality_the_rest_of_the_picture_is_within_49_db(tmp_path: Path) -> None:
    target, log = tmp_path / "out.mp4", tmp_path / "log.json"
    swap(CLIP, target, "--report", log, "--end", "0.4", model="tiny")
    assert np.mean(outside(CLIP, target, log)) > 49


@pytest.mark.slow
@pytest.mark.parametrize("name", ["indoor_1080p.mp4", "dark_720p.mp4", "expressions.mp4"])
def test_footage_keeps_49_db_away_from_the_face(data: Path, tmp_path: Path, name: str) -> None:
    clip = remux(data / "clips" / name, tmp_path / "clip.mkv", after=("-t", "0.5"))
    target, log = tmp_path / "out.mkv", tmp_path / "log.json"
    swap(clip, target, "--report", log, model="tiny")
    assert np.mean(outside(clip, target, log)) > 49


STILLS = {
    "gray.png": ("-pix_fmt", "gray"),
    "deep.png": ("-pix_fmt", "rgb48be"),
    "alpha.png": ("-pix_fmt", "rgba", "-vf", "scale=400:-2,format=rgba,colorchannelmixer=aa=0.5"),
    "palette.png": ("-vf", "scale=400:-2,split[a][b];[a]palettegen[c];[b][c]paletteuse"),
    "odd.jpg": ("-vf", "scale=401:501"),
    "lossless.webp": ("-lossless", "1", "-pix_fmt", "bgra"),
    "photo.bmp": (),
    "deeper.tiff": ("-pix_fmt", "rgb48le"),
}


def test_every_kind_of_image_in_one_run(tmp_path: Path) -> None:
    """Lossless kinds come back exactly; what cannot be written becomes PNG."""
    paths = [tmp_path / name for name in STILLS]
    for path in paths:
        ffmpeg("-i", ROOT / "examples" / "astronaut.png", "-vf", "scale=400:-2", *STILLS[path.name], f"file:{path}")
    (tmp_path / "phone.jpg").write_bytes(phone(tmp_path / "odd.jpg"))
    folder = tmp_path / "out"
    folder.mkdir()
    inputs = [one for path in [*paths[1:], tmp_path / "phone.jpg"] for one in ("--input", path)]
    run = swap(paths[0], folder, *inputs)
    assert [(row["frames"], row["frames_swapped"]) for row in run.said] == [(1, 1)] * 9
    for path in paths:
        made = folder / (path.name if path.suffix in (".png", ".jpg", ".webp") else f"{path.stem}.png")
        planes = "format=gbrap16le" if "palette" not in path.name else "format=gbrap"
        if path.suffix != ".jpg":
            assert decoded(path, filters=planes)[1] == decoded(made, filters=planes)[1], path.name
    assert luma(folder / "phone.jpg")[0].shape == luma(tmp_path / "phone.jpg")[0].shape


def phone(path: Path) -> bytes:
    """A photo as a phone held sideways stores it: turned, and EXIF says how."""
    turned = path.with_name("sideways.jpg")
    ffmpeg("-i", path, "-vf", "transpose=cclock", turned)
    return imagemeta.embed(turned.read_bytes(), imagemeta.ImageMeta(exif(6)))


def test_a_stream_that_cannot_be_written_becomes_another_kind_and_it_is_said(hard: Hard, tmp_path: Path) -> None:
    """MPEG-TS is read exactly; the default output is an MP4 beside it, and of several each goes into the folder."""
    source = tmp_path / "stream.ts"
    source.write_bytes(hard("stream.ts").read_bytes())
    run = swap(source, None, "--preset", "ultrafast")
    assert "MP4" in run.stderr
    before, after = decoded(source)[0], decoded(tmp_path / "stream-swapped.mp4")[0]
    assert np.abs(np.subtract(before, after)).max() < 1e-3
    sound, kept = others(source)["audio", 0], others(tmp_path / "stream-swapped.mp4")["audio", 0]
    assert [time for time, _ in sound] == pytest.approx([time for time, _ in kept], abs=1e-3)


@pytest.mark.slow
def test_8k_works_in_bounded_memory(tmp_path: Path) -> None:
    encode = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "30", "-pix_fmt", "yuv420p")
    clip = face(tmp_path / "8k.mp4", size="7680:4320", seconds=0.64, encode=encode)
    target = tmp_path / "out.mp4"
    megabytes = peak.of(
        "swap", "--source", SOURCE, "--input", clip, "--output", target, "--model", "unchanged", "--preset", "ultrafast"
    )
    assert len(decoded(target)[0]) == len(decoded(clip)[0]) == 16
    print(f"8K: {megabytes} MB")
    assert megabytes < 6000
