"""Live collectors: read at the scrape, in time or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from msgspec import Struct

from exporters.runtime.collector import LiveCollector
from exporters.runtime.families import Rendered, render

__all__ = ["LiveSource", "Outcome", "collect_now"]


class Outcome(Struct, frozen=True):
    """What one collection gave."""

    families: Sequence[Rendered]
    seconds: float
    error: str | None = None


def collect_now(collector: LiveCollector) -> Outcome:
    """Collect and render; an exception becomes the outcome's error and leaves no series."""
    start = time.perf_counter()
    try:
        families = [render(family) for family in collector.collect()]
    except Exception as exc:
        return Outcome((), time.perf_counter() - start, f"{type(exc).__name__}: {exc}")
    return Outcome([f for f in families if f.prefixes], time.perf_counter() - start)


class LiveSource:
    """One live collector. A blocking one has one thread of its own, so that one that hangs hangs once.

    Scrapes that come while a collection is running share its outcome. One that is not done within the
    budget of a scrape is a failure of that scrape, and what it gives later is dropped.
    """

    def __init__(self, collector: LiveCollector) -> None:
        self.name = collector.name
        self.blocking = collector.blocking
        self._collector = collector
        self._running: asyncio.Future[Outcome] | None = None
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def now(self) -> Outcome:
        """Collect right here."""
        return collect_now(self._collector)

    async def within(self, budget_seconds: float) -> Outcome:
        """Collect in the collector's thread; fails when that takes longer than the budget."""
        start = time.perf_counter()
        running = self._running or self._begin()
        done, _ = await asyncio.wait((running,), timeout=max(budget_seconds, 0.0))
        if done:
            return running.result()
        return Outcome((), time.perf_counter() - start, f"not done within {budget_seconds:g} s")

    def _begin(self) -> asyncio.Future[Outcome]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self._running = future

        def finish(outcome: Outcome) -> None:
            self._running = None
            if not future.done():
                future.set_result(outcome)

        def work() -> None:
            outcome = collect_now(self._collector)
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, outcome)

        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"collect-{self.name}", daemon=True)
            self._thread.start()
        self._work.put(work)
        return future

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def close(self) -> None:
        """Let the thread end; one that hangs is left behind (it is a daemon)."""
        self._work.put(None)
        if self._thread is not None:
            self._thread.join(timeout=0.2)
