"""Weights: what ships is whole and documented; every way a file can be wrong is one clear line."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fsvideo import weights
from fsvideo.types import WeightsError

META = {"kind": "aei", "name": "tiny", "config": '{"width": 4}', "note": 'quotes " and umlauts ü'}


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "b.weight": torch.randn(3, 5, generator=generator),
        "a.half": torch.randn(7, generator=generator).half(),
        "brain": torch.randn(3, generator=generator).bfloat16(),
        "step": torch.tensor(12),
        "flags": torch.tensor([True, False, True]),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "transposed": torch.randn(4, 2, generator=generator).T,
        "none": torch.zeros(0, 4),
    }


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    weights.save(path, some_tensors(), META)
    return path


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped weights that a test may damage."""
    copy = tmp_path / "weights"
    shutil.copytree(weights.folder(), copy)
    monkeypatch.setattr(weights, "folder", lambda: copy)
    return copy


def refusal(call: Callable[[], Any]) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text and 10 < len(text) < 400
    return caught.value


def with_header(path: Path, header: bytes | dict[str, Any], data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


# What ships


def test_shipped_files_are_whole() -> None:
    checks = {check.name: check for check in weights.verify()}
    assert set(checks) == set(weights.SHIPPED) >= {"identity", "landmarker", "detector"}
    assert {check.state for check in checks.values()} == {"ok"}
    assert all(check.size == check.path.stat().st_size > 2_000 for check in checks.values())


def test_sha256sum_agrees() -> None:
    done = subprocess.run(["sha256sum", "-c", weights.SUMS], cwd=weights.folder(), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": OK") == len(weights.SHIPPED)


def test_every_shipped_file_has_a_card_with_its_hash_and_a_licence() -> None:
    table = (weights.folder() / "README.md").read_text()
    listed = (weights.folder() / weights.SUMS).read_text()
    for name, shipped in weights.SHIPPED.items():
        card = (weights.folder() / shipped.file).with_suffix(".md").read_text()
        digest = next(line.split()[0] for line in listed.splitlines() if line.endswith(shipped.file))
        assert digest in card, f"{shipped.file}: the card names another sha256"
        links = [part.split(")")[0] for part in card.split("](")[1:]]
        assert any(link.startswith("licenses/") and (weights.folder() / link).is_file() for link in links), name
        assert f"`{name}`" in table and shipped.file in table
    weight_files = {p.name for p in weights.folder().iterdir() if p.suffix in {".safetensors", ".task", ".onnx"}}
    assert weight_files == {shipped.file for shipped in weights.SHIPPED.values()}


def test_shipped_checkpoints_are_of_the_kind_the_catalogue_says() -> None:
    for name, shipped in weights.SHIPPED.items():
        if shipped.file.endswith(".safetensors"):
            assert weights.load(name, shipped.kind).meta["kind"] == shipped.kind


def test_read_bytes_gives_the_models_of_other_formats() -> None:
    with zipfile.ZipFile(io.BytesIO(weights.read_bytes("landmarker"))) as bundle:
        assert bundle.testzip() is None and "face_landmarks_detector.tflite" in bundle.namelist()
    network = cv2.dnn.readNetFromONNX(np.frombuffer(weights.read_bytes("detector"), np.uint8))
    assert not network.empty()


def test_importing_the_catalogue_imports_no_torch() -> None:
    code = (
        "import sys, fsvideo.weights as w; w.verify(); sys.exit('torch' in sys.modules or 'safetensors' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(weights.__file__).parents[1]).returncode == 0


def test_one_altered_byte_is_detected(own_folder: Path) -> None:
    for name in ("identity", "detector"):
        path = weights.find(name)
        data = bytearray(path.read_bytes())
        data[-1000] ^= 1
        path.write_bytes(data)
    states = {check.name: check.state for check in weights.verify()}
    assert states["identity"] == states["detector"] == "altered" and states["landmarker"] == "ok"
    for call in (lambda: weights.load("identity"), lambda: weights.read_bytes("detector")):
        error = refusal(call)
        assert "altered" in str(error) and "git checkout" in error.hint
    by_path = refusal(lambda: weights.load(own_folder / "identity_dlib.safetensors"))
    assert "altered" in str(by_path)


def test_a_shipped_file_that_is_missing_or_cut(own_folder: Path) -> None:
    weights.find("detector").unlink()
    os.truncate(weights.find("identity"), 5_000_000)
    states = {check.name: (check.state, check.size) for check in weights.verify()}
    assert states["detector"] == ("missing", 0) and states["identity"] == ("altered", 5_000_000)
    missing, cut = refusal(lambda: weights.read_bytes("detector")), refusal(lambda: weights.load("identity"))
    assert "missing" in str(missing) and "is cut" in str(cut)
    assert "reinstall" in missing.hint and "reinstall" in cut.hint


def test_a_list_of_hashes_that_lacks_a_file_or_is_gone(own_folder: Path) -> None:
    sums = own_folder / weights.SUMS
    sums.write_text("".join(line for line in sums.read_text().splitlines(True) if "task" not in line))
    assert {check.name: check.state for check in weights.verify()}["landmarker"] == "unlisted"
    assert "altered" in str(refusal(lambda: weights.read_bytes("landmarker")))
    sums.unlink()
    assert weights.SUMS in str(refusal(weights.verify))


# Files of users


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights.save("identity", {"x": torch.ones(1)}, {"kind": "aei"})
    assert weights.find("identity") == weights.folder() / "identity_dlib.safetensors"
    assert weights.load("./identity").meta == {"kind": "aei"}
    named = refusal(lambda: weights.find("compakt", "aei", others=("warp",)))
    assert named.hint == "give a file, or one of: compact, warp"
    unknown = refusal(lambda: weights.find("compakt"))
    assert "compakt" in str(unknown) and "identity" in unknown.hint
    assert "not a file" in str(refusal(lambda: weights.find(tmp_path)))
    assert weights.find("./identity") == Path("identity")


def test_roundtrip(checkpoint: Path) -> None:
    loaded = weights.load(checkpoint, expect="aei")
    assert loaded.meta == META and loaded.path == checkpoint
    expected = some_tensors()
    assert set(loaded.tensors) == set(expected)
    for name, tensor in expected.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor), name
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_file(checkpoint).items())


