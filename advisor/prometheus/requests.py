"""What Prometheus saw of windows of time, in as few requests as they need.

Windows are merged: one request brings the raw samples around all windows of hours or days, and while the next
is on its way, `power_in_windows` works out what they say. How far one request reaches follows from how many
samples the last one brought; a long time without a window is left out where it costs more than a request.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from msgspec import Struct

from advisor.errors import PrometheusError
from advisor.prometheus.answers import RawSeries
from advisor.prometheus.client import MAX_POINTS, PrometheusClient
from advisor.prometheus.power_in_windows import CONTAINER_SECONDS, FAMILIES, Observed, TierTimes, observed
from advisor.prometheus.scraped import LONGEST_REACH_SECONDS, near_samples
from advisor.prometheus.window_statistics import Windows

__all__ = ["Window", "observe"]

_ZONES = "(package|dram|psys)([_-]?[0-9]+)?"
_SAMPLES_OF_A_REQUEST = 100_000
_SAMPLES_LIKE_A_REQUEST = 3_000
"""So many samples cost as much time as one request more."""
_MOST_GROWTH = 64
_MOST_FAILURES = 2
_IN_FLIGHT = 2
"""Requests at a time: the server works on one while another is read here."""
_PATIENCE_SECONDS = 0.2
"""So long small answers wait for others."""


class Window(Struct, frozen=True, order=True):
    """A stretch of time, Unix seconds."""

    start: float
    end: float


def observe(
    windows: Iterable[Window], client: PrometheusClient, *, selector: str = ""
) -> Iterator[dict[Window, Observed]]:
    """What Prometheus saw of each window, group by group; near windows are asked for together.

    A request that fails loses its own windows, with the reason; the second in a row ends it.

    Raises
    ------
    PrometheusError
        The server is down, or fails again and again.
    """
    pending = _Pending(sorted(windows))
    if pending.empty:
        return
    tiers = _tiers(client, selector, pending.span)
    with ThreadPoolExecutor(max_workers=_IN_FLIGHT) as ahead:

        def ask() -> tuple[Sequence[Window], Future[bytes]]:
            group = pending.take()
            reach = _reach(group)
            answer = ahead.submit(client.fetch_samples, _matchers(selector), reach.start, reach.end)
            return group, answer

        # the first window alone tells how much this server has
        asked = deque([ask()])
        batch, failures = _Batch(), 0
        while asked:
            group, answer = asked.popleft()
            try:
                body = answer.result()
                batch.add(group, client.raw(body), body.count(b"["))
            except PrometheusError as exc:
                yield from batch.worked_out(tiers)
                batch, failures = _Batch(), failures + 1
                if failures == _MOST_FAILURES:
                    raise
                yield _lost(group, exc)
            else:
                failures = 0
                pending.learn(_reach(group), body.count(b"["))
            while len(asked) < _IN_FLIGHT and not pending.empty:
                asked.append(ask())
            if not asked or not batch.waits_for(asked[0][0]):
                yield from batch.worked_out(tiers)
                batch = _Batch()


class _Batch:
    """Answers that are worked out together: a dozen small ones cost as much as one that holds the same."""

    def __init__(self) -> None:
        self._answers: list[tuple[Sequence[Window], list[RawSeries]]] = []
        self._samples = 0
        self._began = time.monotonic()

    def add(self, group: Sequence[Window], series: list[RawSeries], samples: int) -> None:
        self._answers.append((group, series))
        self._samples += samples

    def waits_for(self, coming: Sequence[Window]) -> bool:
        """Whether there is room, patience, and no sample that would come twice."""
        apart = not self._answers or _reach(self._answers[-1][0]).end < _reach(coming).start
        patient = time.monotonic() < self._began + _PATIENCE_SECONDS
        return apart and patient and self._samples < _SAMPLES_OF_A_REQUEST

    def worked_out(self, tiers: TierTimes) -> Iterator[dict[Window, Observed]]:
        """What its windows say; an answer that holds no samples spoils none of the others."""
        if not self._answers:
            return
        try:
            yield _observations(self._answers, tiers)
        except PrometheusError:
            for one in self._answers:
                try:
                    yield _observations([one], tiers)
                except PrometheusError as exc:
                    yield _lost(one[0], exc)


def _lost(group: Sequence[Window], exc: PrometheusError) -> dict[Window, Observed]:
    return dict.fromkeys(group, Observed(reason=f"no power, and {exc}"))


def _observations(
    answers: Sequence[tuple[Sequence[Window], Sequence[RawSeries]]], tiers: TierTimes
) -> dict[Window, Observed]:
    windows = [window for group, _ in answers for window in group]
    spans = Windows(np.array([w.start for w in windows]), np.array([w.end for w in windows]))
    pieces: dict[tuple[tuple[str, str], ...], list[RawSeries]] = defaultdict(list)
    for _, series in answers:
        for raw in series:
            pieces[tuple(sorted(raw.metric.items()))].append(raw)
    samples = [near_samples(some, spans) for some in pieces.values()]
    return dict(zip(windows, observed(spans, samples, tiers), strict=True))


class _Pending:
    """Windows that were not asked for, ascending, and how many of them the next request covers."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._windows = windows
        self._taken = 0
        self._longest_seconds = 0.0
        self._longest_gap_seconds = 0.0

    @property
    def empty(self) -> bool:
        return self._taken == len(self._windows)

    @property
    def span(self) -> Window:
        return Window(self._windows[0].start, max(w.end for w in self._windows))

    def learn(self, reach: Window, samples: int) -> None:
        """From a request's reach and what it brought to the reach of the next."""
        seconds = reach.end - reach.start
        growth = _SAMPLES_OF_A_REQUEST / max(samples, 1)
        self._longest_seconds = seconds * min(growth, _MOST_GROWTH)
        self._longest_gap_seconds = seconds * _SAMPLES_LIKE_A_REQUEST / max(samples, 1)

    def take(self) -> Sequence[Window]:
        """The windows of the next request; one at least."""
        first = self._taken
        self._taken += 1
        end = self._windows[first].end
        while not self.empty and self._near(self._windows[first].start, end):
            end = max(end, self._windows[self._taken].end)
            self._taken += 1
        return self._windows[first : self._taken]

    def _near(self, start: float, end: float) -> bool:
        """Whether the next window belongs to those from ``start`` to ``end``."""
        window, pad = self._windows[self._taken], 2 * LONGEST_REACH_SECONDS
        gap = window.start - end - pad
        return window.end + pad - start <= self._longest_seconds and gap <= self._longest_gap_seconds


