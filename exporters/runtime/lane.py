"""One thread for work that may wait or compute, so that the event loop never does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

__all__ = ["Lane"]

T = TypeVar("T")


class Lane:
    """Runs functions one after the other in a daemon thread: one that hangs cannot keep the process alive."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """The function's result, in the caller's event loop; what the function raises comes out there."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver(outcome: Callable[[], None]) -> None:
            if not future.done():
                outcome()

        def work() -> None:
            try:
                result = function()
                outcome: Callable[[], None] = lambda: future.set_result(result)  # noqa: E731
            except Exception as exc:
                fault = exc
                outcome = lambda: future.set_exception(fault)  # noqa: E731
            if not loop.is_closed():
                loop.call_soon_threadsafe(deliver, outcome)

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._work.put(work)
        return future

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def close(self, wait_seconds: float = 0.2) -> None:
        """Let the thread end after what is queued; wait for it a moment, not for ever."""
        self._work.put(None)
        if self._thread is not None and wait_seconds:
            self._thread.join(wait_seconds)
