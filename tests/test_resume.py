"""A run that breaks off at any moment goes on with --resume, to the very output that an unbroken one makes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commandline import run as command_line
from media_fixtures import clip as picture_clip
from media_fixtures import ffmpeg
from resume_fixtures import EXAMPLE, SEGMENT, SOURCE, assert_same, make_clip

from fsvideo import pipeline
from fsvideo.console import Silent
from fsvideo.faces.detect import FaceFinder
from fsvideo.journal import Work, folder_of
from fsvideo.options import SwapOptions
from fsvideo.swapper import Swapper, tiny
from fsvideo.types import FsvideoError, WriteError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("resume"))


class Watch(Silent):
    """Notes what a run says and does; breaks it off after so many frames of a stage."""

    def __init__(self, stage: str = "", frames: int = 0, error: BaseException | None = None) -> None:
        self.done: dict[str, int] = {}
        self.notes: list[str] = []
        self._at = ""
        self._break = stage, frames, error or KeyboardInterrupt()

    def stage(self, name: str, total: int) -> None:
        self._at = name
        self.done[name] = 0

    def advance(self, frames: int = 1) -> None:
        self.done[self._at] += frames
        stage, limit, error = self._break
        if self._at == stage and self.done[stage] == limit:
            raise error

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def swapper() -> Swapper:
    return tiny()


def options_for(clip: Path, output: Path, **more: Any) -> SwapOptions:
    fixed: dict[str, Any] = {"model": "tiny", "preset": "ultrafast", "segment": SEGMENT, "threads": 2, "batch_size": 3}
    fixed["provenance"] = "metadata"  # signatures differ from one to the next
    return SwapOptions(source=(SOURCE,), input=clip, output=output, **{**fixed, **more})


@pytest.fixture(scope="module")
def whole(clip: Path, swapper: Swapper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run makes that nothing breaks off."""
    output = tmp_path_factory.mktemp("whole") / "out.mp4"
    report = output.with_suffix(".json")
    result = pipeline.swap(options_for(clip, output, report=report), swapper, Silent())
    assert result.swapped_frames == result.frames > 40
    assert sorted(p.name for p in output.parent.iterdir()) == ["out.json", "out.mp4"]
    assert np.ptp(np.diff(result.footage.times)) > 0.03
    return output


def broken_off(options: SwapOptions, swapper: Swapper, stage: str, frames: int) -> None:
    """Run until so many frames of a stage are done, then Ctrl-C."""
    with pytest.raises(KeyboardInterrupt):
        pipeline.swap(options, swapper, Watch(stage, frames))
    assert not options.output.exists()


@pytest.mark.parametrize("frames", [3, 20, 45])
def test_a_broken_run_goes_on_and_ends_the_same(
    clip: Path, whole: Path, swapper: Swapper, tmp_path: Path, frames: int
) -> None:
    options = options_for(clip, tmp_path / "out.mp4", report=tmp_path / "out.json")
    broken_off(options, swapper, "swap", frames)
    watch = Watch()
    result = pipeline.swap(replace(options, resume=True), swapper, watch)
    assert "faces" not in watch.done  # pass 1 is not done again
    kept = result.frames - watch.done["swap"]
    assert kept <= frames < kept + 16  # at most the segment in the making is
    assert_same(whole, options.output)
    ours, theirs = (json.loads(p.with_suffix(".json").read_text()) for p in (options.output, whole))
    assert ours["per_frame"] == theirs["per_frame"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "out.mp4"]


def test_pass_1_asks_no_network_twice(clip: Path, whole: Path, swapper: Swapper, tmp_path: Path) -> None:
    options = options_for(clip, tmp_path / "out.mp4")
    broken_off(options, swapper, "faces", 30)
    asked: list[int] = []
    follow = FaceFinder.follow

    def counted(finder: FaceFinder, *rest: Any) -> Any:
        asked.append(1)
        return follow(finder, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FaceFinder, "follow", counted)
        pipeline.swap(replace(options, resume=True), swapper, Silent())
        again = len(asked)
        pipeline.swap(options_for(clip, tmp_path / "other.mp4"), swapper, Silent())
        assert 10 < again < 0.6 * (len(asked) - again)
    assert_same(whole, options.output)
    assert_same(whole, tmp_path / "other.mp4")


