"""Encoders that would go before everything else on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


@contextmanager
def usual_priority() -> Iterator[None]:
    """The process's threads, those that begin inside too, are scheduled as this one was before.

    SVT-AV1, run by root as in many containers, gives its threads and the one that opens it a real-time priority. Who
    then waits for a network's thread on the same core waits for ever. Only Linux has it.
    """
    if not _THREADS.is_dir():
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        for thread in (int(one.name) for one in _THREADS.iterdir()):
            with suppress(OSError):  # it has ended
                if os.sched_getscheduler(thread) != policy:
                    os.sched_setscheduler(thread, policy, parameters)
