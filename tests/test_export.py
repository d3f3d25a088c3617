"""Exported networks: equal to PyTorch's, and what a swap on them gives."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from commandline import run

from fsvideo import doctor
from fsvideo.backends import graph, ready
from fsvideo.backends.runtimes import RUNTIMES, Cores, Engine, start
from fsvideo.media import read
from fsvideo.models import hear
from fsvideo.networks import load_ensemble
from fsvideo.options import SwapOptions
from fsvideo.recipe import recipe
from fsvideo.swapper import AEISwapper, load_swapper, tiny
from fsvideo.types import Array, CropSpec, FsvideoError, Identity

ROOT = Path(__file__).resolve().parents[1]
SOURCE, CLIP = ROOT / "examples" / "grace_hopper.jpg", ROOT / "examples" / "astronaut.mp4"
CPU = torch.device("cpu")
needs_runtimes = pytest.mark.skipif(
    any(ready.missing(name) for name in RUNTIMES), reason="pip install 'fsvideo[cpu]' brings the runtimes"
)


@pytest.fixture(scope="module")
def engines() -> dict[str, AEISwapper]:
    """The tiny model on each backend; the commands below find its graphs in the cache."""
    made = {name: load_swapper("tiny", True, CPU, backend=name) for name in ready.BACKENDS}
    return {name: one for name, one in made.items() if isinstance(one, AEISwapper)}


def faces(count: int, size: int) -> tuple[Array, list[Identity]]:
    """Soft random crops and identities."""
    dice = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, 3, 6, 6, generator=dice) * 255
    crops = F.interpolate(coarse, size=(size, size), mode="bilinear").permute(0, 2, 3, 1).contiguous().numpy()
    z_id = F.normalize(torch.randn(count, 128, generator=dice), dim=1).numpy()
    return crops, [Identity(z, ("someone",)) for z in z_id]


def tolerance(swapper: AEISwapper) -> float:
    """Grey levels, root of the mean square: in half precision 50 dB, else a hundredth of one."""
    return 0.8 if "bfloat16" in swapper.backend else 0.01


def apart(a: Array, b: Array) -> float:
    return float(np.sqrt(np.square(a - b).mean()))


@needs_runtimes
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("name", RUNTIMES)
def test_every_backend_makes_what_pytorch_makes(engines: dict[str, AEISwapper], name: str, batch: int) -> None:
    crops, identities = faces(batch, 64)
    wanted, made = (engines[one].swap(crops, identities) for one in ("torch", name))
    assert made.shape == wanted.shape and made.dtype == np.float32
    assert apart(made, wanted) < tolerance(engines[name])
    assert name[:4] in engines[name].backend and "torch" in engines["torch"].backend
    assert np.array_equal(made, engines[name].swap(crops, identities)), "the same again, to the last bit"


@needs_runtimes
@pytest.mark.parametrize("name", RUNTIMES)
def test_group_norm_for_single_precision_is_the_same(name: str) -> None:
    """Maps that are not square, of one group and of three, far from zero and with channels of very different size."""
    dice = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.GroupNorm(1, 12, eps=1e-3), torch.nn.GroupNorm(3, 12))
    for parameter in net.parameters():
        parameter.data = torch.randn(12, generator=dice)

    def probe(count: int) -> tuple[torch.Tensor, ...]:
        sizes = 10 ** torch.linspace(-2, 2, 12)[:, None, None]
        return (torch.randn(count, 12, 9, 14, generator=dice) * sizes + 50,)

    network = graph.Network(Tuple(net), ("h",), ("out",), probe, "", {})
    contents = [graph.make(network, form) for form in (graph.Form(single=True), graph.Form())]
    engines = [start(name, content, Cores(1), exact=True) for content in contents]
    (h,) = probe(4)
    with torch.no_grad():
        wanted = net(h).numpy()
    assert wanted.std() > 0.5 and all(np.abs(one.run(h.numpy())[0] - wanted).max() < 1e-4 for one in engines)
    assert contents[0] != contents[1]


class Tuple(torch.nn.Module):
    """A network that returns its one result as a tuple."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.net(h),)


def test_many_faces_are_embedded_in_parts_and_in_order() -> None:
    plain = tiny()
    crops, _ = faces(19, 64)
    alone = np.concatenate([plain.embed(crops[k : k + 1]) for k in range(19)])
    assert np.abs(alone[1:] - alone[:-1]).max(1).min() > 1e-3
    np.testing.assert_allclose(plain.embed(crops), alone, atol=1e-5)


@needs_runtimes
@pytest.mark.parametrize("at_once", [1, 2, 5])
@pytest.mark.parametrize("name", RUNTIMES)
def test_faces_computed_side_by_side_come_out_in_order(name: str, at_once: int) -> None:
    plain = tiny()
    assert isinstance(plain, AEISwapper)
    target, z_id = (x.numpy() for x in plain.network.probe(7))
    engine = start(name, ready.exported(plain.network, name, print), Cores(2, at_once), exact=True)
    with torch.inference_mode():
        wanted = plain.network.net(torch.from_numpy(target), torch.from_numpy(z_id))[0].numpy()
    assert min(np.abs(wanted[k] - wanted[k - 1]).max() for k in range(7)) > 0.1
    for count in (7, 1, 3):
        assert np.abs(engine.run(target[:count], z_id[:count])[0] - wanted[:count]).max() < graph.LIMIT


