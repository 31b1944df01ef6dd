"""What Prometheus saw of spans of time: power, energy, processors, or why it says nothing of one.

Near spans share one query for raw samples. Energy is the sum that the meter itself would make: packages plus
dram, each once. A span that the samples do not cover is left out with its reason.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from advisor.energy.meter import host_zones, includes_gpus
from advisor.errors import PrometheusError
from advisor.prometheus.answers import QueryResult
from advisor.prometheus.client import MAX_POINTS, PrometheusClient
from advisor.prometheus.window_statistics import (
    LONGEST_REACH_SECONDS,
    CounterGain,
    Floats,
    GaugeStatistics,
    ScrapedSeries,
    TimeSpan,
    counter_gain,
    gauge_statistics,
    reach_of,
)
from advisor.results import Power

_JOULES, _WATTS = "rapl_energy_joules_total", "rapl_power_watts"
_GPU_JOULES, _GPU_WATTS = "gpu_energy_joules_total", "gpu_power_watts"
_HOST_CPU, _CONTAINER_CPU = "docker_engine_cpu_percent", "docker_container_cpu_seconds_total"
_FAMILIES = (_JOULES, _WATTS, _GPU_JOULES, _GPU_WATTS, _HOST_CPU, _CONTAINER_CPU)
_ZONES = "(package|dram|psys)([_-]?[0-9]+)?"
_LONGEST_QUERY_SECONDS = 6 * 3600.0
"""One query brings the samples of so long; a day of a hundred containers would be a hundred megabytes."""
_LONGEST_PAUSE_SECONDS = 3600.0
"""A longer time without a span ends a query: its samples would cost more than another query."""
_MOST_FAILURES = 2
_MAX_UNCOVERED_RATIO = 0.1
"""A span of which more than this share was not seen is left out; less is completed by the mean."""
_TIER_SLACK_SECONDS = 60.0

Tier = Literal["measured", "modelled"]
TierTimes = Mapping[str, Sequence[tuple[str, Floats]]]
"""By instance: what its exporter called its power, and the moments where it did."""


class PowerInWindow(Struct, frozen=True, kw_only=True):
    """What Prometheus saw of one span; ``reason`` says why there is no power."""

    power: Power | None = None
    gpu_power: Power | None = None
    host_cpu_percent: float | None = None
    """Mean of the engine's host CPU gauge, as the docker exporter publishes it."""
    container_cpu_seconds: dict[str, float] = {}
    reason: str | None = None
    notes: tuple[str, ...] = ()


def ask_power(
    spans: Iterable[TimeSpan], client: PrometheusClient, *, selector: str = ""
) -> Iterator[dict[TimeSpan, PowerInWindow]]:
    """What Prometheus saw of each span, query by query.

    A query that fails loses its own spans, with the reason; the second in a row ends it.

    Raises
    ------
    PrometheusError
        The server is down, or fails again and again.
    """
    spans = sorted(spans)
    if not spans:
        return
    tiers = _tiers(client, selector, TimeSpan(spans[0].start, max(s.end for s in spans)))
    failures = 0
    for group in _groups(spans):
        start = group[0].start - LONGEST_REACH_SECONDS
        end = max(s.end for s in group) + LONGEST_REACH_SECONDS
        try:
            series = [_scraped(result) for result in client.samples(_matchers(selector), start, end)]
        except PrometheusError as exc:
            failures += 1
            if failures == _MOST_FAILURES:
                raise
            yield dict.fromkeys(group, PowerInWindow(reason=f"no power, and {exc}"))
        else:
            failures = 0
            yield {span: power_in_window(span, series, tiers) for span in group}


def _groups(spans: Sequence[TimeSpan]) -> Iterator[list[TimeSpan]]:
    """Spans (ascending) that share a query."""
    group: list[TimeSpan] = []
    for span in spans:
        if group and (
            span.end - group[0].start > _LONGEST_QUERY_SECONDS
            or span.start - max(s.end for s in group) > _LONGEST_PAUSE_SECONDS
        ):
            yield group
            group = []
        group.append(span)
    yield group


def _scraped(result: QueryResult) -> ScrapedSeries:
    times, values = np.array(result.timestamps), np.array(result.values)
    steps = np.diff(times, append=np.inf)
    if (steps < 0).any():
        raise PrometheusError("the server answered with samples whose times do not ascend")
    # what was written twice, by two servers or by one that tried again, is one sample
    times, values = times[steps > 0], values[steps > 0]
    return ScrapedSeries(result.metric, times, values, reach_of(times))


