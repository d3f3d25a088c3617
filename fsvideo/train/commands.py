"""What `fsvideo align` and `fsvideo train` do, from options to files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from fsvideo import weights
from fsvideo.console import Silent
from fsvideo.faces.occlude import Occluders, load_cutouts
from fsvideo.models.aei import PRESETS, AEIConfig, AEINet, widen
from fsvideo.models.hear import PRESETS as HEAR_PRESETS
from fsvideo.models.identity import EncoderEnsemble, IdentityEncoder, end_to_end
from fsvideo.networks import filled, load_blendshapes, load_encoder, load_hear, load_mesh, pick_device
from fsvideo.swapper import AEISwapper, load_swapper
from fsvideo.train import config, cut, data, hear
from fsvideo.train.aei import AEITrainer
from fsvideo.train.descend import autocast
from fsvideo.train.export import export_aei, export_hear, export_judges, judges_beside
from fsvideo.train.hear import HEARTrainer, OccludedPairs
from fsvideo.train.loop import LOOK, train
from fsvideo.train.pairs import Pairs
from fsvideo.train.run import RunFolder, to_tensor
from fsvideo.train.settings import LOSSES, AEISettings, HEARSettings
from fsvideo.train.world import World
from fsvideo.types import Array, CropSpec, FsvideoError, Image, Ui, WeightsError

_SIZES = {"compact": 64, "aei-256": 256, "tiny": 64}  # where a preset starts; it grows with init
_LIMITS = {"steps", "max_minutes", "save_minutes", "sample_every"}  # what a resumed run may change
_LOOKED_AT = 12  # rows of a samples picture


@dataclass(frozen=True)
class AlignOptions:
    """Everything `fsvideo align` was asked for."""

    input: tuple[Path, ...]
    output: Path
    size: int = 256  # pixels of the crops' side
    faces: Literal["largest", "all"] = "largest"
    workers: int = 0  # processes; 0: as many as there are cores
    device: str = "auto"


@dataclass(frozen=True)
class AlignResult:
    """How many crops were kept, and why pictures gave none."""

    output: Path
    kept: int
    left_out: dict[str, int]


@dataclass(frozen=True)
class TrainOptions:
    """Everything `fsvideo train aei` or `fsvideo train hear` was asked for."""

    data: Path
    output: Path | None = None  # None: a new folder runs/aei-<date>; with resume, the newest of these
    config: Path | None = None  # settings to start from
    init: Path | None = None  # weights to start from; aei: grown to the settings' size
    aei: str = "compact"  # hear: name or file of the AEI-Net to refine
    occluders: Path | None = None  # hear: folder of cut-outs with transparency, used beside the drawn ones
    resume: bool = False
    device: str = "auto"
    name: str | None = None  # of the weights; None: that of the output folder
    losses: str = "shipped"  # aei: which loss weights to start from, a name in LOSSES
    changes: Mapping[str, object] = field(default_factory=dict)  # single settings, over those of ``config``


@dataclass(frozen=True)
class TrainResult:
    """``weights``: what `fsvideo swap --model` takes."""

    output: Path
    weights: Path
    steps: int
    minutes: float


def align_command(options: AlignOptions, ui: Ui) -> AlignResult:
    """Cut training crops out of photos and videos and measure who they show. Goes on where a cut run was."""
    files = cut.pictures(options.input)
    for name in ("detector", "landmarker"):
        weights.read_bytes(name)  # a worker could not say what is wrong with them
    ui.stage("align", len(files))
    workers = min(options.workers or os.cpu_count() or 1, 1 + len(files) // 64)
    everyone = options.faces == "all"
    counts = cut.align(files, options.output, CropSpec(options.size), workers, everyone, ui.advance)
    kept = counts.pop("kept", 0)
    if kept == 0:
        raise FsvideoError(f"no face fit for training in {len(files)} files: {dict(counts)}", "give larger photos")
    device = pick_device(options.device)
    _embed(options.output, load_encoder(), data.FIRST, kept, device, ui)
    twins = data.mark_twins(options.output)
    if twins:
        counts["near-duplicate"] = twins
    data.contact_sheet(options.output, options.output / "sheet.png")
    return AlignResult(options.output, kept - twins, dict(counts))


def _embed(folder: Path, encoder: IdentityEncoder, name: str, count: int, device: torch.device, ui: Ui) -> None:
    """Write what ``encoder`` says of every crop of a folder, in the precision that training asks it in."""
    encoder.to(device)

    def encode(crops: Image) -> Array:
        with torch.inference_mode(), autocast(device, "auto"):
            raw: Array = encoder.raw(to_tensor(crops, device)).float().cpu().numpy()
        return raw

    ui.stage("identity", count)
    data.embed(folder, encode, ui.advance, name=name)


def _embed_others(folder: Path, encoders: Iterable[IdentityEncoder], world: World, ui: Ui) -> None:
    """Write what these recognisers say where it is not there yet; `fsvideo align` asks the first one alone."""
    for encoder in encoders:
        file = data.OTHERS.get(encoder.short)
        if world.first and file is not None and not data.embedded(folder, file):
            _embed(folder, encoder, file, 0, world.device, ui)
    world.wait()


def train_aei_command(options: TrainOptions, ui: Ui) -> TrainResult:
    """Train AEI-Net, or go on with a run; writes ``aei.safetensors`` into the run's folder."""
    data.check(options.data)
    folder = _folder(options, "aei")
    settings = _aei_settings(options, folder)
    world, ui = _join(options, settings.batch, folder, ui)
    encoder = load_encoder()
    others = {name: load_encoder(name) for name in settings.others}
    by_name = {"id": encoder, **others}
    _embed_others(options.data, others.values(), world, ui)
    mesh = load_mesh() if settings.asks_mesh or settings.turned > 0 else None
    blendshapes = load_blendshapes() if settings.w_expression > 0 else None
    faces = data.load(options.data, settings.size)
    ui.note(f"{len(faces)} crops at {settings.size} pixels from {options.data}")
    if options.resume:
        state = folder.load_state()
        with folder.fitting():
            start = AEINet(AEIConfig.from_json(state["config"]))
            trainer = AEITrainer(settings, encoder, world, start, others, mesh, blendshapes)
            trainer.load(state)
        folder.trim(trainer.step)
    else:
        fresh = _aei_start(options.init, settings, EncoderEnsemble([by_name[name] for name in settings.identity]))
        trainer = AEITrainer(settings, encoder, world, fresh, others, mesh, blendshapes)
        if options.init is not None and trainer.judge_as(_judges(options.init)):
            ui.note(f"discriminators from {judges_beside(weights.find(options.init)).name}")
    folder.make()
    about = {"command": "aei", "data": str(options.data), "init": str(options.init or "")}
    if world.first:
        config.write(folder.path / "config.toml", about, settings)
    means = {name: e.mean for name, e in by_name.items()}
    pairs = Pairs(faces, means, settings, world, mesh)
    look = Pairs(faces, means, replace(settings, batch=_LOOKED_AT), World(world.device), mesh).draw(LOOK)
    train(trainer, pairs, look, folder, ui)
    output = folder.path / "aei.safetensors"
    if world.first:
        name = options.name or folder.path.name
        export_aei(trainer.state(), output, name, notes={"crops": str(len(faces))})
        export_judges(trainer.state(), judges_beside(output), name)
    return TrainResult(folder.path, output, trainer.step, folder.minutes())


