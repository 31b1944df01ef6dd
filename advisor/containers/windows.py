"""From readings of a meter to the use of the host between two of them."""

from __future__ import annotations

from collections.abc import Mapping

from advisor.energy.attribution import HostUse
from advisor.energy.meter import MeterReading, host_joules


class MeterWindows:
    """What the host did between two readings, with no joule lost when a zone cannot be read for a while.

    A zone's counter goes on while it is absent, so that its joules come with the window in which it is back.
    A machine that ever showed a package is never read by ``psys``, which contains it.
    """

    def __init__(self) -> None:
        self.joules: dict[str, float] = {}
        """By zone, at the end of the last window."""
        self.cpu_seconds: tuple[float | None, float | None] = (None, None)
        """Busy and of all CPUs, at the end of the last window."""
        self._is_open = False

    def restore(self, joules: Mapping[str, float], busy: float | None, total: float | None) -> None:
        """The next window begins where another process ended its last."""
        self.joules, self.cpu_seconds, self._is_open = dict(joules), (busy, total), True

    def close(self, reading: MeterReading) -> HostUse | None:
        """What was used until ``reading``; None for the first one and where no zone was ever read."""
        before, self.cpu_seconds = self.cpu_seconds, (reading.cpu_busy_seconds, reading.cpu_total_seconds)
        was_open, self._is_open = self._is_open, True
        if not was_open:
            self.joules = dict(reading.joules)
            return None
        used = dict.fromkeys(self.joules, 0.0)
        for zone, joules in reading.joules.items():
            last = self.joules.get(zone, 0.0)
            if joules < last / 2:
                # a zone whose counter begins again has counted from 0 since; less is a step taken back
                last = self.joules[zone] = 0.0
            used[zone] = max(joules - last, 0.0)
            self.joules[zone] = max(joules, last)
        total = host_joules(used, reading.host_rule)
        if total is None:
            return None
        return HostUse(
            total,
            _difference(before[0], reading.cpu_busy_seconds),
            _difference(before[1], reading.cpu_total_seconds),
        )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)
