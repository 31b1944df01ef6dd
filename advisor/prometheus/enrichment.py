"""Scenarios that lack power, plus Prometheus, gives scenarios with power.

The windows of all scenarios are merged into few requests for raw samples; what each window holds is worked
out in numpy (`window_statistics`). A window that Prometheus does not cover is left out
with its reason. What the exporter called modelled stays modelled.
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
from advisor.prometheus.power_in_windows import SOURCE, Observed
from advisor.prometheus.requests import Window, observe
from advisor.results import Run, Scenario
from advisor.results.derived import duration_seconds, energy, host_mean_watts

__all__ = ["Enriched", "Enrichment", "ObservationCache", "Skipped", "enrich", "lacks_power"]

_SETTLED_SECONDS = 600.0
_KEYS_OF_A_QUERY = 500
"""SQLite takes 999 at least."""
Progress = Callable[[int, int], None]


class Enriched(Struct, frozen=True):
    """A scenario that got its power from Prometheus."""

    run_id: str
    scenario: Scenario
    observed: Observed


class Skipped(Struct, frozen=True):
    """A scenario without power that stays so, and why."""

    run_id: str
    scenario: str
    reason: str
    repeat: int = 1


class Enrichment(Struct, frozen=True):
    """The runs with what could be filled in, and an account of it."""

    runs: tuple[Run, ...]
    enriched: tuple[Enriched, ...]
    skipped: tuple[Skipped, ...]
    requests: int = 0
    from_cache: int = 0
    failure: str | None = None
    """Why Prometheus was not asked to the end; what it had answered before is kept."""


class ObservationCache:
    """Windows that were observed before, in one SQLite file; safe to share and to delete.

    It only saves requests: a file that is damaged is made anew, and one that cannot be read or written leaves
    every window to be asked for.
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
        connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        # what a power cut takes away is asked for again
        connection.execute("PRAGMA synchronous=NORMAL")
        return closing(connection)

    def get(self, source: str, windows: Iterable[Window]) -> dict[Window, Observed]:
        """The windows that are known, of one ``source`` (server and selector)."""
        found = {}
        key = _keys(source)
        wanted = {key(window): window for window in windows}
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            names = list(wanted)
            for at in range(0, len(names), _KEYS_OF_A_QUERY):
                some = names[at : at + _KEYS_OF_A_QUERY]
                places = ",".join("?" * len(some))
                query = f"SELECT key, value FROM observed WHERE key IN ({places})"  # noqa: S608 - question marks
                for name, value in database.execute(query, some):
                    # what another version wrote is asked for again
                    with contextlib.suppress(*NO_JSON):
                        found[wanted[name]] = msgspec.json.decode(value, type=Observed)
        return found

    def put(self, source: str, observed: Mapping[Window, Observed]) -> None:
        """Remember what was observed."""
        key = _keys(source)
        rows = [(key(window), msgspec.json.encode(seen)) for window, seen in observed.items()]
        with contextlib.suppress(sqlite3.Error), self._open() as database:
            database.execute("BEGIN")
            database.executemany("INSERT OR REPLACE INTO observed VALUES (?, ?)", rows)
            database.execute("COMMIT")


def _keys(source: str) -> Callable[[Window], str]:
    """Names of windows of one source, which may hold more than a file should."""
    hashed = hashlib.sha256(source.encode()).hexdigest()
    return lambda window: f"2 {hashed} {window.start:.3f} {window.end:.3f}"


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
        Windows seen before are not asked for again.
    progress
        Called with (windows done, windows in all).
    now
        Unix seconds; windows that ended less than ten minutes ago are not cached. Default: the clock.

    A server that is down, refuses or answers in part is told in ``failure`` and in the reason of each
    scenario that it leaves without power.
    """
    wanted = [(run, s, _window(s)) for run in runs for s in run.scenarios if lacks_power(s)]
    windows = sorted({window for _, _, window in wanted if isinstance(window, Window)})
    before = client.requests_sent
    source = f"{client.url} {selector}"
    seen = cache.get(source, windows) if cache else {}
    known = len(seen)
    missing = [window for window in windows if window not in seen]
    settled = (time.time() if now is None else now) - _SETTLED_SECONDS
    failure = None
    try:
        for piece in observe(missing, client, selector=selector):
            seen |= piece
            if cache:
                final = {w: o for w, o in piece.items() if o.power is not None and w.end < settled}
                cache.put(source, final)
            if progress:
                progress(len(seen), len(windows))
    except PrometheusError as exc:
        failure = str(exc)
        lost = Observed(reason=f"no power, and {failure}")
        seen |= dict.fromkeys((w for w in missing if w not in seen), lost)
    done = _account(runs, seen)
    return msgspec.structs.replace(
        done, requests=client.requests_sent - before, from_cache=known, failure=failure
    )


def _window(scenario: Scenario) -> Window | str:
    start, seconds = scenario.start_time, duration_seconds(scenario)
    if start is None:
        return "the scenario has no start_time"
    end = scenario.end_time if scenario.end_time is not None else start + (seconds or 0.0)
    return Window(start, end) if end > start else "the scenario has neither an end_time nor a duration"


def _account(runs: Sequence[Run], seen: Mapping[Window, Observed]) -> Enrichment:
    enriched: list[Enriched] = []
    skipped: list[Skipped] = []
    filled = []
    for run in runs:
        found = {i: _observation(s, seen) for i, s in enumerate(run.scenarios) if lacks_power(s)}
        made = _with_idle(run, [_filled(s, found.get(i)) for i, s in enumerate(run.scenarios)])
        filled.append(made)
        for index, observed in found.items():
            scenario = made.scenarios[index]
            if observed.power is None:
                reason = observed.reason or "Prometheus saw no power"
                skipped.append(Skipped(run.run_id, scenario.name, reason, scenario.repeat))
            else:
                enriched.append(Enriched(run.run_id, scenario, observed))
    return Enrichment(tuple(filled), tuple(enriched), tuple(skipped))


def _observation(scenario: Scenario, seen: Mapping[Window, Observed]) -> Observed:
    window = _window(scenario)
    return seen[window] if isinstance(window, Window) else Observed(reason=window)


def _filled(scenario: Scenario, observed: Observed | None) -> Scenario:
    if observed is None or observed.power is None:
        return scenario
    return msgspec.structs.replace(
        scenario, power=observed.power, gpu_power=scenario.gpu_power or observed.gpu_power
    )


def _with_idle(run: Run, scenarios: Sequence[Scenario]) -> Run:
    """The run with idle power and net energy where its baseline tells them."""
    made = msgspec.structs.replace(run, scenarios=tuple(scenarios))
    idle = host_mean_watts(made.baseline) if made.baseline else None
    if idle is None:
        return made
    return msgspec.structs.replace(made, scenarios=tuple(_net(s, idle) for s in scenarios))


def _net(scenario: Scenario, idle: float) -> Scenario:
    power = scenario.power
    if power is None or power.source != SOURCE or scenario.type == "baseline":
        return scenario
    seconds = duration_seconds(scenario)
    total = power.total_energy_joules
    net = None if total is None or seconds is None else total - idle * seconds
    return msgspec.structs.replace(
        scenario, power=msgspec.structs.replace(power, idle_watts=idle, net_energy_joules=net)
    )
