"""What Prometheus saw of spans of time: power, energy, processors, or why it says nothing of one.

Near spans share one query for raw samples. Energy is the sum that the meter itself would make: packages plus
dram, each once. A span that the samples do not cover is left out with its reason.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from msgspec import Struct

from advisor.energy.meter import host_zones, includes_gpus
from advisor.prometheus.answers import QueryResult
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.window_statistics import (
    LONGEST_REACH_SECONDS,
    CounterGain,
    GaugeStatistics,
    ScrapedSeries,
    TimeSpan,
    counter_gain,
    gauge_statistics,
)
from advisor.results import Power

_JOULES, _WATTS = "rapl_energy_joules_total", "rapl_power_watts"
_GPU_JOULES, _GPU_WATTS = "gpu_energy_joules_total", "gpu_power_watts"
_HOST_CPU, _CONTAINER_CPU = "docker_engine_cpu_percent", "docker_container_cpu_seconds_total"
_SOURCE = "rapl_source_info"
_FAMILIES = (_JOULES, _WATTS, _GPU_JOULES, _GPU_WATTS, _HOST_CPU, _CONTAINER_CPU, _SOURCE)
_ZONES = "(package|dram|psys)([_-]?[0-9]+)?"
_LONGEST_QUERY_SECONDS = 6 * 3600.0
"""One query brings the samples of so long; a day of a hundred containers would be a hundred megabytes."""
_LONGEST_PAUSE_SECONDS = 3600.0
"""A longer time without a span ends a query: its samples would cost more than another query."""
_MAX_UNCOVERED_RATIO = 0.1
"""A span of which more than this share was not seen is left out; less is completed by the mean."""
_MOST_RESTARTS = 5
"""In one span. More, and more than one in ten samples, are falls between two counters in one series."""
_SAME_GAIN_RATIO = 0.02
"""As far as two exporters' scrapes, at other moments, tell one counter's gain."""

Tier = Literal["measured", "modelled"]


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
    spans: Sequence[TimeSpan], client: PrometheusClient, *, selector: str = ""
) -> dict[TimeSpan, PowerInWindow]:
    """What Prometheus saw of each of the spans (near ones, see `by_query`), by one query.

    Raises
    ------
    PrometheusError
        There was no answer to it.
    """
    start = min(s.start for s in spans) - LONGEST_REACH_SECONDS
    end = max(s.end for s in spans) + LONGEST_REACH_SECONDS
    more = f",{selector}" if selector else ""
    # zones lie inside one another: only those that are added are asked for
    matchers = f'{{__name__=~"{"|".join(_FAMILIES)}",zone=~"|{_ZONES}"{more}}}'
    series = [_scraped(result) for result in client.samples(matchers, start, end)]
    return {span: power_in_window(span, series) for span in spans}


def by_query(spans: Sequence[TimeSpan]) -> Iterator[list[TimeSpan]]:
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
    if group:
        yield group


def _scraped(result: QueryResult) -> ScrapedSeries:
    # a store that merges what two servers wrote may answer with the one's samples after the other's
    order = np.argsort(result.timestamps, kind="stable")
    times, values = np.array(result.timestamps)[order], np.array(result.values)[order]
    # what was written twice, by two servers or by one that tried again, is one sample
    last = np.diff(times, append=np.inf) > 0
    times, values = times[last], values[last]
    return ScrapedSeries(result.metric, times, values)


def power_in_window(span: TimeSpan, series: Sequence[ScrapedSeries]) -> PowerInWindow:
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
    tier = _tier(one for one in families[_SOURCE] if one.metric.get("instance", "") == instances[0])
    power, notes = _power(span, families[_JOULES], families[_WATTS], "zone", tier)
    if power is None:
        return PowerInWindow(reason=notes[0], container_cpu_seconds=containers)
    joules, watts = (_gpus_of(instances[0], families[name]) for name in (_GPU_JOULES, _GPU_WATTS))
    gpu_power, _ = _power(span, joules, watts, "gpu", "measured")
    engines = _beside(instances, families[_HOST_CPU])
    busy = gauge_statistics(max(engines, key=lambda one: len(one.times)), span) if engines else None
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


def _container_cpu_seconds(series: Sequence[ScrapedSeries], span: TimeSpan) -> dict[str, float]:
    """By container, where the samples cover the span."""
    return {
        container: gain.amount
        for container, gain in _gains(series, "container", span).items()
        if gain is not None and _why_not(container, gain, span) is None
    }


def _tier(sources: Iterable[ScrapedSeries]) -> Tier | None:
    """What the exporter called its power around a span; modelled as soon as a part of it was."""
    tiers = {one.metric.get("tier") for one in sources if (one.values > 0).any()}
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
    refused = _two_machines(counters, label, span) or next(
        (why for zone, gain in gains.items() if (why := _why_not(zone, gain, span))), None
    )
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


def _two_machines(counters: Sequence[ScrapedSeries], label: str, span: TimeSpan) -> str | None:
    """What tells machines of one instance apart, as a reason; None where no two counters are apart.

    Stacks call their exporter the same on every host. What two servers scraped of one counter overlaps, and
    what two exporters of one host counted gains the same.
    """
    gains = [(one, counter_gain(one, span)) for one in counters]
    whole = [(one, gain.amount) for one, gain in gains if gain is not None and _covers(gain, span)]
    for (a, ours), (b, theirs) in itertools.combinations(whole, 2):
        apart = np.nanmax(a.values) < np.nanmin(b.values) or np.nanmax(b.values) < np.nanmin(a.values)
        same = math.isclose(ours, theirs, rel_tol=_SAME_GAIN_RATIO)
        if apart and not same and a.metric.get(label) == b.metric.get(label):
            labels = sorted(f'{name}="{value}"' for name, value in {*a.metric.items()} ^ {*b.metric.items()})
            return f"2 machines were measured at the time ({', '.join(labels)}): choose one with --selector"
    return None


def _covers(gain: CounterGain, span: TimeSpan) -> bool:
    seen = gain.uncovered_seconds <= _MAX_UNCOVERED_RATIO * span.seconds
    return seen and gain.resets <= max(_MOST_RESTARTS, 0.1 * gain.samples_inside)


def _why_not(zone: str, gain: CounterGain | None, span: TimeSpan) -> str | None:
    """Why a counter does not tell the energy of a span, None where it does."""
    if gain is None:
        return f"Prometheus has no samples of {zone} inside this window"
    # most of what was seen is not the load's
    if gain.samples_inside < 2 and span.seconds < gain.step_seconds:
        scrapes = f"less than two scrapes, which come every {gain.step_seconds:.1f} s"
        return f"the window of {span.seconds:.1f} s holds {scrapes}"
    if gain.doubtful > _MAX_UNCOVERED_RATIO * gain.amount:
        changed = f"power changed within {gain.step_seconds:.1f} s, the time between two scrapes"
        return f"the window of {span.seconds:.1f} s is too short: {changed}"
    if _covers(gain, span):
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
        zones[zone] = max(zones.get(zone, one), one, key=lambda one: len(one.times))
    counted = [zones[zone] for zone in _counted(zones, label)]
    if not counted:
        return None
    times = functools.reduce(np.intersect1d, [one.times for one in counted])
    watts = np.sum([s.values[np.searchsorted(s.times, times)] for s in counted], axis=0)
    return gauge_statistics(ScrapedSeries({}, times, watts), span)


def _notes(gain: CounterGain) -> tuple[str, ...]:
    notes = []
    if gain.resets:
        notes.append(f"{gain.resets} restart(s) of the exporter inside the window")
    if gain.uncovered_seconds:
        notes.append(f"{gain.uncovered_seconds:.1f} s not covered, filled with the mean of the rest")
    if gain.gap_seconds:
        notes.append(f"scrapes missing for {gain.gap_seconds:.1f} s: only the total energy is known")
    return tuple(notes)