def test_the_word_that_work_is_kept_and_nothing_where_there_is_none(
    clip: Path, swapper: Swapper, tmp_path: Path
) -> None:
    options = options_for(clip, tmp_path / "out.mp4")
    broken_off(options, swapper, "faces", 5)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FsvideoError, match="told"):  # an error before any segment is there
        pipeline.swap(options, swapper, Watch("swap", 2, FsvideoError("told")))
    assert list(tmp_path.iterdir()) == []
    for error in (KeyboardInterrupt(), FsvideoError("told", "mend it"), WriteError("full")):
        with pytest.raises(type(error)) as caught:
            pipeline.swap(replace(options, resume=True), swapper, Watch("swap", 12, error))
        said = caught.value.hint if isinstance(caught.value, FsvideoError) else caught.value.__notes__[-1]
        assert "--resume" in said
        assert [p.name for p in tmp_path.iterdir()] == [folder_of(options.output).name]


def test_damaged_parts_are_noticed_and_only_they_are_made_again(
    clip: Path, whole: Path, swapper: Swapper, tmp_path: Path
) -> None:
    options = options_for(clip, tmp_path / "out.mp4")
    broken_off(options, swapper, "swap", 40)
    work = folder_of(options.output)
    blob = bytearray((work / "00001").read_bytes())
    blob[len(blob) // 2] ^= 1
    (work / "00001").write_bytes(blob)
    (work / "00002").unlink()
    (work / "stranger").write_text("left over")
    watch = Watch()
    result = pipeline.swap(replace(options, resume=True), swapper, watch)
    assert any("2 finished parts are damaged" in note for note in watch.notes)
    assert watch.done["swap"] < result.frames - 8
    assert_same(whole, options.output)
    broken = options_for(clip, tmp_path / "two.mp4")
    broken_off(broken, swapper, "swap", 40)
    survey = folder_of(broken.output) / "survey.npz"
    survey.write_bytes(survey.read_bytes()[:-1])
    watch = Watch()
    pipeline.swap(replace(broken, resume=True), swapper, watch)
    assert watch.done["faces"] == result.frames
    assert_same(whole, broken.output)


def test_other_work_is_recognised_said_and_done_anew(clip: Path, whole: Path, swapper: Swapper, tmp_path: Path) -> None:
    mine, source = tmp_path / "mine.mp4", tmp_path / "source.jpg"
    shutil.copy(clip, mine)
    shutil.copy(SOURCE, source)
    output = tmp_path / "out.mp4"
    options = replace(options_for(mine, output), source=(source,))
    other = tmp_path / "other.mp4"
    ffmpeg("-i", clip, "-map", "0", "-c", "copy", "-metadata", "title=Another", other)
    photo = np.asarray(cv2.imread(str(SOURCE)))

    def as_it_was() -> None:
        shutil.copy(clip, mine)
        shutil.copy(SOURCE, source)

    changes: dict[str, Any] = {
        "--quality": lambda: replace(options, quality=30),
        "input": lambda: shutil.copy(other, mine) and options,
        "source": lambda: cv2.imwrite(str(source), photo[:, ::-1]) and options,
    }
    for word, change in changes.items():
        as_it_was()
        broken_off(replace(options, overwrite=True), swapper, "swap", 20)
        changed = change()
        watch = Watch()
        result = pipeline.swap(replace(changed, resume=True), swapper, watch)
        assert [note for note in watch.notes if f"of another {word}:" in note], word
        assert watch.done == {"faces": result.frames, "likeness": 5, "tuning": 0, "swap": result.frames}
        output.unlink()
    as_it_was()
    watch = Watch()
    pipeline.swap(replace(options, resume=True), swapper, watch)
    assert any("nothing to resume" in note for note in watch.notes)
    assert_same(whole, output)


def test_finished_parts_are_not_thrown_away_unasked(clip: Path, whole: Path, swapper: Swapper, tmp_path: Path) -> None:
    options = options_for(clip, tmp_path / "out.mp4")
    broken_off(options, swapper, "swap", 20)
    with pytest.raises(FsvideoError, match="broke off"):  # not for other settings either
        pipeline.swap(replace(options, quality=30), swapper, Silent())
    with pytest.raises(FsvideoError, match="broke off") as caught:
        pipeline.swap(options, swapper, Silent())
    assert "--resume" in caught.value.hint and "--overwrite" in caught.value.hint
    watch = Watch()
    result = pipeline.swap(replace(options, overwrite=True), swapper, watch)
    assert any("thrown away" in note for note in watch.notes)
    assert watch.done == {"faces": result.frames, "likeness": 5, "tuning": 0, "swap": result.frames}
    assert_same(whole, options.output)


def test_a_journal_cut_anywhere_names_only_what_is_there(tmp_path: Path) -> None:
    output, key, said = tmp_path / "out.mp4", {"input": "abc", "--mask": ("a", 1)}, list[str]()
    work = Work(output, key, False, False, said.append)
    for number in range(3):
        work.put(f"{number}", bytes([number]) * 1000)
    blob, folder = (work.folder / "journal.jsonl").read_bytes(), work.folder
    work._lock.close()
    ends = np.flatnonzero(np.frombuffer(blob, np.uint8) == ord("\n")) + 1
    for cut in [*range(0, len(blob), 7), *ends]:
        for number in range(3):
            (folder / f"{number}").write_bytes(bytes([number]) * 1000)
        (folder / "journal.jsonl").write_bytes(blob[:cut])
        again = Work(output, key, True, False, said.append)
        held = [n for n in range(3) if again.info(f"{n}") is not None]
        assert held == list(range(max(0, int((ends <= cut).sum()) - 1)))
        again._lock.close()


def test_one_run_at_a_time(clip: Path, swapper: Swapper, tmp_path: Path) -> None:
    options = options_for(clip, tmp_path / "out.mp4")
    with Work(options.output, {}, False, False, print), pytest.raises(FsvideoError, match="another run is making it"):
        pipeline.swap(options, swapper, Silent())
    assert list(tmp_path.iterdir()) == []


def test_broken_off_after_the_output_was_in_place(clip: Path, whole: Path, swapper: Swapper, tmp_path: Path) -> None:
    report = tmp_path / "out.json"
    options = options_for(clip, tmp_path / "out.mp4", report=report)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsvideo.report.write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pipeline.swap(options, swapper, Silent())
    stamp = options.output.stat().st_mtime_ns
    pipeline.swap(replace(options, resume=True), swapper, Silent())
    assert options.output.stat().st_mtime_ns == stamp
    assert (
        json.loads(report.read_text())["per_frame"] == json.loads(whole.with_suffix(".json").read_text())["per_frame"]
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.json", "out.mp4"]


def test_killed_while_it_cleaned_up(tmp_path: Path) -> None:
    """The output is in place, and the last of the work folder is an empty one with a lock, or without."""
    output = tmp_path / "out.mp4"
    arguments = ("swap", "--source", SOURCE, "--input", EXAMPLE, "--output", output, "--model", "unchanged")
    for names in (["lock"], []):
        output.write_bytes(b"made before")
        folder_of(output).mkdir()
        for name in names:
            (folder_of(output) / name).touch()
        assert "left as it is" in command_line(*arguments, "--resume").stderr
        assert output.read_bytes() == b"made before" and list(tmp_path.iterdir()) == [output]
        assert "left as it is" in command_line(*arguments, "--resume").stderr  # nor does it matter how often
        folder_of(output).mkdir()
        assert "exists already" in command_line(*arguments, code=1).stderr
        assert output.read_bytes() == b"made before" and list(tmp_path.iterdir()) == [output]


def test_a_clip_without_faces_is_copied_and_one_without_frames_refused(
    clip: Path, swapper: Swapper, tmp_path: Path
) -> None:
    source, output = picture_clip(tmp_path / "picture.mp4", seconds=1), tmp_path / "out.mp4"
    pipeline.swap(options_for(source, output), swapper, Silent())
    assert output.read_bytes() == source.read_bytes()
    with pytest.raises(FsvideoError, match="no frame"):
        pipeline.swap(options_for(clip, tmp_path / "none.mp4", start=60.0), swapper, Silent())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.mp4", "picture.mp4"]


def test_a_folder_of_images_goes_on(swapper: Swapper, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    ffmpeg("-i", EXAMPLE, "-vf", "scale=320:240", "-frames:v", "20", folder / "%02d.png")
    options = options_for(folder, tmp_path / "a")
    pipeline.swap(options, swapper, Silent())
    again = replace(options, output=tmp_path / "b")
    broken_off(again, swapper, "swap", 12)
    watch = Watch()
    pipeline.swap(replace(again, resume=True), swapper, watch)
    assert watch.done == {"likeness": 5, "tuning": 0, "swap": 12}
    names = [p.name for p in sorted((tmp_path / "a").iterdir())]
    assert len(names) == 20
    assert names == [p.name for p in sorted((tmp_path / "b").iterdir())]
    assert all((tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in names)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "frames"]