def train_hear_command(options: TrainOptions, ui: Ui) -> TrainResult:
    """Train HEAR-Net behind a frozen AEI-Net, or go on with a run.

    Writes ``hear.safetensors`` into the run's folder, and beside it ``aei.safetensors``: the AEI-Net as it was, whose
    header names the new HEAR-Net as its refiner.
    """
    data.check(options.data)
    folder = _folder(options, "hear")
    settings = _hear_settings(options, folder)
    if options.resume:  # the same AEI-Net and occluders as before
        run, _ = config.read(folder.path / "config.toml")
        cutouts = Path(run["occluders"]) if run.get("occluders") else None
        options = replace(options, aei=str(run["aei"]), occluders=cutouts)
    world, ui = _join(options, settings.batch, folder, ui)
    checkpoint = weights.load(options.aei, "aei")
    aei = load_swapper(options.aei, False, world.device)
    assert isinstance(aei, AEISwapper)
    size = aei.spec.size
    recognisers = [e for e in aei.encoder.parts if isinstance(e, IdentityEncoder)]
    _embed_others(options.data, recognisers, world, ui)
    faces = data.load(options.data, size)
    z_id = end_to_end([faces.z(e.short, e.mean) for e in recognisers])
    ui.note(f"{len(faces)} crops at {size} pixels from {options.data}, behind {checkpoint.path.name}")
    items = load_cutouts(options.occluders, size) if options.occluders is not None else []
    occluders = Occluders(size, items, settings.held_out)
    start = load_hear(str(options.init), aei.spec) if options.init is not None and not options.resume else None
    trainer = HEARTrainer(settings, aei.net, aei.encoder, world, start)
    if options.resume:
        with folder.fitting():
            trainer.load(folder.load_state())
        folder.trim(trainer.step)
    folder.make()
    about = {"command": "hear", "data": str(options.data), "aei": str(checkpoint.path.resolve())}
    about["init"] = str(options.init or "")
    about["occluders"] = str(options.occluders.resolve()) if options.occluders is not None else ""
    if world.first:
        config.write(folder.path / "config.toml", about, settings)
    everything = OccludedPairs(faces, z_id, occluders, np.arange(len(faces)), settings, World(world.device))
    if world.first:
        _hardest(folder.path / "hard.npy", aei, everything, settings, ui)
    world.wait()
    hard: npt.NDArray[np.int64] = np.load(folder.path / "hard.npy")
    pairs = OccludedPairs(faces, z_id, occluders, hard, settings, world)
    looked_at = replace(settings, batch=_LOOKED_AT)
    look = OccludedPairs(faces, z_id, occluders, hard, looked_at, World(world.device), held_out=True).draw(LOOK)
    train(trainer, pairs, look, folder, ui)
    output, name = folder.path / "hear.safetensors", options.name or folder.path.name
    both = folder.path / "aei.safetensors"
    if world.first:
        export_hear(trainer.state(), output, name, size, checkpoint.sha256, {"crops": str(len(faces))})
        weights.save(both, checkpoint.tensors, {**checkpoint.meta, "refiner": str(output.resolve())})
    return TrainResult(folder.path, both, trainer.step, folder.minutes())


