"""Live collectors: read at the scrape, in time or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from msgspec import Struct

from exporters.runtime.collector import AnyFamily, LiveCollector
from exporters.runtime.families import Rendered, render
from exporters.runtime.lane import Lane

__all__ = ["LiveSource", "Outcome", "collect_now"]


class Outcome(Struct, frozen=True):
    """What one collection gave."""

    families: Sequence[Rendered]
    seconds: float
    error: str | None = None


def collect_now(collector: LiveCollector, last: _Last | None = None) -> Outcome:
    """Collect and render; an exception becomes the outcome's error and leaves no series.

    What is the same object as in ``last`` is not rendered again.
    """
    start = time.perf_counter()
    try:
        collected = collector.collect()
        if last is None or collected is not last.collected:
            families = [f for f in map(render, collected) if f.prefixes]
            if last is not None:
                last.collected, last.families = collected, families
        else:
            families = last.families
    except Exception as exc:
        return Outcome((), time.perf_counter() - start, f"{type(exc).__name__}: {exc}")
    return Outcome(families, time.perf_counter() - start)


class _Last:
    """What a collector gave last, and its text."""

    def __init__(self) -> None:
        self.collected: Iterable[AnyFamily] | None = None
        self.families: list[Rendered] = []


class LiveSource:
    """One live collector. A blocking one has one thread of its own, so that one that hangs hangs once.

    Scrapes that come while a collection is running share its outcome. One that is not done within the
    budget of a scrape is a failure of that scrape, and what it gives later is dropped.
    """

    def __init__(self, collector: LiveCollector) -> None:
        self.name = collector.name
        self.blocking = collector.blocking
        self._collector = collector
        self._last = _Last()
        self._lane = Lane(f"collect-{collector.name}")
        self._running: asyncio.Future[Outcome] | None = None

    def now(self) -> Outcome:
        """Collect right here."""
        return collect_now(self._collector, self._last)

    async def within(self, budget_seconds: float) -> Outcome:
        """Collect in the collector's thread; fails when that takes longer than the budget."""
        start = time.perf_counter()
        if self._running is None or self._running.done():
            self._running = self._lane.submit(lambda: collect_now(self._collector, self._last))
        running = self._running
        done, _ = await asyncio.wait((running,), timeout=max(budget_seconds, 0.0))
        if done:
            return running.result()
        return Outcome((), time.perf_counter() - start, f"not done within {budget_seconds:g} s")

    def close(self) -> None:
        """Let the thread end."""
        self._lane.close()
