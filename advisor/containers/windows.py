"""From readings of a meter to windows of host energy and CPU time."""

from __future__ import annotations

from advisor.energy.attribution import HostUse
from advisor.energy.meter import MeterReading, host_joules

__all__ = ["MeterWindows"]


class MeterWindows:
    """What the host did between two readings, with no joule lost when a zone cannot be read for a while.

    A zone's counter goes on while it is absent, so that its joules come with the window in which it is back.
    A machine that ever showed a package is never read by ``psys``, which contains it.
    """

    def __init__(self) -> None:
        self._last: MeterReading | None = None
        self._joules: dict[str, float] = {}

    def close(self, reading: MeterReading) -> HostUse | None:
        """The window that ends with ``reading``; None for the first one and where no zone was ever read."""
        last, self._last = self._last, reading
        if last is None:
            self._joules = dict(reading.joules)
            return None
        used = dict.fromkeys(self._joules, 0.0)
        for zone, joules in reading.joules.items():
            # a zone that appears later has counted from 0 since it was first seen
            used[zone] = max(0.0, joules - self._joules.get(zone, 0.0))
            self._joules[zone] = joules
        total = host_joules(used)
        if total is None:
            return None
        return HostUse(
            total,
            _difference(last.cpu_busy_seconds, reading.cpu_busy_seconds),
            _difference(last.cpu_total_seconds, reading.cpu_total_seconds),
        )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)
