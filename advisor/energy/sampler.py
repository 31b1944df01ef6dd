"""One thread that does one thing at a steady rate."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable


def next_tick(due_seconds: float, now_seconds: float, interval_seconds: float) -> tuple[float, int]:
    """When the tick after the one due at ``due_seconds`` is due, and how many were missed meanwhile.

    Ticks stay on the grid that the first one set, so lateness does not add up.

    >>> next_tick(10.0, 10.2, 1.0), next_tick(10.0, 13.4, 1.0)
    ((11.0, 0), (14.0, 3))
    """
    missed = max(math.floor((now_seconds - due_seconds) / interval_seconds), 0)
    return due_seconds + (missed + 1) * interval_seconds, missed


def say_unexpected() -> None:
    """The failure in hand, as Python says it of a thread that ends; this one goes on."""
    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


class Sampler:
    """Calls ``work`` every ``interval()`` seconds in a daemon thread until `stop`.

    ``work`` handles its own failures; what it does not is said as Python says it, and the next tick comes all
    the same. ``interval`` is asked before each tick, so that it may change.
    """

    def __init__(self, name: str, work: Callable[[], object], interval: Callable[[], float]) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.missed_ticks = 0

    @property
    def running(self) -> bool:
        return self._thread is not None

    def start(self, *, at_once: bool = False) -> None:
        """Begin, after the first interval or ``at_once``; a second call does nothing."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, args=(at_once,), name=self._name, daemon=True)
            self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End, and wait for the tick in flight; a source that hangs is left to the daemon thread."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join(timeout_seconds)

    def _run(self, at_once: bool) -> None:
        due = time.monotonic() + (0.0 if at_once else self._interval())
        while not self._stopping.wait(max(due - time.monotonic(), 0.0)):
            try:
                self._work()
            except Exception:
                say_unexpected()
            due, missed = next_tick(due, time.monotonic(), self._interval())
            self.missed_ticks += missed
