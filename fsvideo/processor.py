"""What a processor computes fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch computes in this thread alone: other stages have work for the other cores, and its own threads would
    wait for more at full speed."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 matrices are faster there than of float32 ones.

    On CPUs AMX makes them so. AVX-512's instructions for them alone do on AMD's (Zen 4: half the time and less), but
    took twice the time on Intel's.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    found = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    by_amd = str(found.get("cpu_name", "")).startswith("AMD") and bool(found.get("avx512_bf16"))
    return by_amd or any(bool(found.get(name)) for name in ("amx_bf16", "bf16"))
