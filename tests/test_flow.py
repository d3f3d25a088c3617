"""Stages in threads of their own end when whoever takes from them ends, however that comes about."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from fsvideo import flow


def _stages() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fsvideo-stage"]


def _endless(closed: list[bool]) -> Iterator[int]:
    try:
        number = 0
        while True:
            yield number
            number += 1
    finally:
        closed.append(True)


def test_what_is_made_ahead_comes_in_order_and_errors_come_last() -> None:
    def three() -> Iterator[int]:
        yield from range(3)
        raise OSError("no more")

    taken = flow.ahead(three(), 2)
    assert [next(taken) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="no more"):
        next(taken)
    assert not _stages()


def test_closing_ends_the_thread_and_closes_the_source() -> None:
    closed: list[bool] = []
    taken = flow.ahead(_endless(closed), 2)
    assert next(taken) == 0
    assert len(_stages()) == 1
    taken.close()
    assert closed and not _stages()


def test_ctrl_c_while_the_thread_starts_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        signal.raise_signal(signal.SIGINT)

    closed: list[bool] = []
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(flow.ahead(_endless(closed), 2))
    assert closed and not _stages()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_waits_for_the_end_of_an_uninterrupted_block() -> None:
    done = False
    with pytest.raises(KeyboardInterrupt), flow.uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done = True
    assert done