def test_the_same_content_gives_the_same_bytes(checkpoint: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    weights.save(again, dict(reversed(some_tensors().items())), dict(reversed(META.items())))
    assert again.read_bytes() == checkpoint.read_bytes()
    assert weights.load(again).sha256 == weights.load(checkpoint).sha256


def test_wrong_kind(checkpoint: Path, tmp_path: Path) -> None:
    error = refusal(lambda: weights.load(checkpoint, expect="hear"))
    assert "'aei'" in str(error) and "'hear'" in str(error)
    nameless = tmp_path / "nameless.safetensors"
    weights.save(nameless, {"x": torch.ones(1)}, {})
    assert "unknown" in str(refusal(lambda: weights.load(nameless, expect="aei")))


@pytest.mark.parametrize("keep", [1, 7, 8, 30, 400, -1, -70])
def test_cut_files(checkpoint: Path, keep: int) -> None:
    os.truncate(checkpoint, keep if keep > 0 else checkpoint.stat().st_size + keep)
    assert "is cut" in str(refusal(lambda: weights.load(checkpoint)))


def test_files_that_are_no_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    for content in (b"hello, I am a text file\n", os.urandom(4096), b"\x00" * 64, b"\xff" * 64):
        path.write_bytes(content)
        assert "not a safetensors file" in str(refusal(lambda: weights.load(path)))
    path.write_bytes(b"")
    assert "empty" in str(refusal(lambda: weights.load(path)))


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(touched),)

    path = tmp_path / "model.pt"
    for zipped in (True, False):
        torch.save({"x": Bomb()}, path, _use_new_zipfile_serialization=zipped)
        assert "pickle" in str(refusal(lambda: weights.load(path)))
    assert not touched.exists()


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"x": {**ENTRY, "shape": [1 << 40]}}, "entry for 'x'"),  # would be 4 TB
        ({"x": {**ENTRY, "shape": [1 << 62, 1 << 62]}}, "entry for 'x'"),
        ({"x": {**ENTRY, "shape": [1] * 5000 + [2]}}, "entry for 'x'"),
        ({"x": {**ENTRY, "shape": [-2]}}, "entry for 'x'"),
        ({"x": {**ENTRY, "shape": [True, 2]}}, "entry for 'x'"),
        ({"x": {**ENTRY, "dtype": "F31"}}, "entry for 'x'"),
        ({"x": {**ENTRY, "data_offsets": [0, 1 << 60]}}, "entry for 'x'"),
        ({"x": {**ENTRY, "data_offsets": [8, 0]}}, "entry for 'x'"),
        ({"x": {"dtype": "F32"}}, "entry for 'x'"),
        ({"x": 3}, "entry for 'x'"),
        ({"x": {**ENTRY, "shape": [1 << 58], "data_offsets": [0, 1 << 60]}}, "is cut"),  # consistent, but not there
        ({"x": {**ENTRY, "data_offsets": [-8, 0]}}, "overlap"),
        ({"x": ENTRY, "y": ENTRY}, "overlap"),
        ({"x": ENTRY, "y": {**ENTRY, "data_offsets": [16, 24]}}, "gaps"),
        ({}, "8 bytes follow"),
        ({"__metadata__": {"kind": 3}, "x": ENTRY}, "metadata"),
        ({"__metadata__": "aei", "x": ENTRY}, "metadata"),
        (b"[1, 2, 3]", "not a safetensors"),
        (b'{"x": ', "not a safetensors"),
        (b'{"x":' * 100_000, "not a safetensors"),  # nested too deeply to parse
        (b'{"x": ' + b"9" * 10_000 + b"}", "not a safetensors"),
    ],
)
def test_header_bombs(tmp_path: Path, header: bytes | dict[str, Any], words: str) -> None:
    path = with_header(tmp_path / "bomb.safetensors", header, b"\0" * 8)
    assert words in str(refusal(lambda: weights.load(path)))


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.write((1 << 40).to_bytes(8, "little") + b"{")
        file.truncate(2 << 40)  # sparse: takes no room
    assert "not a safetensors" in str(refusal(lambda: weights.load(path)))