@needs_runtimes
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("onnx", graph.Form()),
        ("onnx", graph.Form(single=True)),
        ("openvino", graph.Form()),
        ("openvino", graph.Form(one=True)),
        ("openvino", graph.Form(single=True, one=True)),
    ],
)
def test_hear_net_and_its_share_are_the_same(name: str, form: graph.Form) -> None:
    torch.manual_seed(1)
    refiner = hear.HEARNet(hear.PRESETS["tiny"]).eval().requires_grad_(False)
    torch.nn.init.normal_(refiner.last.weight, std=0.05)
    plain = tiny()
    assert isinstance(plain, AEISwapper)
    whole = AEISwapper("hear", plain.net, load_ensemble(), refiner, CropSpec(64), CPU, share=0.6)
    crops, identities = faces(3, 64)
    wanted = whole.swap(crops, identities)
    assert apart(wanted, plain.swap(crops, identities)) > 1
    content = ready.exported(whole.layered, name, print, form)
    cores = Cores(torch.get_num_threads())
    whole.engine = start(name, content, cores, exact=True)
    assert apart(whole.swap(crops, identities), wanted) < 0.01
    whole.engine = start(name, content, cores)
    assert apart(whole.swap(crops, identities), wanted) < tolerance(whole)


@needs_runtimes
@pytest.mark.slow
@pytest.mark.parametrize("name", RUNTIMES)
def test_shipped_weights_stay_invisibly_close_on_real_faces(name: str) -> None:
    """50 dB at least, and who it looks like stays: what decides whether half precision may be used."""
    import cv2

    from fsvideo.faces.align import crop
    from fsvideo.networks import load_finder

    plain, other = (load_swapper("compact", True, CPU, backend=one) for one in ("torch", name))
    pictures = [cv2.imread(str(ROOT / "examples" / file))[..., ::-1].copy() for file in (SOURCE.name, "astronaut.png")]
    with load_finder() as finder:
        found = [finder.find(picture)[0] for picture in pictures]
    pairs = list(zip(pictures, found, strict=True))
    crops = np.stack([crop(p, f.points, plain.spec).rgb for p, f in pairs]).astype(np.float32)
    z_id = plain.embed(np.stack([crop(p, f.points, plain.spec.resized(192)).rgb for p, f in pairs]))[::-1]
    identities = [Identity(z, ("someone",)) for z in z_id]
    wanted, made = plain.swap(crops, identities), other.swap(crops, identities)
    for a, b in zip(made, wanted, strict=True):
        assert 20 * np.log10(255 / apart(a, b)) > (50 if "bfloat16" in other.backend else 90)
    likeness = [(plain.embed(y.clip(0, 255)) * z_id).sum(1) for y in (made, wanted)]
    assert np.abs(likeness[0] - likeness[1]).max() < 0.02


@needs_runtimes
def test_a_swap_is_the_same_on_every_backend(engines: dict[str, AEISwapper], tmp_path: Path) -> None:
    shown = {}
    for name in engines:
        output = tmp_path / f"{name}.mkv"
        options = ("--model", "tiny", "--backend", name, "--encoder", "ffv1", "--end", "0.2", "--json")
        done = run("swap", "--source", SOURCE, "--input", CLIP, "--output", output, *options)
        said = json.loads(done.stdout)
        assert said["backend"] == engines[name].backend and said["frames_swapped"] == said["frames"] > 3
        info = read.probe(output)
        shown[name] = np.concatenate([np.concatenate([p.ravel() for p in f.planes]) for f in read.frames(info)])
    for name in RUNTIMES:
        off = np.abs(shown[name].astype(int) - shown["torch"])
        assert off.max() <= (8 if "bfloat16" in engines[name].backend else 1)
        assert off.mean() < 0.1


SIGNALLED = """
import gc, os, signal
from pathlib import Path
from fsvideo.backends.runtimes import Cores, start
signal.signal(signal.SIGINT, lambda *_: print("asked to stop"))
first, second = (start("openvino", Path("GRAPH"), Cores(1)) for _ in range(2))
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGINT)
"""


@needs_runtimes
def test_ctrl_c_is_heard_after_engines_are_gone(engines: dict[str, AEISwapper], tmp_path: Path) -> None:
    run("export", "--model", "tiny", "--to", "onnx", "--output", tmp_path)
    code = SIGNALLED.replace("GRAPH", str(next(tmp_path.glob("*.onnx"))))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "asked to stop\n"), done.stderr


