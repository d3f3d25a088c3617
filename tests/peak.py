"""How much memory a process has held at most, by itself.

Not getrusage's ru_maxrss: Linux hands that down through fork and exec, so that a small command has the peak of the
large test run that started it.

python tests/peak.py swap ...   # the command line; the last line on stderr is its peak
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def held(what: str = "VmHWM") -> int:
    """The most memory this process has held, MB: since it began, or since ``start_anew``."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) // 1024


def start_anew() -> int:
    """Forget the peak so far; what the process holds now, MB."""
    Path("/proc/self/clear_refs").write_text("5")
    return held("VmRSS")


def command(*arguments: object) -> list[str]:
    """How to start `fsvideo` so that it says its peak when it ends."""
    return [sys.executable, __file__, *map(str, arguments)]


def told(stderr: str) -> int:
    """The peak that such a process has said, MB."""
    return int(stderr.rpartition("peak ")[2])


def of(*arguments: object) -> int:
    """The peak of `fsvideo` with arguments that must succeed, MB."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return told(done.stderr)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from fsvideo.cli import main

    try:
        main()
    finally:
        print("peak", held(), file=sys.stderr)
