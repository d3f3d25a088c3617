"""The tests' measure of memory sees what it should, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import peak


def test_a_peak_is_the_process_s_own() -> None:
    """Neither that of the process which started it, nor what this one held before it was measured."""
    ballast = bytearray(300 << 20)
    line = [sys.executable, "-c", "import peak; print(peak.held()); bytearray(200 << 20); print(peak.held())"]
    done = subprocess.run(line, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    small, large = map(int, done.stdout.split())
    assert small < 100 and 190 < large - small < 250
    assert peak.held() >= 300
    del ballast
    before = peak.start_anew()
    assert peak.held() - before < 20
    bytearray(200 << 20)
    assert 190 < peak.held() - before < 250