@needs_runtimes
@pytest.mark.parametrize("to", RUNTIMES)
def test_export_writes_files_that_say_what_they_are(engines: dict[str, AEISwapper], tmp_path: Path, to: str) -> None:
    given = ("export", "--model", "tiny", "--to", to, "--output", tmp_path / "new" / "folder")
    said = json.loads(run(*given, "--json").stdout)
    assert 0 < said["difference"] < graph.LIMIT
    files = [Path(one) for one in said["files"]]
    assert sorted(one.name for one in files) == (["tiny.onnx"] if to == "onnx" else ["tiny.bin", "tiny.xml"])
    assert sorted(files) == sorted((tmp_path / "new" / "folder").iterdir())
    content = b"".join(one.read_bytes() for one in files)
    assert str(ROOT).encode() not in content and b"template" in content and b"dlib-resnet-v1" in content
    engine = start(to, files[-1], Cores(1), exact=True)
    target, z_id = np.zeros((3, 3, 64, 64), np.float32), np.zeros((3, 128), np.float32)
    assert [y.shape for y in engine.run(target, z_id)] == [(3, 3, 64, 64)]
    assert "--overwrite" in run(*given, code=1).stderr
    run(*given, "--overwrite")


def test_only_networks_are_exported(tmp_path: Path) -> None:
    done = run("export", "--model", "unchanged", "--to", "onnx", "--output", tmp_path, code=1)
    assert "no networks to export" in done.stderr
    done = run("swap", "--source", SOURCE, "--input", CLIP, "--model", "warp", "--backend", "onnx", code=1)
    assert "no networks" in done.stderr


@pytest.mark.parametrize(
    ("name", "package"), [("openvino", "openvino"), ("onnx", "onnxruntime"), ("onnx", "onnxscript")]
)
def test_a_backend_that_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if there were no such package
    output = tmp_path / "out.mp4"
    given = ("swap", "--source", SOURCE, "--input", CLIP, "--output", output, "--model", "tiny", "--backend", name)
    done = run(*given, code=1)
    assert f"needs {package}" in done.stderr and "pip install 'fsvideo[cpu]'" in done.stderr
    assert not output.exists() and len(done.stderr.strip().splitlines()) <= 3
    assert ready.pick("auto", "cpu") != name
    (row,) = [found for found in doctor.checks() if found.name == f"backend {name}"]
    assert not row.ok and row.optional and package in row.found and "[cpu]" in row.hint


def test_doctor_shows_the_brackets_of_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    row = doctor.Finding(
        "backend onnx", False, "onnxruntime not installed", "pip install 'fsvideo[cpu]'", optional=True
    )
    monkeypatch.setattr(doctor, "checks", lambda: [row])
    assert "pip install 'fsvideo[cpu]'" in run("doctor").stderr


def test_auto_takes_pytorch_where_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready.pick("auto", "cuda") == ready.pick("auto", "mps") == "torch"
    with pytest.raises(FsvideoError, match="runs on the CPU"):
        ready.pick("openvino", "cuda")
    with pytest.raises(FsvideoError, match="no backend"):
        ready.pick("tensorflow", "cpu")
    for package in ("openvino", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    assert ready.pick("auto", "cpu") == "torch"


def test_auto_goes_on_with_pytorch_where_a_runtime_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Engine:
        raise FsvideoError("it cannot start")

    monkeypatch.setattr("fsvideo.swapper.ready", broken)
    monkeypatch.setattr("fsvideo.swapper.pick", lambda wanted, device: "onnx")
    notes: list[str] = []
    swapper = load_swapper("compact", False, CPU, backend="auto", note=notes.append)
    assert swapper.backend.startswith("torch") and "it cannot start" in notes[0]
    with pytest.raises(FsvideoError, match="cannot start"):
        load_swapper("compact", False, CPU, backend="onnx")


def test_a_graph_that_is_off_is_refused() -> None:
    plain = tiny()
    assert isinstance(plain, AEISwapper)
    net = plain.network.net
    for wrong in (0.01, np.nan):

        def run_it(target: Array, z: Array, wrong: float = wrong) -> list[Array]:
            with torch.no_grad():
                return [net(torch.from_numpy(target), torch.from_numpy(z))[0].numpy() + np.float32(wrong)]

        with pytest.raises(FsvideoError, match="off by"):
            graph.difference(plain.network, Engine("a runtime", run_it))
    assert graph.fingerprint(net, "a") != graph.fingerprint(net, "b")
    before = graph.fingerprint(net, "a")
    with torch.no_grad():
        next(net.parameters()).flatten()[0] += 1
    assert graph.fingerprint(net, "a") != before


def test_the_result_depends_on_the_backend(tmp_path: Path) -> None:
    swapper = tiny()
    assert isinstance(swapper, AEISwapper)
    options = SwapOptions((SOURCE,), CLIP, tmp_path / "out.mp4")
    one = recipe(options, swapper)
    swapper.engine = Engine("openvino 1, float32", lambda target, z_id: [target])
    assert one["backend"].startswith("torch") and recipe(options, swapper)["backend"] == "openvino 1, float32"
