"""Stages that overlap: a generator run ahead in a thread of its own, within bounds."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Generic, TypeVar

T = TypeVar("T")
_GIVES_WAY = 10  # niceness


class Aside(Generic[T]):
    """A long computation beside what cannot wait, in a thread of its own that gives way to others where the system can.

    ``work`` is given a function that says whether its result is still wanted, and had better ask it now and then.
    """

    def __init__(self, work: Callable[[Callable[[], bool]], T]) -> None:
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._stop = threading.Event()
        # Not a daemon: see ``ahead``.
        self._thread = threading.Thread(target=self._run, args=(work,), name="fsvideo-aside")
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> T:
        """What came of it, once it is ``done``; its error is raised here."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._results[0]

    def close(self) -> None:
        """The result is no longer wanted. Returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def _run(self, work: Callable[[Callable[[], bool]], T]) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own, which those that it starts inherit
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _GIVES_WAY)
        try:
            self._results.append(work(lambda: not self._stop.is_set()))
        except BaseException as caught:  # whatever it is, it belongs to whoever wants the result
            self._error = caught


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterable[T], depth: int) -> Generator[T]:
    """Yield ``items`` while a thread prepares up to ``depth`` more; its errors are raised here.

    Closing the generator stops the thread and closes ``items``.
    """
    ready: queue.Queue[T | _End] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: T | _End) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        source = iter(items)
        error: BaseException | None = None
        try:
            for item in source:
                put(item)
                if stop.is_set():
                    break
        except BaseException as caught:  # whatever it is, it belongs to the consumer
            error = caught
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        put(_End(error))

    # Not a daemon: one that is left behind in the middle of OpenCV when Python exits aborts the process.
    thread = threading.Thread(target=work, name="fsvideo-stage")
    try:
        thread.start()
        while not isinstance(item := ready.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join()


def latest(items: Iterator[T], stop: threading.Event, patience: float) -> Generator[T]:
    """Yield the newest of ``items`` that a thread takes as they come; whoever is slow misses some.

    The last one is never missed, and errors are raised here. ``stop`` ends it within ``patience`` seconds, also while
    nothing comes. The thread closes ``items``; where it waits for one when this ends, it does so later.
    """
    changed = threading.Condition()
    newest: list[T] = []
    end: list[_End] = []
    left = threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                with changed:
                    newest[:] = [item]
                    changed.notify()
                if left.is_set():
                    break
        except BaseException as caught:  # whatever it is, it belongs to the consumer
            error = caught
        close = getattr(items, "close", None)
        if close is not None:
            close()
        with changed:
            end.append(_End(error))
            changed.notify()

    threading.Thread(target=work, daemon=True, name="fsvideo-newest").start()
    try:
        while not stop.is_set():
            with changed:
                changed.wait_for(lambda: newest or end, patience)
                taken, newest[:] = list(newest), []
                ended = end[0] if end and not taken else None
            yield from taken
            if ended is not None:
                if ended.error is not None:
                    raise ended.error
                return
    finally:
        left.set()


@contextmanager
def insisted() -> Iterator[None]:
    """Ctrl-C or SIGTERM that code of others swallows in this block, or takes for an error, is raised at its end."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    asked: list[int] = []
    failed: Exception | None = None
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    # None: set by others than Python, which could not set it again
    before = {one: handler for one, handler in before.items() if handler not in (None, signal.SIG_IGN)}

    def remember(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for one in before:
        signal.signal(one, remember)
    try:
        yield
    except Exception as error:
        failed = error
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if asked:
        signal.raise_signal(asked[0])
    if failed is not None:
        raise failed
