"""What is measured: a clip, a face for it, a model. Every measurement loads its swapper here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsvideo
from fsvideo import heap
from fsvideo.media import read
from fsvideo.networks import pick_device
from fsvideo.options import Backend, Device, SwapOptions
from fsvideo.swapper import Swapper, load_swapper
from fsvideo.types import FsvideoError, MediaError, MediaInfo

_EXAMPLES = Path(fsvideo.__file__).resolve().parents[1] / "examples"
_CLIP, _FACE = _EXAMPLES / "astronaut.mp4", _EXAMPLES / "grace_hopper.jpg"


@dataclass(frozen=True)
class BenchOptions:
    """``input`` None: the example clip, of a checkout. ``source`` None: the example photo, or who is in the clip."""

    input: Path | None = None
    source: Path | None = None
    seconds: float = 10.0  # of the clip, from its start
    model: str = "compact"
    refine: bool = True
    faces: Any = "largest"
    device: Device = "auto"
    backend: Backend = "auto"
    batch_size: int = 4
    threads: int = 0  # of the whole run, 0: all cores; stages are measured with one

    @property
    def clip(self) -> Path:
        """Raises FsvideoError where none is given and the example is not there."""
        if self.input is None and not _CLIP.is_file():
            raise FsvideoError("the example clip does not come with an installed fsvideo", "give a clip with --input")
        return self.input or _CLIP

    def probe(self) -> MediaInfo:
        """The clip. Raises MediaError for one that cannot be read or is no video."""
        info = read.probe(self.clip)
        if info.kind != "video":
            raise MediaError(f"{self.clip}: bench needs a video", "give one with --input")
        return info

    def swap_options(self, output: Path, threads: int) -> SwapOptions:
        """The swap that is measured: with everything at its default, but what these options name."""
        source = self.source or (_FACE if _FACE.is_file() else self.clip)
        return SwapOptions(
            (source,),
            self.clip,
            output,
            faces=self.faces,
            end=self.seconds,
            model=self.model,
            refine=self.refine,
            device=self.device,
            backend=self.backend,
            batch_size=self.batch_size,
            threads=threads,
            overwrite=True,
        )

    def load(self) -> Swapper:
        """The swapper, as every measurement gets it."""
        device = pick_device(self.device)
        return load_swapper(self.model, self.refine, device, backend=self.backend, at_once=self.batch_size)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_threads(threads: int) -> None:
    """Of the networks and of OpenCV, for all of this process; and its heap as `fsvideo swap` has it."""
    import cv2
    import torch

    heap.keep()
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
