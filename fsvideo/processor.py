"""What a processor computes fast."""

from __future__ import annotations

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 matrices are faster there than of float32 ones.

    On CPUs AMX makes them so; with AVX-512's instructions for them alone they took twice the time (Intel Xeon).
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    found = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(bool(found.get(name)) for name in ("amx_bf16", "bf16"))
