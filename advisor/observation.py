"""What Prometheus saw of windows of time: power, energy, processors.

Windows are merged into few requests for raw samples, and each window's figures are worked out of them in
numpy (`advisor.window`). Energy is the sum that the meter itself would make: packages plus dram, each once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.energy.meter import host_joules
from advisor.prometheus import MAX_POINTS, PrometheusClient, Series
from advisor.results import Power
from advisor.window import CounterWindow, counter_window, gauge_window, scrape_step

__all__ = ["SOURCE", "Observed", "Window", "merged", "observe"]

SOURCE = "prometheus"
"""``Power.source`` of what is made here."""
MAX_UNCOVERED_RATIO = 0.1
"""A window of which more than this share was not seen is left out; less is completed by the mean."""
_ZONES = "(package|dram|psys)([_-]?[0-9]+)?"
_PAD_STEPS = 3
"""Scrapes on either side of a window: two make the rate beside the edge, one may be late."""
_SLOWEST_STEP_SECONDS = 60.0
_USUAL_STEP_SECONDS = 15.0
_FAMILIES = (
    "rapl_energy_joules_total",
    "rapl_power_watts",
    "gpu_energy_joules_total",
    "gpu_power_watts",
    "docker_engine_cpu_percent",
    "docker_container_cpu_seconds_total",
)
Floats = NDArray[np.float64]
Tier = Literal["measured", "modelled"]
_TIERS: Mapping[str, Tier] = {"measured": "measured", "modelled": "modelled"}


class Window(Struct, frozen=True, order=True):
    """A stretch of time, Unix seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def padded(self, seconds: float) -> Window:
        """The same, longer at both ends."""
        return Window(self.start - seconds, self.end + seconds)


class Observed(Struct, frozen=True, kw_only=True):
    """What Prometheus saw of one window; ``reason`` says why there is no power."""

    power: Power | None = None
    gpu_power: Power | None = None
    host_cpu_percent: float | None = None
    """Mean of the engine's host CPU gauge, as the docker exporter publishes it."""
    container_cpu_seconds: dict[str, float] = {}
    reason: str | None = None
    notes: tuple[str, ...] = ()


def observe(
    windows: Iterable[Window], client: PrometheusClient, *, selector: str = ""
) -> Iterator[dict[Window, Observed]]:
    """What Prometheus saw of each window, group by group; near windows are asked for together.

    Raises
    ------
    PrometheusError
    """
    pending = sorted(windows)
    if not pending:
        return
    tiers = _tiers(client, selector, Window(pending[0].start, max(w.end for w in pending)))
    step = None
    while pending:
        # the first window alone tells how often this server scrapes
        known = step or _SLOWEST_STEP_SECONDS
        limit = MAX_POINTS * (step or _USUAL_STEP_SECONDS) if step else 0.0
        group = next(merged(pending, pad=_PAD_STEPS * known, limit=limit))
        reach = Window(group[0].start, max(w.end for w in group)).padded(_PAD_STEPS * known)
        samples = _fetch(client, selector, reach)
        yield {w: _observed(w, _around(samples, w.padded(_PAD_STEPS * known)), tiers) for w in group}
        step = max((scrape_step(s.times) or 0.0 for s in samples), default=0.0) or step
        pending = pending[len(group) :]


def merged(windows: Sequence[Window], *, pad: float, limit: float) -> Iterator[list[Window]]:
    """Ascending windows in groups that one request covers: no group spans more than ``limit`` seconds."""
    group: list[Window] = []
    for window in windows:
        if group and window.end + 2 * pad - group[0].start > limit:
            yield group
            group = []
        group.append(window)
    if group:
        yield group


class _Samples(Struct, frozen=True):
    """One series as arrays."""

    metric: Mapping[str, str]
    times: Floats
    values: Floats


