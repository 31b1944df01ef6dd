"""What scraped series say of windows: power, energy, processors, or why they say nothing.

Energy is the sum that the meter itself would make: packages plus dram, each once. A window that the samples
do not cover is left out with its reason.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from advisor.energy.meter import host_joules
from advisor.prometheus.scraped import Samples
from advisor.prometheus.window_statistics import CounterWindows, GaugeWindows, Windows, gauge_windows
from advisor.results import Power

__all__ = ["CONTAINER_SECONDS", "FAMILIES", "SOURCE", "Observed", "TierTimes", "observed"]

SOURCE = "prometheus"
"""``Power.source`` of what is made here."""
CONTAINER_SECONDS = "docker_container_cpu_seconds_total"
FAMILIES = (
    "rapl_energy_joules_total",
    "rapl_power_watts",
    "gpu_energy_joules_total",
    "gpu_power_watts",
    "docker_engine_cpu_percent",
)
_MAX_UNCOVERED_RATIO = 0.1
"""A window of which more than this share was not seen is left out; less is completed by the mean."""
_TIER_SLACK_SECONDS = 60.0

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Tier = Literal["measured", "modelled"]
TierTimes = Mapping[str, Sequence[tuple[str, Floats]]]
"""By instance: what its exporter called its power, and the moments where it did."""


class Observed(Struct, frozen=True, kw_only=True):
    """What Prometheus saw of one window; ``reason`` says why there is no power."""

    power: Power | None = None
    gpu_power: Power | None = None
    host_cpu_percent: float | None = None
    """Mean of the engine's host CPU gauge, as the docker exporter publishes it."""
    container_cpu_seconds: dict[str, float] = {}
    reason: str | None = None
    notes: tuple[str, ...] = ()


def observed(windows: Windows, series: Sequence[Samples], tiers: TierTimes) -> list[Observed]:
    """Each window in the order given, from the samples around all of them.

    Windows with the same series around them are worked out together.
    """
    found = [Observed() for _ in windows.starts]
    hosts = [s for s in series if s.metric.get("__name__") in FAMILIES]
    near = np.array([s.near(windows) for s in hosts], dtype=bool).reshape(len(hosts), len(found))
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, column in enumerate(near.T):
        groups[column.tobytes()].append(index)
    for members in groups.values():
        there = [s for s, is_near in zip(hosts, near[:, members[0]], strict=True) if is_near]
        alike = _only(windows, np.array(members))
        for index, one in zip(members, _alike(alike, there, tiers), strict=True):
            found[index] = one
    used = _containers(windows, [s for s in series if s.metric.get("__name__") == CONTAINER_SECONDS])
    return [
        msgspec.structs.replace(one, container_cpu_seconds=dict(used[index])) if index in used else one
        for index, one in enumerate(found)
    ]


def _only(windows: Windows, members: Ints) -> Windows:
    return Windows(windows.starts[members], windows.ends[members])


def _alike(windows: Windows, series: Sequence[Samples], tiers: TierTimes) -> list[Observed]:
    """Windows that have all of ``series`` around them."""
    families: dict[str, list[Samples]] = defaultdict(list)
    for s in series:
        families[s.metric["__name__"]].append(s)
    counters, gauges = families[FAMILIES[0]], families[FAMILIES[1]]
    instances = sorted({s.metric.get("instance", "") for s in (*counters, *gauges)})
    if len(instances) != 1:
        return [Observed(reason=_of_one_machine(instances)) for _ in windows.starts]
    powers = _powers(windows, counters, gauges, label="zone")
    gpus = _powers(windows, families[FAMILIES[2]], families[FAMILIES[3]], label="gpu")
    engines = families[FAMILIES[4]]
    busy = _gauge(engines[0], windows).mean if len(engines) == 1 else np.full(len(powers), np.nan)
    made = []
    for i, (host, gpu) in enumerate(zip(powers, gpus, strict=True)):
        if isinstance(host, str):
            made.append(Observed(reason=host))
            continue
        tier = _tier(tiers.get(instances[0], ()), windows.starts[i], windows.ends[i])
        made.append(
            Observed(
                power=host.power(tier),
                gpu_power=None if isinstance(gpu, str) else gpu.power("measured"),
                host_cpu_percent=_known(busy[i]),
                notes=host.notes,
            )
        )
    return made


