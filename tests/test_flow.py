"""Stages in threads of their own end when whoever takes from them ends, however that comes about."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

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
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs deaf to it
    try:
        with pytest.raises(KeyboardInterrupt):
            next(flow.ahead(_endless(closed), 2))
    finally:
        signal.signal(signal.SIGINT, before)
    assert closed and not _stages()


@pytest.mark.parametrize("asks", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("swallowing", [True, False])
def test_who_asks_is_heard_where_others_swallow_it(asks: signal.Signals, swallowing: bool) -> None:
    class Asked(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise Asked

    def others() -> None:
        try:
            signal.raise_signal(asks)
        except Asked as error:
            if not swallowing:
                raise ValueError("something else") from error

    before = signal.signal(asks, handler)
    try:
        with pytest.raises(Asked), flow.insisted():
            others()
        assert signal.getsignal(asks) is handler
    finally:
        signal.signal(asks, before)


def test_errors_go_through_where_nobody_asks() -> None:
    with pytest.raises(ValueError, match="of its own"), flow.insisted():
        raise ValueError("of its own")


def test_who_does_not_listen_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(ValueError, match="of its own"), flow.insisted():
            signal.raise_signal(signal.SIGINT)
            raise ValueError("of its own")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_computation_aside_gives_its_result_its_error_or_up() -> None:
    going_on = threading.Event()

    def until_unwanted(going: Callable[[], bool]) -> int:
        going_on.set()
        steps = 0
        while going():
            steps += 1
            time.sleep(0.005)
        return steps

    one = flow.Aside(until_unwanted)
    assert going_on.wait(5) and not one.done
    one.close()
    assert one.done and one.result() >= 0
    assert flow.Aside(lambda going: 7).result() == 7
    wrong: flow.Aside[float] = flow.Aside(lambda going: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wrong.result()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives threads a priority of their own")
def test_it_gives_way() -> None:
    def niceness(going: Callable[[], bool]) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert flow.Aside(niceness).result() > before
    assert os.getpriority(os.PRIO_PROCESS, 0) == before, "and nobody else does"
