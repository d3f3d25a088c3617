"""One process, or several that torchrun started: each takes its rows of every batch, and gradients are averaged.

A run of several processes makes the same steps as one process with the whole batch, up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from fsvideo.types import FsvideoError


@dataclass(frozen=True)
class World:
    """``rank`` of ``size`` processes, on ``device``. The first one alone writes files."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    size: int = 1

    @staticmethod
    def join(device: torch.device, batch: int) -> World:
        """The processes that torchrun started, or just this one. FsvideoError where ``batch`` cannot be shared out."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return World(device)
        if batch % size:
            raise FsvideoError(f"a batch of {batch} cannot be shared by {size} processes", "set batch to a multiple")
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return World(device, dist.get_rank(), size)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def rows(self, whole: Tensor) -> Tensor:
        """This process's share of a batch (N, ...) that all of them drew alike."""
        return whole[self.rank :: self.size]

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over the processes."""
        if self.size == 1:
            return
        parts = list(tensors)
        flat = _flatten_dense_tensors(parts) / self.size
        dist.all_reduce(flat)
        for part, mean in zip(parts, _unflatten_dense_tensors(flat, parts), strict=True):
            part.copy_(mean)

    def any(self, flag: bool) -> bool:
        """Whether it is so in one process at least."""
        told = torch.tensor([float(flag)], device=self.device)
        self.average([told])
        return bool(told)

    def wait(self) -> None:
        """Until every process is here."""
        self.any(False)
