"""Which processors compute in half precision: a wrong yes doubles the time, a wrong no does, too."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fsvideo.processor import has_bfloat16, one_thread


@pytest.mark.parametrize(
    ("found", "fast"),
    [
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "aarch64", "bf16": True}, True),
        ({}, False),
    ],
)
def test_half_precision_where_it_is_faster(monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], fast: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert has_bfloat16(torch.device("cpu")) is fast


def test_one_thread_is_for_a_while() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(ZeroDivisionError), one_thread():
            assert torch.get_num_threads() == 1
            raise ZeroDivisionError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
