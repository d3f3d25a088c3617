"""What the machine can do at best: the matrix product and the copy that all else is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

_SIDE = 2048  # of the matrices: 17 GFLOP a product
_BYTES = 1 << 27  # of what is copied: more than caches hold
_LEAST = 0.5  # seconds a measurement takes at least


def best_time(work: Callable[[], object], least: float = _LEAST) -> float:
    """Seconds of the fastest of several runs, after one that does not count."""
    work()
    taken: list[float] = []
    while sum(taken) < least or len(taken) < 3:
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def matrix_product(device: torch.device, dtype: torch.dtype) -> float:
    """GFLOP/s of a matrix product, with as many threads as torch is set to."""
    a = torch.rand(_SIDE, _SIDE, device=device).to(dtype)
    out = torch.empty_like(a)

    def work() -> None:
        torch.mm(a, a, out=out)
        if device.type != "cpu":
            out[0, 0].item()  # waits for it

    return 2 * _SIDE**3 / best_time(work) / 1e9


def memory_copy() -> float:
    """GB/s of a copy in main memory, what is read and what is written counted."""
    a = torch.ones(_BYTES, dtype=torch.uint8)
    b = torch.empty_like(a)
    return 2 * _BYTES / best_time(lambda: b.copy_(a)) / 1e9
