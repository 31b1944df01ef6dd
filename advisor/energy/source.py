"""What the meter asks of a source of energy: joules so far, by zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct

__all__ = ["Clock", "Source", "SourceName", "Tier", "ZoneReport"]

Clock = Callable[[], float]
"""Monotonic seconds."""
SourceName = Literal["powercap", "estimate"]
Tier = Literal["measured", "modelled"]


class ZoneReport(Struct, frozen=True):
    """One zone as of the last sample: its counter, and everything that went wrong so far."""

    name: str
    domain: str
    path: str
    joules: float
    sampled_seconds: float | None
    """Monotonic time of the last value that was believed; None when there was none."""
    role: str = "counted"
    """``counted``; ``twin`` (mmio beside msr), ``mirror`` (a die that repeats another) and ``nameless`` (its
    name cannot be read) are not."""
    duplicate_of: str | None = None
    held_back: bool = False
    """Whether it is still open that this zone is a mirror; it is not shown until then."""
    present: bool = True
    """Whether the tree lists the zone now."""
    range_joules: float | None = None
    wraps: int = 0
    possible_missed_wraps: int = 0
    read_errors: Mapping[str, int] = {}
    rejected: Mapping[str, int] = {}

    @property
    def is_shown(self) -> bool:
        """Whether the zone's joules are counted in sums and published."""
        return self.role == "counted" and self.present and not self.held_back


class Source(Protocol):
    """Turns whatever it reads into counters that begin at 0 and never decrease."""

    name: SourceName
    tier: Tier
    uncertainty_ratio: float | None

    def sample(self, clock: Clock) -> None:
        """Read once; what cannot be read is counted and leaves the rest standing."""

    def report(self) -> tuple[ZoneReport, ...]:
        """Every zone known, as of the last sample."""
        ...

    def longest_interval_seconds(self) -> float | None:
        """The longest time between samples in which nothing can be lost; None for any."""
        ...