def _fetch(client: PrometheusClient, selector: str, reach: Window) -> list[_Samples]:
    more = f",{selector}" if selector else ""
    names = "|".join(_FAMILIES)
    # zones lie inside one another: only those that are added are asked for
    matchers = f'{{__name__=~"{names}",zone=~"|{_ZONES}"{more}}}'
    return [_arrays(series) for series in client.samples(matchers, reach.start, reach.end)]


def _arrays(series: Series) -> _Samples:
    return _Samples(series.metric, np.array(series.timestamps), np.array(series.values))


def _around(samples: Sequence[_Samples], reach: Window) -> list[_Samples]:
    near = []
    for s in samples:
        low, high = np.searchsorted(s.times, (reach.start, reach.end))
        if high > low:
            near.append(_Samples(s.metric, s.times[low:high], s.values[low:high]))
    return near


_TierTimes = Mapping[str, Sequence[tuple[Tier, Floats]]]


def _tiers(client: PrometheusClient, selector: str, span: Window) -> _TierTimes:
    """By instance: the tiers that its exporter named, with the moments where each was seen."""
    step = max(15.0, (span.end - span.start) / (MAX_POINTS - 1))
    matchers = f"{{{selector}}}" if selector else ""
    # the window of the function covers the step, so that a short-lived tier is not stepped over
    query = f"max_over_time(rapl_source_info{matchers}[{int(2 * step * 1000)}ms])"
    found: dict[str, list[tuple[Tier, Floats]]] = defaultdict(list)
    for series in client.query_range(query, span.start, span.end + 2 * step, step):
        tier = _TIERS.get(series.metric.get("tier", ""))
        if tier is not None:
            times: Floats = np.array(series.timestamps)[np.array(series.values) > 0]
            found[series.metric.get("instance", "")].append((tier, times))
    return found


def _tier(tiers: _TierTimes, instance: str, window: Window) -> Tier | None:
    """The tier inside the window; modelled as soon as a part of it was."""
    named = tiers.get(instance, ())
    if len({tier for tier, _ in named}) == 1:
        return named[0][0]
    slack = 60.0
    inside = {
        tier
        for tier, times in named
        if ((times >= window.start - slack) & (times <= window.end + slack)).any()
    }
    return "modelled" if "modelled" in inside else "measured" if inside else None


def _observed(window: Window, samples: Sequence[_Samples], tiers: _TierTimes) -> Observed:
    """One window from the samples around it."""
    families: dict[str, list[_Samples]] = defaultdict(list)
    for s in samples:
        families[s.metric.get("__name__", "")].append(s)
    counters, gauges = families["rapl_energy_joules_total"], families["rapl_power_watts"]
    instances = sorted({s.metric.get("instance", "") for s in (*counters, *gauges)})
    if len(instances) > 1:
        names = ", ".join(instances)
        return Observed(
            reason=f"{len(instances)} machines were measured then ({names}): choose one by a selector"
        )
    if not instances:
        return Observed(
            reason="Prometheus has no rapl_energy_joules_total or rapl_power_watts around this window"
        )
    found = _power(window, counters, gauges)
    if isinstance(found, str):
        return Observed(reason=found)
    power, notes = found
    gpu = _power(window, families["gpu_energy_joules_total"], families["gpu_power_watts"], label="gpu")
    host = [
        gauge_window(s.times, s.values, window.start, window.end)
        for s in families["docker_engine_cpu_percent"]
    ]
    return Observed(
        power=msgspec.structs.replace(power, tier=_tier(tiers, instances[0], window)),
        gpu_power=None if isinstance(gpu, str) else msgspec.structs.replace(gpu[0], tier="measured"),
        host_cpu_percent=host[0].mean if len(host) == 1 and host[0] else None,
        container_cpu_seconds=_container_seconds(window, families["docker_container_cpu_seconds_total"]),
        notes=notes,
    )