def _join(options: TrainOptions, batch: int, folder: RunFolder, ui: Ui) -> tuple[World, Ui]:
    """This process among those that torchrun started. All but the first write nothing and say nothing."""
    world = World.join(pick_device(options.device), batch)
    folder.world = world
    return world, ui if world.first else Silent()


def _folder(options: TrainOptions, kind: str) -> RunFolder:
    if options.output is not None:
        return RunFolder(options.output, options.resume)
    if options.resume:
        runs = sorted(p.parent for p in Path("runs").glob(f"{kind}-*/state.pt"))
        if not runs:
            raise FsvideoError(f"no run to resume under runs/{kind}-*", "name its folder with --output")
        return RunFolder(runs[-1], True)
    return RunFolder(Path("runs") / f"{kind}-{datetime.now():%Y%m%d-%H%M%S}", False)


def _kept(options: TrainOptions, folder: RunFolder) -> dict[str, object]:
    """The settings of a run to go on with. Raises FsvideoError where others are asked for, its limits apart."""
    _, values = config.read(folder.path / "config.toml")
    asked = {**(config.read(options.config)[1] if options.config is not None else {}), **options.changes}
    if other := sorted(k for k, v in asked.items() if k not in _LIMITS and v != values.get(k)):
        raise FsvideoError(f"a resumed run keeps its settings: {', '.join(other)}", "start a new run with --init")
    return values