def _of_one_machine(instances: Sequence[str]) -> str:
    if not instances:
        return "Prometheus has no rapl_energy_joules_total or rapl_power_watts around this window"
    return f"{len(instances)} machines were measured then ({', '.join(instances)}): choose one by a selector"


def _containers(windows: Windows, series: Sequence[Samples]) -> Mapping[int, dict[str, float]]:
    """CPU seconds by container, by index of the window, where the samples cover it."""
    found: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for s in series:
        members = np.flatnonzero(s.near(windows))
        part = _only(windows, members)
        seen = s.counter(part)
        covered = ~np.isnan(seen.amount) & (seen.uncovered_seconds <= _MAX_UNCOVERED_RATIO * part.seconds)
        for index, amount in zip(members[covered].tolist(), seen.amount[covered].tolist(), strict=True):
            found[index][s.metric.get("container", "")] += amount
    return found


def _tier(named: Sequence[tuple[str, Floats]], start: float, end: float) -> Tier | None:
    """The tier inside a window; modelled as soon as a part of it was."""
    found = {tier for tier, _ in named}
    if len(found) > 1:
        low, high = start - _TIER_SLACK_SECONDS, end + _TIER_SLACK_SECONDS
        found = {tier for tier, times in named if ((times >= low) & (times <= high)).any()}
    return "modelled" if "modelled" in found else "measured" if "measured" in found else None


class _Figures(Struct, frozen=True):
    """One window's power before its tier is known."""

    seconds: float
    joules: float
    domains: dict[str, float]
    spread: tuple[float | None, ...]
    """Median, smallest, largest watts and their standard deviation."""
    notes: tuple[str, ...]

    def power(self, tier: Tier | None) -> Power:
        median, least, most, stdev = self.spread
        return Power(
            source=SOURCE,
            tier=tier,
            mean_watts=self.joules / self.seconds,
            median_watts=median,
            min_watts=least,
            max_watts=most,
            stdev_watts=stdev,
            total_energy_joules=self.joules,
            domains=self.domains,
        )


def _powers(
    windows: Windows, counters: Sequence[Samples], gauges: Sequence[Samples], *, label: str
) -> list[_Figures | str]:
    """Energy by the counters, else by the gauges' means; spread by the gauges. A string says why not."""
    if not counters and not gauges:
        return ["Prometheus has no samples of the power around this window"] * len(windows.starts)
    zones = _counters(windows, counters, label)
    spread = _spread(windows, gauges, label)
    reasons = _refused(windows.seconds, zones) if zones else _not_covered(windows.seconds, spread)
    counted = _counted(zones, label)
    domains = {zone: seen.amount.tolist() for zone, seen in zones.items()}
    by_gauge = (spread.mean * windows.seconds).tolist()
    figures = zip(*(f.tolist() for f in (spread.median, spread.min, spread.max, spread.stdev)), strict=True)
    made: list[_Figures | str] = []
    for i, four in enumerate(figures):
        total = sum(domains[zone][i] for zone in counted) if counted else by_gauge[i]
        if i in reasons or not math.isfinite(total):
            made.append(reasons.get(i, "the samples around this window add up to no number"))
            continue
        each = {zone: amounts[i] for zone, amounts in domains.items()}
        notes = _notes(zones, i) if counted else _BY_GAUGE
        made.append(_Figures(float(windows.seconds[i]), total, each, tuple(map(_known, four)), notes))
    return made


_BY_GAUGE = ("no energy counter: energy is the mean of the power gauge over time",)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _counters(windows: Windows, counters: Sequence[Samples], label: str) -> dict[str, CounterWindows]:
    """Every zone's counter over each window; of two that say the same, the one that covers more of it."""
    found: dict[str, CounterWindows] = {}
    for s in counters:
        zone, seen = s.metric.get(label, ""), s.counter(windows)
        found[zone] = _better(found[zone], seen) if zone in found else seen
    return found


