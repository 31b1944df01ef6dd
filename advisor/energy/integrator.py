"""Joules of one sensor: of an energy counter, or of a power that is integrated by trapezoids."""

from __future__ import annotations

from collections import Counter

from advisor.energy.counter import EnergyCounter
from advisor.energy.explanations import Bounds
from advisor.energy.source import ZoneReport
from advisor.energy.zones import ZoneReadError


class Integrator:
    """Joules so far.

    Parameters
    ----------
    is_counter
        Whether values are microjoules so far; else they are the microwatts of a moment.
    most_watts
        What no part exceeds; a power beyond it is nonsense.
    longest_gap_seconds
        Powers further apart are not joined: what was drawn in between is unknown.
    least_watts
        A power below it tells nothing and counts as ``zero``.
    """

    def __init__(
        self,
        *,
        is_counter: bool,
        most_watts: float = 20_000.0,
        longest_gap_seconds: float = 10.0,
        least_watts: float = 0.0,
    ) -> None:
        self.is_counter = is_counter
        self.counter = EnergyCounter(None, Bounds(most_watts, doubt="nothing"))
        self.joules = 0.0
        self.read_errors: Counter[str] = Counter()
        self.read_seconds: float | None = None
        """Monotonic time of the last value."""
        self.watts: float | None = None
        """The last power; None for a counter, and where the last read gave none."""
        self._most_watts = most_watts
        self._longest_gap_seconds, self._least_watts = longest_gap_seconds, least_watts
        self._last: tuple[float, float] | None = None
        self._lost_seconds: float | None = None

    @property
    def sampled_seconds(self) -> float | None:
        """Monotonic time until which joules are counted."""
        return self.counter.final_seconds if self.is_counter else self.read_seconds

    @property
    def broken_seconds(self) -> float | None:
        """Since when no energy is missing; None when none ever was."""
        return self.counter.broken_seconds if self.is_counter else self._lost_seconds

    @property
    def is_standing(self) -> bool:
        """Whether a counter never moved."""
        return self.is_counter and self.counter.moved_seconds is None

    @property
    def errors(self) -> int:
        """Values that could not be read or were left out."""
        return self.read_errors.total() + self.counter.rejected.total()

    def report(self, name: str, domain: str, path: str, sensor: str, kind: str) -> ZoneReport:
        """As a zone of the machine; the names are its own."""
        return ZoneReport(
            name=name,
            domain=domain,
            path=path,
            joules=self.joules,
            sampled_seconds=self.sampled_seconds,
            read_seconds=self.read_seconds,
            broken_seconds=self.broken_seconds,
            standing=self.is_standing,
            sensor=sensor,
            kind=kind,
            read_errors=dict(self.read_errors),
            rejected=dict(self.counter.rejected),
        )

    def take(self, value: tuple[int, float] | ZoneReadError) -> None:
        """One value and the monotonic time of its read, or why there is none."""
        self.watts = None
        if isinstance(value, ZoneReadError):
            self.read_errors[value.reason] += 1
            return
        raw, now = value
        if self.is_counter:
            self.read_seconds = now
            self.counter.observe(raw, now)
            self.joules = self.counter.joules
        elif max(raw, 0) < self._least_watts * 1e6:
            self.read_errors["zero"] += 1
        elif raw > self._most_watts * 1e6:
            # firmware without a reading says all ones: 4.29 MW
            self.counter.rejected["too_fast"] += 1
        else:
            self.read_seconds = now
            self._integrate(max(raw, 0) / 1e6, now)

    def _integrate(self, watts: float, now: float) -> None:
        self.watts = watts
        if self._last is not None:
            then, before = self._last
            if now - then <= self._longest_gap_seconds:
                self.joules += (watts + before) / 2 * (now - then)
            else:
                self.read_errors["gap"] += 1
                self._lost_seconds = now
        self._last = now, watts
