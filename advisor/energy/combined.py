"""Several sources as one: the processor's counters, other sensors of the machine, its meter over the network.

Where two of them measure the same domain, it is counted once. A sensor of the packages (or what lies in them)
beside RAPL's is a twin: it is listed and not published. What holds the whole machine (psys) is published from
each, under a name of its own: ``psys_0``, ``psys_0_hwmon``, ``psys_redfish``.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from advisor.energy.source import Clock, Source, SourceName, Tier, ZoneReport


class CombinedSource(Source):
    """The sources in order of preference; the first gives its name and tier.

    Each of `parts` is saved for itself.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self.parts = tuple(sources)
        self.name: SourceName = sources[0].name
        self.tier: Tier = sources[0].tier
        self.uncertainty_ratio = sources[0].uncertainty_ratio
        self._owners: dict[str, tuple[Source, str]] = {}

    def sample(self, clock: Clock) -> None:
        """Read each once."""
        for source in self.parts:
            source.sample(clock)

    def report(self) -> tuple[ZoneReport, ...]:
        """The zones of all, each domain counted once."""
        reports: list[ZoneReport] = []
        shown: dict[str, str] = {}
        names: set[str] = set()
        self._owners = {}
        for source in self.parts:
            own = source.report()
            taken = dict(shown)
            for zone in own:
                renamed = zone
                if zone.role == "counted":
                    name = f"{zone.name}_{source.name}" if zone.name in names else zone.name
                    renamed = structs.replace(zone, name=name)
                    if zone.domain != "psys" and zone.domain in taken:
                        renamed = structs.replace(zone, role="twin", duplicate_of=taken[zone.domain])
                    else:
                        self._owners[name] = source, zone.name
                        names.add(name)
                        if zone.is_shown:
                            shown.setdefault(zone.domain, name)
                reports.append(renamed)
        return tuple(reports)

    def settled_joules(self, zone: str, seconds: float) -> float | None:
        """See `Source.settled_joules`; None for a zone that has become a twin since."""
        source, name = self._owners.get(zone, (None, zone))
        return None if source is None else source.settled_joules(name, seconds)

    def longest_interval_seconds(self) -> float | None:
        """The shortest that any of them allows."""
        intervals = (source.longest_interval_seconds() for source in self.parts)
        return min((seconds for seconds in intervals if seconds is not None), default=None)

    def stop(self) -> None:
        """End the threads of those that have one."""
        for source in self.parts:
            source.stop()
