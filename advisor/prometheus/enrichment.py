"""Scenarios that lack power, plus Prometheus, gives scenarios with power.

Near scenarios share a query for raw samples (`power_in_windows`). A scenario that Prometheus does not cover
is left out with its reason. What the exporter called modelled stays modelled.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON
from advisor.errors import PrometheusError
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.power_in_windows import PowerInWindow, ask_power, by_query
from advisor.prometheus.window_statistics import TimeSpan
from advisor.results import Power, Run, Scenario
from advisor.results.derived import duration_seconds, energy, host_mean_watts

_SETTLED_SECONDS = 600.0
MOST_FAILURES = 2
"""Queries in a row that got no answer, after which no more are asked."""
Progress = Callable[[int, int], None]
Key = tuple[str, str, int]
"""Of a scenario: its run, name and repeat."""


class Enriched(Struct, frozen=True, kw_only=True):
    """A scenario whose power came from Prometheus."""

    run_id: str
    scenario: str
    mean_power_watts: float
    total_energy_joules: float
    tier: str | None
    host_cpu_percent: float | None
    """Of all processors, as the Docker exporter saw it."""
    container_cpu_seconds: dict[str, float]
    notes: tuple[str, ...]


class Enrichment(Struct, frozen=True):
    """The runs with what could be filled in, and an account of it."""

    runs: tuple[Run, ...]
    enriched: tuple[Enriched, ...]
    skipped: dict[Key, str]
    """Scenarios that stay without power, and why."""
    requests: int = 0
    from_cache: int = 0
    failure: str | None = None
    """Why the last query without an answer got none; what others were answered is kept."""
    failures: int = 0
    """Queries that got none, one after another, up to the last."""


class ObservationCache:
    """Spans that were answered before, in one SQLite file; safe to share and to delete.

    It only saves queries: a file that is damaged is made anew, and one that cannot be read or written leaves
    every span to be asked for.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with contextlib.suppress(sqlite3.OperationalError, OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._create()
            except sqlite3.DatabaseError as exc:
                if isinstance(exc, sqlite3.OperationalError):
                    raise
                self.path.unlink()
                self._create()

    def _create(self) -> None:
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS observed (key TEXT PRIMARY KEY, value BLOB)")

    def _open(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.path, timeout=30))

    def get(self, source: str, spans: Iterable[TimeSpan]) -> dict[TimeSpan, PowerInWindow]:
        """The spans that were answered before, of one ``source`` (server, tenant and selector)."""
        answered = {}
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            for span in spans:
                row = database.execute(
                    "SELECT value FROM observed WHERE key = ?", [_key(source, span)]
                ).fetchone()
                # what another version wrote is asked for again
                with contextlib.suppress(*NO_JSON):
                    if row:
                        answered[span] = msgspec.json.decode(row[0], type=PowerInWindow)
        return answered

    def put(self, source: str, answers: Mapping[TimeSpan, PowerInWindow]) -> None:
        """Remember what was answered."""
        rows = [(_key(source, span), msgspec.json.encode(seen)) for span, seen in answers.items()]
        with contextlib.suppress(sqlite3.Error), self._open() as database, database:
            database.executemany("INSERT OR REPLACE INTO observed VALUES (?, ?)", rows)


def _key(source: str, span: TimeSpan) -> str:
    # a selector may hold more than a file should
    hashed = hashlib.sha256(source.encode()).hexdigest()
    return f"5 {hashed} {span.start:.3f} {span.end:.3f}"


def lacks_power(scenario: Scenario) -> bool:
    """Whether a finished scenario has no energy or no mean power of its own."""
    return scenario.status == "ok" and (energy(scenario) is None or host_mean_watts(scenario) is None)


