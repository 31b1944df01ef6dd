"""One answer to ``/metrics``: every collector's families, and what the exporter says of itself."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from exporters.runtime.collector import Collector, Exporter, LiveCollector
from exporters.runtime.families import Block, Family, Filled, render
from exporters.runtime.gzips import Piece, gzip_of, join, piece
from exporters.runtime.live import NOTHING, LiveSource, Outcome
from exporters.runtime.logs import logger
from exporters.runtime.process import FAMILIES as PROCESS_FAMILIES
from exporters.runtime.process import ProcessMetrics
from exporters.runtime.snapshot import Page, SnapshotSource

__all__ = ["Report", "Scraper", "own_families"]


class Report:
    """How a collector did last, for the page and the log: a failure is logged once, not at every scrape."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.at: float | None = None
        self.seconds = 0.0
        self.error: str | None = None
        self.failures = 0

    def note(self, error: str | None, seconds: float) -> None:
        """Keep the outcome of one collection."""
        if error is not None:
            self.failures += 1
            if error != self.error:
                logger().error("collector failed", collector=self.name, error=error)
            else:
                logger().debug("collector failed again", collector=self.name, error=error)
        elif self.error is not None:
            logger().info("collector recovered", collector=self.name)
        self.error, self.seconds, self.at = error, seconds, time.time()


def own_families(name: str) -> dict[str, Family]:
    """What every exporter says of itself, by role."""
    stem, by = f"{name}_exporter", ("collector",)
    return {
        "build": Family(f"{stem}_build_info", "info", "Version of this exporter.", ("version", "python")),
        "success": Family(
            f"{stem}_collector_success", "gauge", "1 if the collector's last run succeeded.", by
        ),
        "duration": Family(
            f"{stem}_collector_duration_seconds", "gauge", "How long the collector's last run took.", by
        ),
        "failures": Family(
            f"{stem}_collector_failures_total", "counter", "Failed runs of the collector.", by
        ),
    }


class Scraper:
    """The collectors of one exporter, ready to be asked."""

    def __init__(self, exporter: Exporter, collectors: Sequence[Collector]) -> None:
        self.live = [LiveSource(c) for c in collectors if isinstance(c, LiveCollector)]
        self.snapshots = [
            SnapshotSource(c, self._refreshed) for c in collectors if not isinstance(c, LiveCollector)
        ]
        self.reports = {c.name: Report(c.name) for c in collectors}
        if len(self.reports) != len(collectors):
            raise ValueError(f"{exporter.name}: two collectors with one name")
        self._own = own_families(exporter.name)
        self._build = self._own["build"]([((version("wattframe"), platform.python_version()), 1)])
        self._process = ProcessMetrics()
        self._process_seen: list[Filled] = []
        self._process_block = NOTHING
        self._states: dict[tuple[object, ...], Block] = {}
        self._own_names = frozenset(f.name for f in (*self._own.values(), *PROCESS_FAMILIES))
        self._blocking = any(source.blocking for source in self.live)

    def _refreshed(self, source: SnapshotSource) -> None:
        self.reports[source.name].note(source.error, source.seconds)

    def open(self) -> None:
        """Begin to refresh the snapshots."""
        for source in self.snapshots:
            source.open()

    def close(self) -> None:
        """End the threads."""
        for snapshot in self.snapshots:
            snapshot.close()
        for live in self.live:
            live.close()

    @property
    def ready(self) -> bool:
        """Whether every snapshot has been loaded once."""
        return all(source.loaded for source in self.snapshots)

    async def answer(
        self, *, openmetrics: bool, compress: bool, budget_seconds: float, only: frozenset[str] | None = None
    ) -> bytes:
        """The body of one scrape; ``only`` restricts it to collectors by name."""
        live = [s for s in self.live if only is None or s.name in only]
        shown = [s for s in self.snapshots if only is None or s.name in only]
        outcomes = await self._outcomes(live, budget_seconds)
        taken = set(self._own_names)
        pages = [page for source in shown if (page := self._page(source, taken)) is not None]
        blocks = [self._block(source, o, taken) for source, o in zip(live, outcomes, strict=True)]
        blocks += self._about([self.reports[n] for n in [s.name for s in live] + [s.name for s in shown]])
        end = "# EOF\n" if openmetrics else ""
        tail = ("".join([block.text(openmetrics) for block in blocks]) + end).encode()
        if not compress:
            return b"".join([*(page.plain(openmetrics) for page in pages), tail])
        return gzip_of(_joined([*(page.piece(openmetrics) for page in pages), piece(tail, 1)]))

    async def _outcomes(self, live: Sequence[LiveSource], budget_seconds: float) -> list[Outcome]:
        if not self._blocking:
            outcomes = [source.now() for source in live]
        else:
            waiting = [asyncio.ensure_future(s.within(budget_seconds)) if s.blocking else None for s in live]
            outcomes = [
                source.now() if future is None else await future
                for source, future in zip(live, waiting, strict=True)
            ]
        return outcomes

    def _page(self, source: SnapshotSource, taken: set[str]) -> Page | None:
        page = source.page
        if page is not None and not taken.isdisjoint(page.names):
            self.reports[source.name].note(_clash(taken & page.names), source.seconds)
            return None
        taken.update(page.names if page is not None else ())
        return page

    def _block(self, source: LiveSource, outcome: Outcome, taken: set[str]) -> Block:
        block, error = outcome.block, outcome.error
        if len(set(block.names)) != len(block.names) or not taken.isdisjoint(block.names):
            error = _clash({n for n in block.names if block.names.count(n) > 1 or n in taken})
            block = NOTHING
        taken.update(block.names)
        self.reports[source.name].note(error, outcome.seconds)
        return block

    def _about(self, reports: Sequence[Report]) -> list[Block]:
        durations = self._own["duration"]([((r.name,), r.seconds) for r in reports if r.at is not None])
        return [self._state(reports), Block((render(durations),)), self._own_process()]

    def _state(self, reports: Sequence[Report]) -> Block:
        """What changes only when a collector fails or recovers."""
        state = tuple([(r.name, r.error is None and r.at is not None, r.failures) for r in reports])
        block = self._states.get(state)
        if block is None:
            success = self._own["success"]([((name,), int(ok)) for name, ok, _ in state])
            failures = self._own["failures"]([((name,), count) for name, _, count in state])
            block = Block(map(render, (self._build, success, failures)))
            self._states = {state: block}
        return block

    def _own_process(self) -> Block:
        families = self._process.collect()
        if families is not self._process_seen:
            self._process_seen, self._process_block = families, Block(map(render, families))
        return self._process_block


def _joined(pieces: Sequence[Piece]) -> Piece:
    return pieces[0] if len(pieces) == 1 else join(pieces)


def _clash(names: Iterable[str]) -> str:
    return f"two families with one name: {', '.join(sorted(names))}"