def _container_seconds(window: Window, series: Iterable[_Samples]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for s in series:
        seen = counter_window(s.times, s.values, window.start, window.end)
        if seen is not None and seen.uncovered_seconds <= MAX_UNCOVERED_RATIO * window.seconds:
            found[s.metric.get("container", "")] += seen.amount
    return dict(found)


def _power(
    window: Window, counters: Sequence[_Samples], gauges: Sequence[_Samples], *, label: str = "zone"
) -> tuple[Power, tuple[str, ...]] | str:
    """Energy by the counters, else by the gauges' means; spread by the gauges. A string says why not."""
    seconds = window.seconds
    seen = _counters(window, counters, label)
    if isinstance(seen, str):
        return seen
    joules = {zone: w.amount for zone, w in seen.items()}
    watts = _sum_of_gauges(gauges, label)
    spread = gauge_window(*watts, window.start, window.end) if watts is not None else None
    total = _added(joules, label)
    notes = _notes(seen.values())
    if total is None:
        if spread is None:
            return "Prometheus has no samples of the power around this window"
        if spread.covered_seconds < (1 - MAX_UNCOVERED_RATIO) * seconds:
            return f"Prometheus covers {spread.covered_seconds:.1f} of {seconds:.1f} s"
        total = spread.mean * seconds
        notes = ("no energy counter: energy is the mean of the power gauge over time",)
    power = Power(
        source=SOURCE,
        mean_watts=total / seconds,
        median_watts=spread.median if spread else None,
        min_watts=spread.min if spread else None,
        max_watts=spread.max if spread else None,
        stdev_watts=spread.stdev if spread else None,
        total_energy_joules=total,
        domains=joules,
    )
    return power, notes


def _counters(window: Window, counters: Sequence[_Samples], label: str) -> dict[str, CounterWindow] | str:
    """Every counter over the window, or why one of them does not cover it."""
    seconds = window.seconds
    found: dict[str, CounterWindow] = {}
    for s in counters:
        zone = s.metric.get(label, "")
        seen = counter_window(s.times, s.values, window.start, window.end)
        if seen is None:
            return f"Prometheus has no samples of {zone} inside this window"
        if not seen.samples_inside:
            return (
                f"the window of {seconds:.1f} s lies between two scrapes, "
                f"which come every {seen.step_seconds:.1f} s"
            )
        if seen.uncovered_seconds > MAX_UNCOVERED_RATIO * seconds:
            covered = seconds - seen.uncovered_seconds
            after = f" ({seen.resets} restarts of the exporter inside)" if seen.resets else ""
            return f"Prometheus covers {covered:.1f} of {seconds:.1f} s{after}"
        found[zone] = seen
    return found


def _added(values: Mapping[str, float], label: str) -> float | None:
    """Zones by the rule of the meter (each joule once); GPUs stand beside one another."""
    if label == "zone":
        return host_joules(values)
    return sum(values.values()) if values else None


def _sum_of_gauges(gauges: Sequence[_Samples], label: str) -> tuple[Floats, Floats] | None:
    """Times that all zones share, and the sum of those zones that count."""
    if not gauges:
        return None
    times = gauges[0].times
    for s in gauges[1:]:
        times = np.intersect1d(times, s.times)
    rows: dict[str, Floats] = {}
    for s in gauges:
        rows[s.metric.get(label, "")] = s.values[np.searchsorted(s.times, times)]
    counted = [zone for zone in rows if _added({z: float(z == zone) for z in rows}, label)]
    if not len(times) or not counted:
        return None
    return times, np.sum([rows[zone] for zone in counted], axis=0)


def _notes(seen: Iterable[CounterWindow]) -> tuple[str, ...]:
    windows = list(seen)
    if not windows:
        return ()
    worst = max(windows, key=lambda w: w.uncovered_seconds)
    notes = []
    if worst.resets:
        notes.append(f"{worst.resets} restart(s) of the exporter inside the window")
    if worst.uncovered_seconds:
        notes.append(f"{worst.uncovered_seconds:.1f} s not covered, completed by the mean of the rest")
    if worst.gap_seconds:
        notes.append(f"scrapes missing for {worst.gap_seconds:.1f} s: energy known, its course not")
    return tuple(notes)