def _aei_settings(options: TrainOptions, folder: RunFolder) -> AEISettings:
    settings = AEISettings()
    if options.resume:
        settings = config.apply(settings, _kept(options, folder), str(folder.path / "config.toml"))
    else:
        given = config.read(options.config)[1] if options.config is not None else {}
        preset = str(options.changes.get("preset", given.get("preset", settings.preset)))
        settings = replace(settings, preset=preset, size=_SIZES.get(preset, settings.size))
        if options.init is not None:  # identity is there already
            settings = replace(settings, ramp=0, warmup=100)
        settings = config.apply(settings, LOSSES[options.losses], "losses")
        settings = config.apply(settings, given, str(options.config))
    settings = config.apply(settings, options.changes, "options")
    if settings.preset not in PRESETS:
        raise FsvideoError(f"no preset {settings.preset!r}", f"known: {', '.join(PRESETS)}")
    if settings.size not in (64, 128, 256, 512) or settings.batch < 1:
        raise FsvideoError(f"cannot train {settings.size} pixels, batch {settings.batch}", "size: 64, 128, 256 or 512")
    return settings


def _hear_settings(options: TrainOptions, folder: RunFolder) -> HEARSettings:
    settings = HEARSettings()
    if options.resume:
        settings = config.apply(settings, _kept(options, folder), str(folder.path / "config.toml"))
    elif options.config is not None:
        settings = config.apply(settings, config.read(options.config)[1], str(options.config))
    settings = config.apply(settings, options.changes, "options")
    if settings.preset not in HEAR_PRESETS:
        raise FsvideoError(f"no preset {settings.preset!r}", f"known: {', '.join(HEAR_PRESETS)}")
    return settings


def _aei_start(init: Path | None, settings: AEISettings, encoder: EncoderEnsemble) -> AEINet | None:
    """The AEI-Net to start from, for the settings' z_id. Raises FsvideoError where it cannot become what they ask."""
    if init is None:
        return None
    checkpoint = weights.load(init, "aei")
    try:
        start = AEIConfig.from_json(checkpoint.meta["config"])
        known = checkpoint.meta["identity"].split("+")
        net = filled(lambda: AEINet(start), checkpoint.tensors)
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(
            f"{checkpoint.path}: not a whole AEI-Net", "give a file that `fsvideo train aei` wrote"
        ) from error
    wanted = encoder.name.split("+")
    if wanted[: len(known)] != known:
        raise FsvideoError(
            f"{init}: made for the identity encoder {'+'.join(known)}", f"the settings ask for {encoder.name}"
        )
    if not 64 <= start.size <= settings.size <= 2 ** (len(start.gen) + 1):
        raise FsvideoError(
            f"{init}: made for {start.size} pixels, which do not grow to {settings.size}", "choose another size"
        )
    return net.float() if wanted == known else widen(net.float(), encoder.length, (len(known) / len(wanted)) ** 0.5)


def _judges(init: Path) -> dict[str, torch.Tensor]:
    """The discriminators that lie beside weights to start from; none where there are none."""
    file = judges_beside(weights.find(init))
    return weights.load(file, "judges").tensors if file.is_file() else {}


def _hardest(file: Path, aei: AEISwapper, pairs: OccludedPairs, settings: HEARSettings, ui: Ui) -> None:
    """Write the crops of the largest heuristic error among those ranked; measured once a run."""
    if not file.exists():
        rng = np.random.default_rng(settings.seed)
        count = min(settings.ranked, len(pairs.data))
        rows = np.sort(rng.choice(len(pairs.data), count, replace=False))
        ui.stage("rank", count)
        errors = []
        for part in np.split(rows, range(32, count, 32)):
            errors.append(hear.heuristic_errors(aei.net, pairs, part))
            ui.advance(len(part))
        order = np.argsort(-np.concatenate(errors), kind="stable")
        with file.with_suffix(".part").open("wb") as part_file:
            np.save(part_file, rows[order[: max(1, round(settings.hardest * count))]])
        os.replace(file.with_suffix(".part"), file)