def enrich(
    runs: Sequence[Run],
    client: PrometheusClient,
    *,
    selector: str = "",
    cache: ObservationCache | None = None,
    progress: Progress | None = None,
    now: float | None = None,
    failures: int = 0,
) -> Enrichment:
    """Fill in the power of every scenario that lacks it.

    Parameters
    ----------
    runs
        What was read from result files.
    client
        The server that watched them.
    selector
        More label matchers, for instance ``instance="host-7:9500"``; needed where several machines are
        scraped by one server.
    cache
        Spans answered before are not asked for again.
    progress
        Called with (spans answered, spans in all).
    now
        Unix seconds; spans that ended less than ten minutes ago are not cached. Default: the clock.
    failures
        Queries before this call that got no answer, one after another; fewer than `MOST_FAILURES`.

    A query without an answer leaves its own scenarios without power, `MOST_FAILURES` in a row all that
    follow, and each says why.
    """
    spans = sorted(
        {
            span
            for run in runs
            for s in run.scenarios
            if lacks_power(s) and isinstance(span := _span(s), TimeSpan)
        }
    )
    before = client.requests_sent
    source = _source(client, selector)
    answers_by_span = cache.get(source, spans) if cache else {}
    from_cache = len(answers_by_span)
    settled = (time.time() if now is None else now) - _SETTLED_SECONDS
    failure = None
    for group in by_query([span for span in spans if span not in answers_by_span]):
        answers: dict[TimeSpan, PowerInWindow] = {}
        if failures < MOST_FAILURES:
            try:
                answers, failures = ask_power(group, client, selector=selector), 0
            except PrometheusError as exc:
                failures, failure = failures + 1, str(exc)
        lost = PowerInWindow(reason=f"no power, and {failure}")
        answers_by_span |= dict.fromkeys(group, lost) | answers
        if cache:
            final = {t: o for t, o in answers.items() if o.power is not None and t.end < settled}
            cache.put(source, final)
        if progress:
            progress(len(answers_by_span), len(spans))
    account = _account(runs, answers_by_span)
    return Enrichment(*account, client.requests_sent - before, from_cache, failure, failures)


def _source(client: PrometheusClient, selector: str) -> str:
    """What an answer depends on beside its span: one server may keep the series of many tenants."""
    asked = client.connection
    headers = {name: value for name, value in asked.headers.items() if name.casefold() != "authorization"}
    return repr((client.url, asked.tenant, asked.username, headers, selector))


def _span(scenario: Scenario) -> TimeSpan | str:
    """When the scenario ran, or why that is not known."""
    start, seconds = scenario.start_time, duration_seconds(scenario)
    if start is None:
        return "the scenario has no start_time"
    end = scenario.end_time if scenario.end_time is not None else start + (seconds or 0.0)
    return TimeSpan(start, end) if end > start else "the scenario has neither an end_time nor a duration"


def _account(
    runs: Sequence[Run], seen: Mapping[TimeSpan, PowerInWindow]
) -> tuple[tuple[Run, ...], tuple[Enriched, ...], dict[Key, str]]:
    enriched: list[Enriched] = []
    skipped: dict[Key, str] = {}
    filled = []
    for run in runs:
        scenarios = []
        for scenario in run.scenarios:
            if lacks_power(scenario):
                span = _span(scenario)
                answer = seen[span] if isinstance(span, TimeSpan) else PowerInWindow(reason=span)
                if answer.power is None:
                    reason = answer.reason or "Prometheus has no power for it"
                    skipped[run.run_id, scenario.name, scenario.repeat] = reason
                else:
                    gpu_power = scenario.gpu_power or answer.gpu_power
                    scenario = msgspec.structs.replace(scenario, power=answer.power, gpu_power=gpu_power)
                    enriched.append(_enriched(run, scenario, answer, answer.power))
            scenarios.append(scenario)
        filled.append(msgspec.structs.replace(run, scenarios=tuple(scenarios)))
    return tuple(filled), tuple(enriched), skipped


def _enriched(run: Run, scenario: Scenario, seen: PowerInWindow, power: Power) -> Enriched:
    return Enriched(
        run_id=run.run_id,
        scenario=scenario.name,
        mean_power_watts=power.mean_watts or 0.0,
        total_energy_joules=power.total_energy_joules or 0.0,
        tier=power.tier,
        host_cpu_percent=seen.host_cpu_percent,
        container_cpu_seconds=seen.container_cpu_seconds,
        notes=(*seen.notes, *(f"not valid: {reason}" for reason in scenario.validity)),
    )
