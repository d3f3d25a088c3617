"""Images and folders of images: what they carry beside the pixels, and the mark that they were edited."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from media_fixtures import clip, exif, still, tiff

from fsvideo.media import imagemeta
from fsvideo.media.color import region_rgb
from fsvideo.media.provenance import read_tags, tags
from fsvideo.media.read import frames, probe
from fsvideo.media.write import WriteOptions, open_writer
from fsvideo.types import Box, MediaError

TAGS = tags("1.2.3", "compact")
OPTIONS = WriteOptions(tags=TAGS)


def rewrite(source: Path, target: Path, options: WriteOptions = OPTIONS) -> list[str]:
    info = probe(source)
    with open_writer(target, info, options) as writer:
        for frame in frames(info):
            writer.write(frame)
    return writer.notes


def rgb(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    info = probe(path)
    return np.clip(region_rgb(next(iter(frames(info))), info, Box(0, 0, info.width, info.height)), 0, 255)


@pytest.mark.parametrize("pix_fmt", ["rgb24", "rgba", "gray", "rgb48be", "pal8", "gray16be"])
def test_png_is_bit_exact(tmp_path: Path, pix_fmt: str) -> None:
    source = still(tmp_path / "a.png", "-pix_fmt", pix_fmt, size="83x61")
    assert rewrite(source, tmp_path / "b.png") == []
    old, new = probe(source), probe(tmp_path / "b.png")
    assert old.pix_fmt == new.pix_fmt
    for a, b in zip(next(iter(frames(old))).planes, next(iter(frames(new))).planes, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_jpeg_keeps_its_sampling_and_nearly_every_level(tmp_path: Path, pix_fmt: str) -> None:
    source = still(tmp_path / "a.jpg", "-pix_fmt", pix_fmt, "-q:v", "3", size="83x61")
    rewrite(source, tmp_path / "b.jpg")
    old, new = probe(source), probe(tmp_path / "b.jpg")
    assert new.pix_fmt == old.pix_fmt and new.color.range == 2
    for a, b in zip(next(iter(frames(old))).planes, next(iter(frames(new))).planes, strict=True):
        assert np.abs(a.astype(int) - b).mean() < 1.0
    rewrite(source, tmp_path / "small.jpg", replace(OPTIONS, quality=60))
    assert (tmp_path / "small.jpg").stat().st_size < (tmp_path / "b.jpg").stat().st_size * 0.8


@pytest.mark.parametrize("target", ["b.jpg", "b.webp", "b.png"])
@pytest.mark.parametrize("source", ["a.png", "a.webp", "a.jpg"])
def test_between_formats_the_colours_stay(tmp_path: Path, source: str, target: str) -> None:
    path = still(tmp_path / source, size="96x64")
    rewrite(path, tmp_path / target)
    assert np.abs(rgb(path) - rgb(tmp_path / target)).mean() < 3.5


def test_webp_lossless_stays_lossless(tmp_path: Path) -> None:
    source = still(tmp_path / "a.webp", "-lossless", "1", "-pix_fmt", "bgra", size="83x61")
    rewrite(source, tmp_path / "b.webp")
    pair = [next(iter(frames(probe(tmp_path / name)))).planes for name in ("a.webp", "b.webp")]
    assert all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_and_profile_stay_the_thumbnail_goes_and_the_mark_is_there(tmp_path: Path, suffix: str) -> None:
    profile, thumbnail = zlib.compress(bytes(range(256)) * 400, 0), b"\xff\xd8 the face before \xff\xd9"
    plain = still(tmp_path / f"plain.{suffix}")
    source = tmp_path / f"photo.{suffix}"
    meta = imagemeta.ImageMeta(exif(6, thumbnail), profile, {"Author": "me"} if suffix != "webp" else {})
    source.write_bytes(imagemeta.embed(plain.read_bytes(), meta))
    target = tmp_path / f"out.{suffix}"
    rewrite(source, target)
    kept = imagemeta.extract(target)
    assert imagemeta.orientation(kept.exif) == (270, False)
    assert len(kept.exif) == len(exif(6, thumbnail)) and b"before" not in target.read_bytes()
    assert kept.icc == profile
    assert kept.text.items() >= TAGS.items() and read_tags(target).items() >= TAGS.items()
    assert suffix == "webp" or kept.text["Author"] == "me"
    assert b"compositeWithTrainedAlgorithmicMedia" in target.read_bytes()
    assert (probe(target).display_width, probe(target).rotation) == (96, 270)
    assert np.abs(rgb(source) - rgb(target)).mean() < 3
    with av.open(str(target)) as container:  # a foreign reader is not disturbed
        assert next(container.decode(video=0)).width == 160


def test_a_turned_tiff_stays_turned(tmp_path: Path) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (20, 30, 3), np.uint8)
    source = tiff(tmp_path / "photo.tif", (picture, 6))
    rewrite(source, tmp_path / "out.png")
    assert (probe(tmp_path / "out.png").display_width, probe(tmp_path / "out.png").rotation) == (20, 270)
    assert np.array_equal(rgb(source), rgb(tmp_path / "out.png"))


def test_a_damaged_exif_is_no_obstacle() -> None:
    assert imagemeta.orientation(b"II*\0\xff\xff\xff\xff") == (0, False)
    assert imagemeta.without_thumbnail(b"garbage") == b""


def test_a_folder_keeps_its_names(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in (1, 2, 10):
        still(source / f"img{number}.png", filters=f"eq=brightness={number / 20}")
    target = tmp_path / "out"
    rewrite(source, target)
    assert sorted(path.name for path in target.iterdir()) == ["img1.png", "img10.png", "img2.png"]
    for path in target.iterdir():
        assert np.array_equal(rgb(path), rgb(source / path.name))
        assert read_tags(path)["synthetic_media"] == TAGS["synthetic_media"]
    with pytest.raises(MediaError, match="exists already"):
        rewrite(source, target)
    (target / "mine.txt").write_text("keep")
    rewrite(source, target, replace(OPTIONS, overwrite=True))
    assert (target / "mine.txt").read_text() == "keep" and len(list(target.iterdir())) == 4
    with pytest.raises(MediaError, match="input itself"):
        rewrite(source, source, replace(OPTIONS, overwrite=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_two_images_never_become_one(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.bmp", "a.png"):
        still(source / name)
    with pytest.raises(MediaError, match=r"two of the images would be a\.png"):
        rewrite(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_a_folder_becomes_a_video_and_a_cut_folder_keeps_the_right_names(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for number in range(5):
        still(source / f"{number}.jpg", "-q:v", "2")
    rewrite(source, tmp_path / "out.mp4", replace(OPTIONS, preset="ultrafast"))
    made = probe(tmp_path / "out.mp4")
    assert made.rate == 25 and len(list(frames(made))) == 5
    assert np.abs(rgb(source / "0.jpg") - rgb(tmp_path / "out.mp4")).mean() < 4
    info = probe(source)
    with open_writer(tmp_path / "part", info, OPTIONS) as writer:
        for frame in frames(info, 2 / 25, 4 / 25):
            writer.write(frame)
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == ["2.jpg", "3.jpg"]


def test_a_video_does_not_become_an_image_and_an_image_is_one(tmp_path: Path) -> None:
    video = clip(tmp_path / "v.mp4")
    with pytest.raises(MediaError, match="does not fit into one image"):
        open_writer(tmp_path / "v.png", probe(video))
    photo = probe(still(tmp_path / "p.png"))
    (frame,) = frames(photo)
    with pytest.raises(MediaError, match="one image"), open_writer(tmp_path / "q.png", photo) as writer:
        writer.write(frame)
        writer.write(frame)
    with pytest.raises(MediaError, match="no image"), open_writer(tmp_path / "q.png", photo):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.png", "v.mp4"]
