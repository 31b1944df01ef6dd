"""The collectors of one exporter, and the body of one scrape: their pages and the exporter's own."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version

from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector

from advisor.energy.sampler import Sampler
from exporters.runtime.collector import Collector, Exporter, Part
from exporters.runtime.families import Family
from exporters.runtime.logs import logger
from exporters.runtime.page import Page, PageBuilder, answer

MOST_SECONDS = 30.0
"""A page older than this is not shown: its collector hangs, and what it shows may be gone."""
_REST, _MOST_REST_SECONDS = 25.0, 2.0
"""A collector rests so many times as long as it took to find nothing new, up to a bound."""
_LEAST_REST_SECONDS = 0.001
_CLOSE_SECONDS = 0.4
_OWN = "exporter's own"


class PageSource:
    """One collector: the page that it gave last, and how it did."""

    def __init__(self, collector: Collector, owners: dict[str, str]) -> None:
        self.name = collector.name
        self.error: str | None = None
        self.failures = 0
        self.seconds = 0.0
        """How long the last call took."""
        self.at: float | None = None
        """When it ended, Unix time; None before the first."""
        self.loaded = False
        self._collector = collector
        self._builder = PageBuilder(collector.name, owners)
        self._page: Page | None = None
        self._ended = 0.0
        self._rest_seconds = 0.0
        self._sampler = Sampler(f"collect-{self.name}", self.collect, lambda: self._rest_seconds)

    @property
    def live(self) -> bool:
        """Whether the collector is asked at each scrape."""
        return self._collector.poll_seconds is None

    @property
    def success(self) -> bool:
        """Whether the last call gave all that there is."""
        return self.at is not None and self.error is None

    def open(self) -> None:
        """Begin to poll."""
        self.loaded = self.live
        if not self.live:
            self._sampler.start(at_once=True)

    def close(self) -> None:
        """Stop polling; a call that hangs is left behind."""
        self._sampler.stop(0)

    def page(self) -> Page | None:
        """The page of now, None when nothing is known."""
        if self.live:
            self.collect()
        elif self._page is not None and time.monotonic() - self._ended > MOST_SECONDS:
            self._note(None, f"nothing new for {MOST_SECONDS:.0f} s: the collector hangs", self.seconds)
        return self._page

    def collect(self) -> None:
        """Ask the collector and render what is new."""
        start, former, page = time.perf_counter(), self._page, None
        try:
            page = self._builder.build(self._collector.parts())
            error = page.error
        except Exception as exc:
            error = f"{type(exc).__name__}: {exc}"
        self._ended = time.monotonic()
        self._note(page, error, time.perf_counter() - start)
        self.loaded = self.loaded or page is not None
        rest = self.seconds * (_REST if page is former else 1.0)
        self._rest_seconds = max(
            self._collector.poll_seconds or _LEAST_REST_SECONDS, min(rest, _MOST_REST_SECONDS)
        )

    def _note(self, page: Page | None, error: str | None, seconds: float) -> None:
        """Keep the outcome; a failure is counted each time and logged once."""
        former, self.error = self.error, error
        self._page, self.seconds, self.at = page, seconds, time.time()
        if error is None:
            if former is not None:
                logger().info("collector recovered", collector=self.name)
            return
        self.failures += 1
        if error != former:
            logger().error("collector failed", collector=self.name, error=error)


def own_families(name: str) -> dict[str, Family]:
    """What every exporter says of itself, by role."""
    stem, by = f"{name}_exporter", ("collector",)
    return {
        "build": Family(f"{stem}_build_info", "Version of this exporter.", ("version", "python")),
        "success": Family(f"{stem}_collector_success", "1 if the collector's last run succeeded.", by),
        "duration": Family(f"{stem}_collector_duration_seconds", "Duration of the collector's last run.", by),
        "failures": Family(f"{stem}_collector_failures_total", "Failed runs of the collector.", by),
    }


def process_families() -> list[Metric]:
    """CPU, memory and descriptors of this process."""
    return list(ProcessCollector(registry=None).collect())


class Scraper:
    """The collectors of one exporter, ready to be asked."""

    def __init__(self, exporter: Exporter, collectors: Sequence[Collector]) -> None:
        self._families = own_families(exporter.name)
        # as OpenMetrics names them: without _total and _info
        owners = {family([]).name: _OWN for family in self._families.values()}
        # a page that is compressed ahead comes first
        self.sources = sorted((PageSource(c, owners) for c in collectors), key=lambda source: source.live)
        self.names = [source.name for source in self.sources]
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"{exporter.name}: two collectors with one name")
        self._collectors = collectors
        self._build = ((version("wattframe"), platform.python_version()), 1.0)
        self._own = PageBuilder(_OWN, owners)
        self._own_page(self.sources)  # before any other: the process' families are no collector's
        self._bodies: dict[tuple[bool, bool], tuple[list[Page], tuple[bytes, ...]]] = {}
        """By format and encoding: what was sent last, as good as new while its pages are the same."""

    def start(self) -> None:
        """Start the collectors; when one fails, those before it are closed."""
        for number, collector in enumerate(self._collectors):
            try:
                collector.start()
            except BaseException:
                _close(self._collectors[:number])
                raise

    def open(self) -> None:
        """Begin to poll."""
        for source in self.sources:
            source.open()

    def close(self) -> None:
        """End the threads and close the collectors, in the time there is: one may hang."""
        for source in self.sources:
            source.close()
        closing = threading.Thread(target=_close, args=(self._collectors,), daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    @property
    def ready(self) -> bool:
        """Whether every collector has been loaded once."""
        return all(source.loaded for source in self.sources)

    def body(
        self, *, openmetrics: bool, compress: bool, only: Collection[str] | None = None
    ) -> tuple[bytes, ...]:
        """The body of one scrape, in chunks; ``only`` restricts it to collectors by name."""
        sources = [s for s in self.sources if only is None or s.name in only]
        pages = [page for source in sources if (page := source.page()) is not None]
        pages.append(self._own_page(sources))
        former = self._bodies.get((openmetrics, compress))
        if former is not None and former[0] == pages:
            return former[1]
        chunks = answer(pages, openmetrics=openmetrics, compress=compress)
        self._bodies[openmetrics, compress] = pages, chunks
        return chunks

    def _own_page(self, sources: Sequence[PageSource]) -> Page:
        """What the exporter says of itself; new when a collector fares otherwise, and each second."""
        second = int(time.monotonic())
        fares = [(source.success, source.failures) for source in sources]
        return self._own.build({"": Part(self._about, (sources, second, fares))})

    def _about(self, sources: Sequence[PageSource], *_: object) -> Iterator[Metric]:
        families = self._families
        yield families["build"]([self._build])
        yield families["success"]([((s.name,), s.success) for s in sources])
        yield families["duration"]([((s.name,), s.seconds) for s in sources if s.at is not None])
        yield families["failures"]([((s.name,), s.failures) for s in sources])
        yield from process_families()


def _close(collectors: Sequence[Collector]) -> None:
    for collector in reversed(collectors):
        try:
            collector.close()
        except Exception as exc:
            logger().error("collector not closed", collector=collector.name, error=exc)
