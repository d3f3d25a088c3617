"""align, train aei and train hear from photos to weights that swap; export; settings as TOML."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from train_fixtures import Recorder, aei_file, aei_state, faces

from fsvideo import weights
from fsvideo.models.aei import PRESETS
from fsvideo.swapper import AEISwapper, load_swapper
from fsvideo.train import config, data
from fsvideo.train.commands import (
    AlignOptions,
    TrainOptions,
    align_command,
    train_aei_command,
    train_hear_command,
)
from fsvideo.train.export import export_aei, export_hear
from fsvideo.train.settings import AEISettings, HEARSettings
from fsvideo.types import CropSpec, FsvideoError, Identity, WeightsError

CPU = torch.device("cpu")
QUICK = {"preset": "tiny", "batch": 2, "steps": 2, "sample_every": 2}


@pytest.fixture(scope="module")
def crops(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of training crops made of a few photos, a picture without a face and one that is broken."""
    photos = tmp_path_factory.mktemp("photos")
    for file in sorted((data / "train" / "public_domain").iterdir())[:10]:
        (photos / file.name).symlink_to(file)
    shutil.copy(next((data / "hard").glob("noface_*")), photos / "noface.jpg")
    (photos / "broken.jpg").write_bytes(b"not a photo")
    again = cv2.imread(str(sorted((data / "train" / "public_domain").iterdir())[0]))
    small = cv2.resize(again, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(photos / "zz_the_first_again.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 80])
    output = tmp_path_factory.mktemp("made") / "crops"
    ui = Recorder()
    result = align_command(AlignOptions((photos,), output, size=128, device="cpu"), ui)
    assert result.kept + sum(result.left_out.values()) == 13
    assert result.kept >= 9 and result.left_out["unreadable"] == 1 and result.left_out["no face"] >= 1
    assert result.left_out["near-duplicate"] == 1
    assert ui.stages == {"align": [13, 13], "identity": [result.kept + 1, result.kept + 1]}
    assert cv2.imread(str(output / "sheet.png")).shape == (112, 15 * 112, 3)
    return output


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs without --output land under the working folder."""
    monkeypatch.chdir(tmp_path)
    yield


def test_embeddings_that_a_broken_off_run_left_are_made_anew(crops: Path, tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    shutil.copytree(crops, folder)
    name = data.OTHERS["third"]
    np.save(folder / name, np.zeros((3, 8), np.float32))
    assert not data.embedded(folder, name) and "third" not in data.load(folder, 64).others
    np.save(folder / name, np.zeros((len(np.load(folder / data.FIRST)), 8), np.float32))
    assert data.embedded(folder, name) and "third" in data.load(folder, 64).others


def test_crops_are_aligned_faces(crops: Path) -> None:
    loaded = data.load(crops, 64)
    assert loaded.rgb.shape[1:] == (64, 64, 3) and loaded.rgb.dtype == np.uint8
    assert len(loaded.embeddings) == len(loaded.points) == len(loaded) >= 9
    assert np.abs(loaded.points - CropSpec(64).points).max() < 8  # every face's points lie near the template's
    assert loaded.points.std(0).max() > 0.2
    lengths = np.linalg.norm(loaded.embeddings, axis=1)
    assert (lengths > 0.5).all() and len(np.unique(loaded.embeddings[:, 0])) == len(loaded)
    assert data.load(crops, 128).rgb.shape[1] == 128
    assert len(data.load(crops, 64, every=2)) == (len(loaded) + 1) // 2


def test_a_video_gives_a_picture_a_second(data: Path, tmp_path: Path) -> None:
    clip = min((data / "clips").glob("*.mp4"), key=lambda p: p.stat().st_size)
    result = align_command(AlignOptions((clip,), tmp_path / "made", size=64, device="cpu"), Recorder())
    names = [str(n) for n in np.load(tmp_path / "made" / "0000.npz")["files"]]
    assert 1 <= result.kept == len(names) - result.left_out.get("near-duplicate", 0)
    assert len(set(names)) == len(names) and all(n.startswith(f"{clip}#") for n in names)
    seconds = [float(n.rpartition("#")[2]) for n in names]
    assert all(b - a >= 0.99 for a, b in pairwise(seconds))


def test_everyone_in_a_picture_or_the_largest(data: Path, tmp_path: Path) -> None:
    group = next((data / "hard").glob("three_people*"))
    one, all_ = (
        align_command(AlignOptions((group,), tmp_path / faces, size=64, faces=faces, device="cpu"), Recorder())
        for faces in ("largest", "all")
    )
    assert one.kept + sum(one.left_out.values()) == 1
    assert all_.kept + sum(all_.left_out.values()) >= 3 and all_.kept >= 2
    with pytest.raises(FsvideoError, match="other files or faces"):
        align_command(AlignOptions((group,), tmp_path / "all", size=64), Recorder())


def test_align_refuses_what_it_cannot_use(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(FsvideoError, match="no such file"):
        align_command(AlignOptions((tmp_path / "none",), tmp_path / "out"), Recorder())
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(FsvideoError, match="no photos or videos"):
        align_command(AlignOptions((tmp_path,), tmp_path / "out"), Recorder())
    (tmp_path / "other.jpg").write_bytes(b"x")
    with pytest.raises(FsvideoError, match="other files"):
        align_command(AlignOptions((tmp_path,), crops), Recorder())
    with pytest.raises(FsvideoError, match="no face"):
        align_command(AlignOptions((tmp_path,), tmp_path / "out", device="cpu"), Recorder())


def test_a_data_folder_that_is_not_whole_is_refused(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(FsvideoError, match="not a folder of training crops"):
        data.load(tmp_path, 64)
    copy = tmp_path / "copy"
    shutil.copytree(crops, copy)
    np.save(copy / "embeddings.npy", np.load(copy / "embeddings.npy")[:3])
    with pytest.raises(FsvideoError, match="3 embeddings"):
        data.load(copy, 64)
    (copy / "embeddings.npy").unlink()
    before = sorted(copy.iterdir())
    with pytest.raises(FsvideoError, match="no embeddings yet"):
        train_aei_command(TrainOptions(copy, tmp_path / "r", device="cpu"), Recorder())
    assert sorted(copy.iterdir()) == before, "it is told before minutes go into the other recognisers' embeddings"


def swaps(model: Path, refine: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    swapper = load_swapper(str(model), refine, CPU)
    assert isinstance(swapper, AEISwapper)
    crop = faces(1, swapper.spec.size).rgb.astype(np.float32)
    embedding = np.eye(1, swapper.encoder.length, dtype=np.float32)[0]
    return swapper.swap(crop, [Identity(embedding, ("x",))])


def test_train_aei_then_hear_from_crops_to_a_model_that_swaps(crops: Path, tmp_path: Path) -> None:
    ui = Recorder()
    first = train_aei_command(TrainOptions(crops, tmp_path / "a", device="cpu", changes=QUICK), ui)
    assert first.steps == 2 and first.weights == tmp_path / "a" / "aei.safetensors"
    meta = weights.load(first.weights, "aei").meta
    assert meta["name"] == "a" and meta["steps"] == "2" and meta["samples"] == "4" and meta["refiner"] == ""
    assert CropSpec.from_json(meta["crop"]) == CropSpec(64) and meta["identity"] == "dlib-resnet-v1+mobilefacenet"
    weights_of = {k.removeprefix("w_"): v for k, v in asdict(AEISettings()).items() if k.startswith("w_")}
    assert json.loads(meta["losses"]) == weights_of and {"adv", "att", "id", "rec"} <= weights_of.keys()
    assert (tmp_path / "a" / "samples" / "0000002.png").is_file()

    # a new run at the same size: who judged goes on judging
    again = TrainOptions(crops, tmp_path / "c", init=first.weights, device="cpu", changes=QUICK)
    train_aei_command(again, ui)
    assert "discriminators from aei_judges.safetensors" in ui.notes

    # growing: a new run at twice the size from the first one's weights
    grown = {**QUICK, "size": 128, "steps": 1}
    options = TrainOptions(crops, tmp_path / "b", init=first.weights, device="cpu", changes=grown, name="big")
    second = train_aei_command(options, ui)
    meta = weights.load(second.weights, "aei").meta
    assert CropSpec.from_json(meta["crop"]).size == 128 and meta["name"] == "big"
    assert swaps(second.weights, False).shape == (1, 128, 128, 3)

    quick = {"preset": "tiny", "batch": 2, "steps": 2, "sample_every": 1, "ranked": 5, "hardest": 0.4}
    third = train_hear_command(
        TrainOptions(crops, tmp_path / "h", aei=str(first.weights), device="cpu", changes=quick), ui
    )
    assert ui.stages["rank"] == [5, 5] and len(np.load(tmp_path / "h" / "hard.npy")) == 2
    meta = weights.load(tmp_path / "h" / "hear.safetensors", "hear").meta
    assert meta["aei_sha256"] == weights.load(first.weights).sha256
    assert load_swapper(str(third.weights), True, CPU).refiner is not None  # type: ignore[attr-defined]
    np.testing.assert_allclose(swaps(third.weights, False), swaps(first.weights, True))

    # HEAR-Net goes on behind another AEI-Net, here by a step too small to see
    still = {**quick, "steps": 1, "lr": 1e-9}
    began, again = tmp_path / "h" / "hear.safetensors", tmp_path / "h2"
    train_hear_command(TrainOptions(crops, again, aei=str(first.weights), init=began, device="cpu", changes=still), ui)
    before, after = (weights.load(file, "hear").tensors for file in (began, again / "hear.safetensors"))
    assert all(torch.allclose(before[name], after[name], atol=1e-3) for name in before) and before["last.weight"].any()
    names = [json.loads(line).keys() for line in (tmp_path / "h" / "metrics.jsonl").read_text().splitlines()]
    assert {"look_occ", "look_occ_before", "look_change"} <= names[-1]


def test_a_run_goes_on_with_resume(crops: Path, tmp_path: Path) -> None:
    options = TrainOptions(crops, device="cpu", changes=QUICK)
    began = train_aei_command(options, Recorder())
    assert began.output.parent == Path("runs") and began.output.name.startswith("aei-")
    with pytest.raises(FsvideoError, match="holds a run already"):
        train_aei_command(replace(options, output=began.output), Recorder())
    with pytest.raises(FsvideoError, match="keeps its settings: batch"):
        train_aei_command(replace(options, resume=True, changes={**QUICK, "batch": 3}), Recorder())
    more = replace(options, resume=True, changes={**QUICK, "steps": 3})
    assert train_aei_command(more, Recorder()).steps == 3  # found without --output
    written = tomllib.loads((began.output / "config.toml").read_text())
    assert written["settings"]["steps"] == 3 and written["settings"]["batch"] == 2
    kept = (began.output / "state.pt").read_bytes()
    state = torch.load(began.output / "state.pt", weights_only=True)
    del state["discriminator"][next(iter(state["discriminator"]))]  # as of a version that had no such part
    torch.save(state, began.output / "state.pt")
    with pytest.raises(FsvideoError, match="does not fit the networks of this version") as caught:
        train_aei_command(more, Recorder())
    assert "--init" in caught.value.hint
    (began.output / "state.pt").write_bytes(kept)

    quick = {"preset": "tiny", "batch": 2, "steps": 1, "ranked": 4}
    hear = TrainOptions(crops, tmp_path / "h", aei=str(began.weights), device="cpu", changes=quick)
    train_hear_command(hear, Recorder())
    ui = Recorder()
    again = replace(hear, aei="unknown", resume=True, changes={"steps": 2})
    assert train_hear_command(again, ui).steps == 2
    assert "rank" not in ui.stages  # measured once


def test_settings_come_from_presets_then_file_then_options(crops: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[settings]\npreset = "tiny"\nbatch = 3\nw_id = 5\nlr = 1e-3\n')
    options = TrainOptions(crops, tmp_path / "r", config=file, device="cpu", changes={"steps": 1, "batch": 2})
    train_aei_command(options, Recorder())
    written = tomllib.loads((tmp_path / "r" / "config.toml").read_text())
    assert written["run"]["command"] == "aei" and written["run"]["data"] == str(crops)
    expected = AEISettings(preset="tiny", batch=2, w_id=5.0, lr=1e-3, steps=1)
    assert written["settings"] == {**asdict(expected), "identity": ["id", "third"]}
    # what was written starts the same run again
    assert config.apply(AEISettings(), config.read(tmp_path / "r" / "config.toml")[1], "x") == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": {"preset": "huge"}}, "no preset 'huge'"),
        ({"changes": {"size": 100}}, "cannot train 100 pixels"),
        ({"changes": {"colour": 1}}, "no setting 'colour'"),
        ({"changes": {"batch": "many"}}, "not a whole number"),
        ({"resume": True}, "no run to resume"),
        ({"data": Path("nothing")}, "not a folder of training crops"),
        ({"init": Path("nothing.safetensors")}, "no weights called"),
    ],
)
def test_wrong_options_leave_nothing_behind(
    options: dict[str, object], message: str, crops: Path, tmp_path: Path
) -> None:
    with pytest.raises(FsvideoError, match=message):
        train_aei_command(replace(TrainOptions(crops, tmp_path / "r", device="cpu"), **options), Recorder())
    assert not (tmp_path / "r").exists()


def test_an_init_that_does_not_fit_is_refused(crops: Path, tmp_path: Path) -> None:
    tiny = PRESETS["tiny"]
    few, large = replace(tiny, gen=tiny.gen[:7]), replace(tiny, size=128)
    for config_, size in ((few, 512), (large, 64)):
        file = aei_file(tmp_path / "small.safetensors", config_)
        options = TrainOptions(crops, tmp_path / "r", init=file, device="cpu", changes={**QUICK, "size": size})
        with pytest.raises(FsvideoError, match=f"do not grow to {size}"):
            train_aei_command(options, Recorder())
    assert not (tmp_path / "r").exists()


def test_an_exported_net_is_the_average_in_half_precision(tmp_path: Path) -> None:
    state = aei_state()
    torch.save(state, tmp_path / "state.pt")
    output = tmp_path / "out.safetensors"
    header = export_aei(tmp_path / "state.pt", output, "mine", refiner="hear", notes={"data": "d"})
    checkpoint = weights.load(output, "aei")
    assert checkpoint.meta == header
    assert header["data"] == "d" and header["refiner"] == "hear" and header["samples"] == "28"
    for name, values in state["ema"].items():  # type: ignore[attr-defined]
        assert checkpoint.tensors[name].dtype == torch.float16
        assert torch.equal(checkpoint.tensors[name], values.half())
    assert swaps(tmp_path / "out.safetensors", False).shape == (1, 64, 64, 3)


def test_export_refuses_numbers_that_do_not_fit_and_files_that_are_no_state(tmp_path: Path) -> None:
    state = aei_state()
    state["ema"] = {**state["ema"], "start.bias": torch.full((64,), 1e6)}  # type: ignore[dict-item]
    with pytest.raises(WeightsError, match=r"start\.bias"):
        export_aei(state, tmp_path / "out.safetensors", "x")
    with pytest.raises(FsvideoError, match=r"state\.pt"):
        export_hear(tmp_path / "state.pt", tmp_path / "out.safetensors", "x", 64, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[settings]\nbatch = 'x'", "whole number"),
        ("[settings]\nbatch = true", "whole number"),
        ("[settings]\nheld_out = [1]", "list of texts"),
        ("batch = 3", "more than"),
        ("[settings", "not TOML"),
        ("[settings]\nnothing = 1", "no setting 'nothing'"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(FsvideoError, match=message) as caught:
        config.apply(HEARSettings(), config.read(tmp_path / "c.toml")[1], "c.toml")
    assert "\n" not in str(caught.value)


def test_settings_of_every_type_survive_a_round_trip(tmp_path: Path) -> None:
    settings = HEARSettings(held_out=("a/", 'with "quotes" and \\'), lr=3e-5, steps=7, seed=-1)
    config.write(tmp_path / "c.toml", {"data": "C:\\pictures of é\t"}, settings)
    run, values = config.read(tmp_path / "c.toml")
    assert config.apply(HEARSettings(), values, "c") == settings
    assert run == {"data": "C:\\pictures of é\t"}