def _better(one: CounterWindows, other: CounterWindows) -> CounterWindows:
    missing = [np.where(np.isnan(c.amount), np.inf, c.uncovered_seconds) for c in (one, other)]
    chosen = missing[0] <= missing[1]
    fields = CounterWindows.__struct_fields__
    return CounterWindows(*(np.where(chosen, getattr(one, f), getattr(other, f)) for f in fields))


def _refused(seconds: Floats, zones: Mapping[str, CounterWindows]) -> dict[int, str]:
    """By index of the window: why a counter does not cover it."""
    found: dict[int, str] = {}
    for zone, seen in zones.items():
        lacking = np.isnan(seen.amount) | (seen.uncovered_seconds > _MAX_UNCOVERED_RATIO * seconds)
        for i in np.flatnonzero(lacking | (seen.samples_inside == 0)):
            found.setdefault(int(i), _why_not(zone, seen, int(i), seconds[i]))
    return found


def _why_not(zone: str, seen: CounterWindows, i: int, seconds: float) -> str:
    if math.isnan(seen.amount[i]):
        return f"Prometheus has no samples of {zone} inside this window"
    if not seen.samples_inside[i]:
        every = seen.step_seconds[i]
        return f"the window of {seconds:.1f} s lies between two scrapes, which come every {every:.1f} s"
    after = f" ({seen.resets[i]} restarts of the exporter inside)" if seen.resets[i] else ""
    return f"Prometheus covers {seconds - seen.uncovered_seconds[i]:.1f} of {seconds:.1f} s{after}"


def _not_covered(seconds: Floats, spread: GaugeWindows) -> dict[int, str]:
    """The same where there are gauges alone."""
    lacking = spread.covered_seconds < (1 - _MAX_UNCOVERED_RATIO) * seconds
    return {
        int(i): f"Prometheus covers {spread.covered_seconds[i]:.1f} of {seconds[i]:.1f} s"
        for i in np.flatnonzero(lacking)
    }


def _counted(zones: Mapping[str, object], label: str) -> list[str]:
    """Zones by the rule of the meter (each joule once); GPUs stand beside one another."""
    if label != "zone":
        return list(zones)
    return [zone for zone in zones if host_joules({z: float(z == zone) for z in zones})]


def _spread(windows: Windows, gauges: Sequence[Samples], label: str) -> GaugeWindows:
    """Statistics of the sum of those zones that count, at the times that all of them share."""
    zones: dict[str, Samples] = {}
    for s in gauges:
        zone = s.metric.get(label, "")
        zones[zone] = max(zones.get(zone, s), s, key=lambda one: len(one.times))
    counted = [zones[zone] for zone in _counted(zones, label)]
    if not counted:
        return gauge_windows(np.empty(0), np.empty(0), windows, 0.0)
    times = counted[0].times
    for s in counted[1:]:
        times = np.intersect1d(times, s.times)
    watts = np.sum([s.values[np.searchsorted(s.times, times)] for s in counted], axis=0)
    return gauge_windows(times, watts, windows, counted[0].reach_seconds)


def _gauge(s: Samples, windows: Windows) -> GaugeWindows:
    return gauge_windows(s.times, s.values, windows, s.reach_seconds)


def _notes(zones: Mapping[str, CounterWindows], i: int) -> tuple[str, ...]:
    return tuple(_noted(max(zones.values(), key=lambda seen: seen.uncovered_seconds[i]), i))


def _noted(worst: CounterWindows, i: int) -> Iterator[str]:
    if worst.resets[i]:
        yield f"{worst.resets[i]} restart(s) of the exporter inside the window"
    if worst.uncovered_seconds[i]:
        yield f"{worst.uncovered_seconds[i]:.1f} s not covered, completed by the mean of the rest"
    if worst.gap_seconds[i]:
        yield f"scrapes missing for {worst.gap_seconds[i]:.1f} s: energy known, its course not"
