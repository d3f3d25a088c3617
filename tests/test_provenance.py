"""What outputs say about themselves, how it is checked, and what happens where it cannot be said."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from provenance_fixtures import AI_EDITED, CLIP, ROOT, SIGNED, SOURCE, TAGGED, convert, run, swap

from fsvideo.media import read
from fsvideo.media.provenance import examine
from fsvideo.media.seal import Seal
from fsvideo.types import MediaError


@pytest.fixture(scope="session")
def made(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All of them swapped in one run: what it said of each, by suffix."""
    folder = tmp_path_factory.mktemp("made")
    given = [word for path in sorted(inputs.iterdir()) for word in ("--input", path)]
    said = json.loads(swap(*given, "--output", folder, "--json").stdout)
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in inputs.iterdir())
    return {one["output"].rpartition(".")[2]: one for one in said}


@pytest.mark.parametrize("suffix", SIGNED)
def test_an_output_says_what_it_is_and_is_signed(made: dict[str, dict[str, Any]], inputs: Path, suffix: str) -> None:
    output = Path(made[suffix]["output"])
    assert made[suffix]["provenance"] == "c2pa"
    statement = examine(output)
    assert statement.state == "valid" and "AI-edited" in statement.tags["comment"]
    manifest = statement.manifest
    assert manifest is not None and not manifest.trusted and manifest.problems == ()
    (step,) = manifest.steps
    assert step.tool.startswith("fsvideo ") and step.actions == ("c2pa.opened", "c2pa.edited")
    assert step.source_types == (AI_EDITED,) and step.signer == "fsvideo user (self-made certificate)"
    assert [(i.name, i.state) for i in step.inputs] == [(f"clip_{suffix}.{suffix}", "")]
    assert step.model == made[suffix]["model"]
    sums = (ROOT / "weights" / "SHA256SUMS").read_text()
    assert {name for name, _ in step.weights} >= {"AEI-Net", "identity encoder dlib-resnet-v1"}
    assert all(f"{digest}  " in sums for _, digest in step.weights)
    blob = output.read_bytes()
    personal = [str(inputs), str(ROOT), f"{Path.home()}/", SOURCE.stem, socket.gethostname(), getpass.getuser()]
    assert not [word for word in personal if len(word) > 3 and word.encode() in blob]


@pytest.mark.parametrize("suffix", TAGGED)
def test_where_no_manifest_fits_there_are_tags(made: dict[str, dict[str, Any]], suffix: str) -> None:
    assert made[suffix]["provenance"] == "metadata"
    statement = examine(Path(made[suffix]["output"]))
    assert statement.state == "tags" and statement.manifest is None
    assert "AI-edited" in statement.tags["comment"]


def test_verify_shows_it_and_its_exit_code_says_whether_it_holds(
    made: dict[str, dict[str, Any]], config: Path, tmp_path: Path
) -> None:
    output = Path(made["mp4"]["output"])
    trust = config / "fsvideo" / "signer" / "certificate.pem"
    done = run("verify", output, "--json", "--trust", trust)
    said = json.loads(done.stdout)
    assert (said["state"], said["manifest"]["trusted"]) == ("valid", True)
    assert "trusted certificate" in done.stderr
    shown = run("verify", output).stderr
    for words in ("valid", "untrusted certificate", "clip_mp4.mp4", "opened, edited", "compositeWith", "AEI-Net"):
        assert words in shown
    blob = bytearray(output.read_bytes())
    blob[blob.rindex(b"mdat") + 5000] ^= 1
    flipped = tmp_path / "flipped.mp4"
    flipped.write_bytes(blob)
    assert "ALTERED" in run("verify", flipped, code=3).stderr
    tags = run("verify", made["mkv"]["output"]).stderr
    assert "AI-edited" in tags and "not signed" in tags
    assert "proves nothing" in run("verify", SOURCE, code=4).stderr
    assert "no certificate" in run("verify", output, "--trust", output, code=1).stderr


def riff_lengths(blob: bytes) -> set[int]:
    """Where a WebP file states how long its parts are."""
    found, at = set(range(4, 8)), 12
    while at < len(blob):
        found |= set(range(at + 4, at + 8))
        at += 8 + (int.from_bytes(blob[at + 4 : at + 8], "little") + 1 & ~1)
    return found