def _matchers(selector: str) -> str:
    more = f",{selector}" if selector else ""
    # zones lie inside one another: only those that are added are asked for
    return f'{{__name__=~"{"|".join(_FAMILIES)}",zone=~"|{_ZONES}"{more}}}'


def _tiers(client: PrometheusClient, selector: str, span: TimeSpan) -> TierTimes:
    """By instance: the tiers that its exporter named, with the moments where each was seen."""
    # three points fewer than one answer may have: the range goes on for two steps after the last span
    step = max(15.0, span.seconds / (MAX_POINTS - 4))
    matchers = f"{{{selector}}}" if selector else ""
    # the window of the function covers the step, so that a short-lived tier is not stepped over
    query = f"max_over_time(rapl_source_info{matchers}[{int(2 * step * 1000)}ms])"
    tiers: dict[str, list[tuple[str, Floats]]] = defaultdict(list)
    for series in client.query_range(query, span.start, span.end + 2 * step, step):
        times = np.array(series.timestamps)[np.array(series.values) > 0]
        tiers[series.metric.get("instance", "")].append((series.metric.get("tier", ""), times))
    return tiers


def power_in_window(span: TimeSpan, series: Sequence[ScrapedSeries], tiers: TierTimes) -> PowerInWindow:
    """What the samples say of ``span``."""
    families: dict[str, list[ScrapedSeries]] = defaultdict(list)
    for one in series:
        near = one.near(span)
        if len(near.times):
            families[one.metric.get("__name__", "")].append(near)
    instances = sorted(_instances((*families[_JOULES], *families[_WATTS])))
    containers = _container_cpu_seconds(_beside(instances, families[_CONTAINER_CPU]), span)
    if len(instances) != 1:
        reason = f"Prometheus has no {_JOULES} or {_WATTS} around this window"
        if instances:
            machines = f"{len(instances)} machines were measured at the time ({', '.join(instances)})"
            reason = f"{machines}: choose one with --selector"
        return PowerInWindow(reason=reason, container_cpu_seconds=containers)
    tier = _tier(tiers.get(instances[0], ()), span)
    power, notes = _power(span, families[_JOULES], families[_WATTS], "zone", tier)
    if power is None:
        return PowerInWindow(reason=notes[0], container_cpu_seconds=containers)
    joules, watts = (_gpus_of(instances[0], families[name]) for name in (_GPU_JOULES, _GPU_WATTS))
    gpu_power, _ = _power(span, joules, watts, "gpu", "measured")
    engines = _beside(instances, families[_HOST_CPU])
    busy = gauge_statistics(max(engines, key=_length), span) if engines else None
    return PowerInWindow(
        power=power,
        gpu_power=gpu_power,
        host_cpu_percent=busy.mean if busy else None,
        container_cpu_seconds=containers,
        notes=notes,
    )


def _instances(series: Iterable[ScrapedSeries]) -> set[str]:
    return {one.metric.get("instance", "") for one in series}


def _gpus_of(instance: str, series: Sequence[ScrapedSeries]) -> Sequence[ScrapedSeries]:
    """GPUs that the processors' exporter tells of; else those of the stack's job for GPUs alone."""
    of_host = [s for s in series if s.metric.get("instance", "") == instance]
    return of_host or _beside([instance], [s for s in series if s.metric.get("job") == "gpu"])


def _beside(instances: Sequence[str], series: Sequence[ScrapedSeries]) -> Sequence[ScrapedSeries]:
    """What a machine's Docker exporter told: another instance, on the same host or the only one."""
    if len(_instances(series)) < 2:
        return series
    hosts = {_host(instance) for instance in instances}
    return [s for s in series if _host(s.metric.get("instance", "")) in hosts]


def _host(instance: str) -> str:
    """Of ``host:port``; what has no port is the name of a host."""
    return instance.rpartition(":")[0] or instance


def _length(series: ScrapedSeries) -> int:
    return len(series.times)


def _container_cpu_seconds(series: Sequence[ScrapedSeries], span: TimeSpan) -> dict[str, float]:
    """By container, where the samples cover the span."""
    return {
        container: gain.amount
        for container, gain in _gains(series, "container", span).items()
        if gain is not None and gain.uncovered_seconds <= _MAX_UNCOVERED_RATIO * span.seconds
    }


def _tier(named: Sequence[tuple[str, Floats]], span: TimeSpan) -> Tier | None:
    """The tier inside a span; modelled as soon as a part of it was."""
    tiers = {tier for tier, _ in named}
    if len(tiers) > 1:
        low, high = span.start - _TIER_SLACK_SECONDS, span.end + _TIER_SLACK_SECONDS
        tiers = {tier for tier, times in named if ((times >= low) & (times <= high)).any()}
    return "modelled" if "modelled" in tiers else "measured" if "measured" in tiers else None


