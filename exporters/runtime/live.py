"""Live collectors: read at the scrape, in time or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from msgspec import Struct

from exporters.runtime.collector import AnyFamily, LiveCollector
from exporters.runtime.families import Block, render
from exporters.runtime.lane import Lane

__all__ = ["NOTHING", "LiveSource", "Outcome"]

NOTHING = Block(())


class Outcome(Struct, frozen=True):
    """What one collection gave."""

    block: Block
    seconds: float
    error: str | None = None


class LiveSource:
    """One live collector. A blocking one has one thread of its own, so that one that hangs hangs once.

    Scrapes that come while a collection is running share its outcome. One that is not done within the
    budget of a scrape is a failure of that scrape, and what it gives later is dropped.
    """

    def __init__(self, collector: LiveCollector) -> None:
        self.name = collector.name
        self.blocking = collector.blocking
        self._collector = collector
        self._lane = Lane(f"collect-{collector.name}")
        self._running: asyncio.Future[Outcome] | None = None
        self._given: Iterable[AnyFamily] | None = None
        self._block = NOTHING

    def now(self) -> Outcome:
        """Collect and render right here; an exception becomes the outcome's error and leaves no series."""
        start = time.perf_counter()
        try:
            given = self._collector.collect()
            if given is not self._given:
                self._given, self._block = None, Block(map(render, given))
                self._given = given
        except Exception as exc:
            return Outcome(NOTHING, time.perf_counter() - start, f"{type(exc).__name__}: {exc}")
        return Outcome(self._block, time.perf_counter() - start)

    async def within(self, budget_seconds: float) -> Outcome:
        """Collect in the collector's thread; fails when that takes longer than the budget."""
        start = time.perf_counter()
        if self._running is None or self._running.done():
            self._running = self._lane.submit(self.now)
        running = self._running
        done, _ = await asyncio.wait((running,), timeout=max(budget_seconds, 0.0))
        if done:
            return running.result()
        return Outcome(NOTHING, time.perf_counter() - start, f"not done within {budget_seconds:g} s")

    def close(self) -> None:
        """Let the thread end."""
        self._lane.close()