def test_every_flipped_bit_of_the_content_is_noticed(made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    picks = np.random.default_rng(1)
    for suffix in SIGNED:
        blob = Path(made[suffix]["output"]).read_bytes()
        lengths = riff_lengths(blob) if suffix == "webp" else set()
        start = blob.index(b"c2pa")  # what is in front of it is the manifest's box or a header
        for at in picks.integers(0, len(blob), 12):
            if start - 200 < at < start + 16_000:
                continue
            broken = bytearray(blob)
            broken[at] ^= 1
            path = tmp_path / f"broken.{suffix}"
            path.write_bytes(broken)
            manifest = examine(path).manifest
            if at in lengths:  # the way to the manifest is lost: none is found, so none holds
                assert manifest is None, (suffix, at)
                continue
            assert manifest is not None and manifest.state in ("altered", "invalid"), (suffix, at)


def test_signing_changes_no_frame_no_time_no_sound(
    made: dict[str, dict[str, Any]], inputs: Path, tmp_path: Path
) -> None:
    """Against an output without a manifest, which needs no place to keep a certificate either."""
    (tmp_path / "file").touch()
    plain = tmp_path / "plain.mp4"
    clip = inputs / "clip_mp4.mp4"
    nowhere = str(tmp_path / "file")
    done = swap("--input", clip, "--output", plain, "--provenance", "metadata", "--json", XDG_CONFIG_HOME=nowhere)
    assert json.loads(done.stdout)["provenance"] == "metadata" and "in tags only" in done.stderr
    assert examine(plain).state == "tags"

    def content(path: Path) -> tuple[list[Any], list[bytes], list[tuple[Any, ...]]]:
        info = read.probe(path)
        with av.open(str(path)) as container:
            packets = [(p.stream_index, p.pts, p.dts, p.duration, bytes(p)) for p in container.demux() if p.size]
        frames = list(read.frames(info))
        return [f.pts for f in frames], [p.tobytes() for f in frames for p in f.planes], packets

    signed = Path(made["mp4"]["output"])
    assert content(signed) == content(plain)
    assert 0 < signed.stat().st_size - plain.stat().st_size < 50_000


def test_a_remux_takes_the_manifest_and_leaves_the_comment(made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    copy = convert(tmp_path / "copy.mp4", "-c", "copy", source=Path(made["mp4"]["output"]))
    statement = examine(copy)
    assert (statement.state, statement.manifest) == ("tags", None)
    assert "AI-edited" in statement.tags["comment"]


@pytest.mark.slow
def test_what_the_input_said_before_is_kept(made: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    twice = tmp_path / "twice.mov"
    swap("--input", made["mov"]["output"], "--output", twice, "--model", "tiny")
    manifest = examine(twice).manifest
    assert manifest is not None and manifest.state == "valid"
    assert [step.model for step in manifest.steps] == ["tiny", made["mov"]["model"]]
    assert [(i.name, i.state) for i in manifest.steps[0].inputs] == [("clip_mov.mov", "valid")]
    assert "before that" in run("verify", twice).stderr


def test_an_altered_or_broken_history_is_told_and_stops_nothing(
    made: dict[str, dict[str, Any]], inputs: Path, seal: Seal, tmp_path: Path
) -> None:
    whole = Path(made["mov"]["output"]).read_bytes()
    pieces = {"altered": whole.rindex(b"mdat") + 5000, "broken": whole.index(b"fsvideo.model") + 3}
    for name, at in pieces.items():
        blob = bytearray(whole)
        blob[at] ^= 1
        (tmp_path / f"{name}.mov").write_bytes(blob)
        part = Path(shutil.copy(inputs / "clip_mov.mov", tmp_path / "x.part"))
        notes = seal.apply(part, tmp_path / "out.mov", tmp_path / f"{name}.mov")
        manifest = examine(part).manifest
        assert manifest is not None and manifest.state == "valid"
        assert [i.state for i in manifest.steps[0].inputs] == ["altered" if name == "altered" else ""]
        assert bool(notes) == (name == "broken") == (len(manifest.steps) == 1)


def test_an_image_under_anothers_extension_keeps_its_history_or_has_none(
    made: dict[str, dict[str, Any]], inputs: Path, seal: Seal, tmp_path: Path
) -> None:
    for source, steps in ((inputs / "clip_jpg.jpg", 1), (Path(made["jpg"]["output"]), 2)):
        given = Path(shutil.copy(source, tmp_path / "photo.png"))
        part = Path(shutil.copy(inputs / "clip_png.png", tmp_path / "x.part"))
        assert seal.apply(part, tmp_path / "out.png", given) == []
        manifest = examine(part).manifest
        assert manifest is not None and (manifest.state, len(manifest.steps)) == ("valid", steps)
    given.write_bytes((inputs / "clip_mov.mov").read_bytes())
    assert seal.apply(part, tmp_path / "out.png", given) == [], "nothing was there to be read"


@pytest.mark.parametrize("suffix", ["m4v", "gif"])
def test_less_common_files_are_signed_and_play_as_before(tmp_path: Path, seal: Seal, suffix: str) -> None:
    source = convert(tmp_path / f"in.{suffix}", "-t", "0.4", "-vf", "scale=160:-2")
    signed = Path(shutil.copy(source, tmp_path / "x.part"))
    assert seal.apply(signed, tmp_path / f"out.{suffix}", source) == []
    signed = signed.rename(tmp_path / f"out.{suffix}")
    assert examine(signed).state == "valid"
    before, after = (list(read.frames(read.probe(path))) for path in (source, signed))
    assert [f.pts for f in before] == [f.pts for f in after] and len(after) == 10
    planes = [[plane for frame in frames for plane in frame.planes] for frames in (before, after)]
    assert all(np.array_equal(*pair) for pair in zip(*planes, strict=True))
    blob = bytearray(signed.read_bytes())
    blob[len(blob) * 3 // 4] ^= 1
    signed.write_bytes(blob)
    assert examine(signed).state == "altered"


def test_every_image_of_a_folder_is_signed(inputs: Path, tmp_path: Path, seal: Seal) -> None:
    source, part = tmp_path / "in [1]", tmp_path / "x.part"
    for folder in (source, part):
        folder.mkdir()
    shutil.copy(inputs / "clip_png.png", part / "a.png")
    shutil.copy(inputs / "clip_jpg.jpg", part / "b.jpg")
    shutil.copy(inputs / "clip_jpg.jpg", source / "b.jpg")
    convert(source / "a.bmp", source=inputs / "clip_png.png")
    assert seal.apply(part, tmp_path / "out", source) == []
    said = {path.name: examine(path).manifest for path in part.iterdir()}
    names = {
        name: one.steps[0].inputs[0].name for name, one in said.items() if one is not None and one.state == "valid"
    }
    assert names == {"a.png": "a.bmp", "b.jpg": "b.jpg"}


def test_a_name_that_is_no_text_is_written_as_far_as_it_is(inputs: Path, tmp_path: Path, seal: Seal) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9 "x".jpg'))
    part = Path(shutil.copy(inputs / "clip_jpg.jpg", tmp_path / "x.part"))
    shutil.copy(part, source)
    assert seal.apply(part, tmp_path / "out.jpg", source) == []
    manifest = examine(part).manifest
    assert manifest is not None and manifest.steps[0].inputs[0].name == 'caf\ufffd "x".jpg'


@pytest.mark.slow
def test_a_reel_says_of_what_it_is_made(inputs: Path, tmp_path: Path) -> None:
    output, reel = tmp_path / "out.mov", tmp_path / "reel.mp4"
    swap("--input", inputs / "clip_mp4.mp4", "--model", "tiny", "--output", output, "--compare", reel)
    statement = examine(reel)
    assert statement.state == "valid" and "AI-edited" in statement.tags["comment"] and len(statement.tags) == 3
    assert statement.manifest is not None
    first, second = statement.manifest.steps
    assert [(i.name, i.state) for i in first.inputs] == [("out.mov", "valid")]
    assert [i.name for i in second.inputs] == ["clip_mp4.mp4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mov", "reel.mp4"]


@pytest.mark.slow
def test_a_preview_is_marked_too(inputs: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    swap("--input", inputs / "clip_mp4.mp4", "--model", "tiny", "--preview", sheet)
    statement = examine(sheet)
    assert statement.state == "valid" and "AI-edited" in statement.tags["comment"]
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_what_cannot_be_signed_is_left_as_it_was(tmp_path: Path, seal: Seal) -> None:
    part = tmp_path / "x.part"
    part.write_bytes(b"no video at all" * 100)
    with pytest.raises(MediaError, match=r"out\.mp4: cannot be signed") as caught:
        seal.apply(part, tmp_path / "out.mp4", CLIP)
    assert "--provenance metadata" in caught.value.hint
    assert part.read_bytes() == b"no video at all" * 100 and [p.name for p in tmp_path.iterdir()] == ["x.part"]
