"""One answer to ``/metrics``: every collector's families, and what the exporter says of itself."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from msgspec import Struct

from exporters.runtime.collector import Collector, Exporter, LiveCollector
from exporters.runtime.families import Block, Family, Filled, header, render
from exporters.runtime.gzips import Begun, begin, finish, piece
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
        self.states = 0
        """Counts what changes the collector's success or failures."""

    def note(self, error: str | None, seconds: float) -> None:
        """Keep the outcome of one collection."""
        if error is not None or self.error is not None or self.at is None:
            self._changed(error)
        self.error, self.seconds, self.at = error, seconds, time.time()

    def _changed(self, error: str | None) -> None:
        self.states += 1
        if error is None:
            if self.error is not None:
                logger().info("collector recovered", collector=self.name)
            return
        self.failures += 1
        if error != self.error:
            logger().error("collector failed", collector=self.name, error=error)
        else:
            logger().debug("collector failed again", collector=self.name, error=error)


class _Joined(Struct):
    """The collectors' text as last sent: as good as new while its sources are the same objects."""

    sources: list[Page | Block | None]
    pages: list[Page]
    text: bytes
    clashes: dict[str, str]
    """By collector, why its families are not shown."""
    packed: Begun | None = None

    def begun(self, openmetrics: bool) -> Begun:
        """Pages and text, compressed once."""
        if self.packed is None:
            pages = [page.piece(openmetrics) for page in self.pages]
            self.packed = begin([*pages, piece(self.text, 1)])
        return self.packed


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
        self._joined: dict[bool, _Joined] = {}
        self._states_of: list[tuple[str, int]] = []
        self._states_block = NOTHING
        self._prefixes = {name: self._own["duration"].prefix((name,)) for name in self.reports}
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

    def answer_now(
        self, *, openmetrics: bool, compress: bool, only: frozenset[str] | None = None
    ) -> list[bytes] | None:
        """The body of one scrape, in chunks; None where a collector may have to be waited for.

        ``only`` restricts it to collectors by name.
        """
        live = self._chosen(only)
        if self._blocking and any(source.blocking for source in live):
            return None
        outcomes = [source.now() for source in live]
        return self._compose(live, outcomes, openmetrics=openmetrics, compress=compress, only=only)

    async def answer(
        self, *, openmetrics: bool, compress: bool, budget_seconds: float, only: frozenset[str] | None = None
    ) -> list[bytes]:
        """The same, with collectors that may take as long as the budget."""
        live = self._chosen(only)
        outcomes = await self._outcomes(live, budget_seconds)
        return self._compose(live, outcomes, openmetrics=openmetrics, compress=compress, only=only)

    def _chosen(self, only: frozenset[str] | None) -> list[LiveSource]:
        return self.live if only is None else [source for source in self.live if source.name in only]

    def _compose(
        self,
        live: Sequence[LiveSource],
        outcomes: Sequence[Outcome],
        *,
        openmetrics: bool,
        compress: bool,
        only: frozenset[str] | None,
    ) -> list[bytes]:
        shown = [s for s in self.snapshots if only is None or s.name in only]
        sources = [*(source.page for source in shown), *(outcome.block for outcome in outcomes)]
        joined = self._joined.get(openmetrics)
        if joined is None or joined.sources != sources:
            joined = self._join(live, shown, sources, openmetrics)
            self._joined[openmetrics] = joined
        for source, outcome in zip(live, outcomes, strict=True):
            error = joined.clashes.get(source.name) if joined.clashes else None
            self.reports[source.name].note(outcome.error or error, outcome.seconds)
        for snapshot in shown if joined.clashes else ():
            if snapshot.name in joined.clashes:
                self.reports[snapshot.name].note(joined.clashes[snapshot.name], snapshot.seconds)
        reports = [self.reports[n] for n in [s.name for s in live] + [s.name for s in shown]]
        tail = self._about(reports, openmetrics).encode()
        if compress:
            return finish(joined.begun(openmetrics), tail)
        return [*(page.plain(openmetrics) for page in joined.pages), joined.text, tail]

    def _join(
        self,
        live: Sequence[LiveSource],
        shown: Sequence[SnapshotSource],
        sources: list[Page | Block | None],
        openmetrics: bool,
    ) -> _Joined:
        """Text and pages without those of a collector whose families another one has, or has twice itself."""
        taken = set(self._own_names)
        joined = _Joined(sources, [], b"", {})
        texts = []
        for name, source in zip([s.name for s in shown] + [s.name for s in live], sources, strict=True):
            if source is None:
                continue  # a snapshot of which nothing is known
            names = list(source.names)
            if len(set(names)) != len(names) or not taken.isdisjoint(names):
                joined.clashes[name] = _clash({n for n in names if names.count(n) > 1 or n in taken})
            elif isinstance(source, Page):
                joined.pages.append(source)
                taken.update(names)
            else:
                texts.append(source.text(openmetrics))
                taken.update(names)
        joined.text = "".join(texts).encode()
        return joined

    async def _outcomes(self, live: Sequence[LiveSource], budget_seconds: float) -> list[Outcome]:
        waiting = [asyncio.ensure_future(s.within(budget_seconds)) if s.blocking else None for s in live]
        return [
            source.now() if future is None else await future
            for source, future in zip(live, waiting, strict=True)
        ]

    def _about(self, reports: Sequence[Report], openmetrics: bool) -> str:
        """What the exporter says of itself; all but the durations is kept as text while it holds."""
        states = [(report.name, report.states) for report in reports]
        if states != self._states_of:
            self._states_of, self._states_block = states, self._states(reports)
        family = self._own["duration"]
        head = header(family.name, family.kind, family.help, openmetrics=openmetrics)
        lines = [f"{self._prefixes[r.name]}{r.seconds!r}\n" for r in reports if r.at is not None]
        durations = f"{head}{''.join(lines)}" if lines else ""
        end = "# EOF\n" if openmetrics else ""
        fixed, process = self._states_block.text(openmetrics), self._own_process().text(openmetrics)
        return f"{fixed}{durations}{process}{end}"

    def _states(self, reports: Sequence[Report]) -> Block:
        success = [((r.name,), int(r.error is None and r.at is not None)) for r in reports]
        failures = [((r.name,), r.failures) for r in reports]
        families = (self._build, self._own["success"](success), self._own["failures"](failures))
        return Block(map(render, families))

    def _own_process(self) -> Block:
        families = self._process.collect()
        if families is not self._process_seen:
            self._process_seen, self._process_block = families, Block(map(render, families))
        return self._process_block


def _clash(names: Iterable[str]) -> str:
    return f"two families with one name: {', '.join(sorted(names))}"