def _reach(group: Sequence[Window]) -> Window:
    """What a request must bring for these windows."""
    first, last = group[0].start, max(w.end for w in group)
    return Window(first - LONGEST_REACH_SECONDS, last + LONGEST_REACH_SECONDS)


def _matchers(selector: str) -> str:
    more = f",{selector}" if selector else ""
    names = "|".join((*FAMILIES, CONTAINER_SECONDS))
    # zones lie inside one another: only those that are added are asked for
    return f'{{__name__=~"{names}",zone=~"|{_ZONES}"{more}}}'


def _tiers(client: PrometheusClient, selector: str, span: Window) -> TierTimes:
    """By instance: the tiers that its exporter named, with the moments where each was seen."""
    # three points fewer than one answer may have: the range goes on for two steps after the last window
    step = max(15.0, (span.end - span.start) / (MAX_POINTS - 4))
    matchers = f"{{{selector}}}" if selector else ""
    # the window of the function covers the step, so that a short-lived tier is not stepped over
    query = f"max_over_time(rapl_source_info{matchers}[{int(2 * step * 1000)}ms])"
    found: dict[str, list[tuple[str, np.ndarray]]] = defaultdict(list)
    for series in client.query_range(query, span.start, span.end + 2 * step, step):
        times = np.array(series.timestamps)[np.array(series.values) > 0]
        found[series.metric.get("instance", "")].append((series.metric.get("tier", ""), times))
    return found