def test_a_file_that_may_not_be_read(checkpoint: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    checkpoint.chmod(0)
    assert "Permission denied" in str(refusal(lambda: weights.load(checkpoint)))


# Saving


def test_a_failed_save_leaves_the_old_file_and_nothing_else(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoint.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    error = refusal(lambda: weights.save(checkpoint, {"x": torch.zeros(1000)}, META))
    assert "No space left" in str(error) and checkpoint.name in str(error)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_an_interrupted_save_leaves_the_old_file(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoint.read_bytes()

    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        weights.save(checkpoint, {"x": torch.zeros(1000)}, META)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == [checkpoint.name]


def test_saving_where_one_cannot(tmp_path: Path, checkpoint: Path) -> None:
    assert "No such file" in str(refusal(lambda: weights.save(tmp_path / "no" / "x", {}, {})))
    assert "Not a directory" in str(refusal(lambda: weights.save(checkpoint / "x", {}, {})))
    assert "cannot write" in str(refusal(lambda: weights.save(tmp_path, {}, {})))


def test_saving_replaces_and_respects_the_umask(checkpoint: Path) -> None:
    kept = weights.load(checkpoint)
    weights.save(checkpoint, {"x": torch.ones(2, requires_grad=True)}, {"kind": "hear"})
    assert weights.load(checkpoint, "hear").tensors["x"].tolist() == [1, 1]
    assert torch.equal(kept.tensors["b.weight"], some_tensors()["b.weight"])  # what was loaded before stays
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(checkpoint.stat().st_mode) == 0o666 & ~umask
