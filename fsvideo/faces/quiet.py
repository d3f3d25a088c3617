"""Start libraries without their notes on the user's terminal, and without plots that nobody asks for."""

from __future__ import annotations

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# absl's and TensorFlow Lite's information and warnings, OpenCV's warnings. Errors (E0000, ERROR) are not in here.
_CHATTER = re.compile(rb"[IW]\d{4} \d\d:\d\d|INFO: |WARNING: (Logging before|All log messages)|\[ ?(WARN|INFO):")


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 in this block, then pass on all lines but chatter.

    These libraries write past ``sys.stderr`` and offer no switch for it. For short blocks only: other threads' lines
    are held back as well.
    """
    try:
        sys.stderr.flush()
        terminal = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no stderr at all: nothing to keep clean
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            held.seek(0)
            rest = b"".join(line for line in held if not _CHATTER.match(line))
            if rest:
                os.write(2, rest)


class _Later(ModuleType):
    """Stands for a module until something in it is wanted."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def without_plots() -> Iterator[None]:
    """Let a package be imported in this block whose drawing helpers need matplotlib.pyplot, half a second of imports.

    They get it when they are used first.
    """
    if "matplotlib" in sys.modules:
        yield
        return
    package, pyplot = _Later("matplotlib"), _Later("matplotlib.pyplot")
    package.__dict__["pyplot"] = pyplot
    sys.modules.update({module.__name__: module for module in (package, pyplot)})
    try:
        yield
    finally:
        for module in (package, pyplot):
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]