def _power(
    span: TimeSpan,
    counters: Sequence[ScrapedSeries],
    gauges: Sequence[ScrapedSeries],
    label: str,
    tier: Tier | None,
) -> tuple[Power | None, tuple[str, ...]]:
    """Energy by the counters, else by the gauges' mean; beside it notes, or the reason why there is none."""
    gains = _gains(counters, label, span)
    spread = _spread(gauges, label, span)
    refused = next((why for zone, gain in gains.items() if (why := _why_not(zone, gain, span))), None)
    by_zone = {zone: gain for zone, gain in gains.items() if gain is not None}
    if refused is not None:
        return None, (refused,)
    if by_zone:
        joules = sum(by_zone[zone].amount for zone in _counted(by_zone, label))
        notes = _notes(max(by_zone.values(), key=lambda gain: gain.uncovered_seconds))
    else:
        covered = spread.covered_seconds if spread else 0.0
        if spread is None or covered < (1 - _MAX_UNCOVERED_RATIO) * span.seconds:
            return None, (f"Prometheus covers {covered:.1f} of {span.seconds:.1f} s",)
        joules = spread.mean * span.seconds
        notes = ("no energy counter: energy is the mean of the power gauge over time",)
    if not math.isfinite(joules):
        return None, ("the samples around this window are not finite",)
    power = Power(
        source="prometheus",
        tier=tier,
        mean_watts=joules / span.seconds,
        median_watts=spread.median if spread else None,
        min_watts=spread.min if spread else None,
        max_watts=spread.max if spread else None,
        stdev_watts=spread.stdev if spread else None,
        total_energy_joules=joules,
        domains={zone: gain.amount for zone, gain in by_zone.items()},
        includes_gpus=label == "zone" and includes_gpus(by_zone),
    )
    return power, notes


def _gains(counters: Sequence[ScrapedSeries], label: str, span: TimeSpan) -> dict[str, CounterGain | None]:
    """Every zone's counter; of two that say the same, the one that covers more of the span."""
    gains: dict[str, CounterGain | None] = {}
    for one in counters:
        zone, gain = one.metric.get(label, ""), counter_gain(one, span)
        other = gains.get(zone)
        if other is None or (gain is not None and gain.uncovered_seconds < other.uncovered_seconds):
            gains[zone] = gain
    return gains


def _why_not(zone: str, gain: CounterGain | None, span: TimeSpan) -> str | None:
    """Why a counter does not tell the energy of a span, None where it does."""
    if gain is None:
        return f"Prometheus has no samples of {zone} inside this window"
    if not gain.samples_inside:
        step = gain.step_seconds
        return f"the window of {span.seconds:.1f} s lies between two scrapes, which come every {step:.1f} s"
    if gain.uncovered_seconds <= _MAX_UNCOVERED_RATIO * span.seconds:
        return None
    after = f" ({gain.resets} restarts of the exporter inside)" if gain.resets else ""
    return f"Prometheus covers {span.seconds - gain.uncovered_seconds:.1f} of {span.seconds:.1f} s{after}"


def _counted(zones: Iterable[str], label: str) -> list[str]:
    """Zones by the rule of the meter (each joule once); GPUs stand beside one another."""
    return host_zones(zones) if label == "zone" else list(zones)


def _spread(gauges: Sequence[ScrapedSeries], label: str, span: TimeSpan) -> GaugeStatistics | None:
    """Statistics of the sum of those zones that count, at the times that all of them share."""
    zones: dict[str, ScrapedSeries] = {}
    for one in gauges:
        zone = one.metric.get(label, "")
        zones[zone] = max(zones.get(zone, one), one, key=_length)
    counted = [zones[zone] for zone in _counted(zones, label)]
    if not counted:
        return None
    times = counted[0].times
    for one in counted[1:]:
        times = np.intersect1d(times, one.times)
    watts = np.sum([s.values[np.searchsorted(s.times, times)] for s in counted], axis=0)
    return gauge_statistics(ScrapedSeries({}, times, watts, counted[0].reach_seconds), span)


def _notes(gain: CounterGain) -> tuple[str, ...]:
    notes = []
    if gain.resets:
        notes.append(f"{gain.resets} restart(s) of the exporter inside the window")
    if gain.uncovered_seconds:
        notes.append(f"{gain.uncovered_seconds:.1f} s not covered, filled with the mean of the rest")
    if gain.gap_seconds:
        notes.append(f"scrapes missing for {gain.gap_seconds:.1f} s: only the total energy is known")
    return tuple(notes)
