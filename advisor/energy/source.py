"""What the meter asks of a source of energy: joules so far, by zone."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from advisor.energy.counter import SavedRegister
from advisor.energy.cpu import CpuTimes

Clock = Callable[[], float]
"""Monotonic seconds."""
HostRule = Literal["cpu", "system"]
"""Which joules are the machine's where both are known: packages plus dram, or what holds all of it (psys)."""
SourceName = Literal["powercap", "hwmon", "redfish", "estimate"]
Tier = Literal["measured", "modelled"]

_SHOWN_INTERVALS, _SHOWN_SECONDS = 3.5, 5.0


def shown_seconds(interval_seconds: float) -> float:
    """How long a zone or a card is shown after its last good value, so that one failed read is no gap.

    >>> shown_seconds(1.0), shown_seconds(10.0)
    (5.0, 35.0)
    """
    return max(_SHOWN_INTERVALS * interval_seconds, _SHOWN_SECONDS)


def wait_seconds(seconds: float) -> None:
    """Sleep by the monotonic clock. ``time.sleep`` fails (EINVAL) in a process whose wall clock is moved."""
    threading.Event().wait(seconds)


class ZoneReport(Struct, frozen=True):
    """One zone as of the last sample: its counter, and everything that went wrong so far."""

    name: str
    domain: str
    path: str
    joules: float
    sampled_seconds: float | None
    """Monotonic time until which the joules are counted; None when there was no value."""
    read_seconds: float | None = None
    """Monotonic time of the last value; later than ``sampled_seconds`` while that value may be false."""
    broken_seconds: float | None = None
    """Since when no energy is missing; None when none ever was."""
    role: str = "counted"
    """``counted``; ``twin`` (a second register of the same counter), ``mirror`` (a die that repeats another)
    and ``nameless`` (its name cannot be read) are not."""
    duplicate_of: str | None = None
    held_back: bool = False
    """Whether it is still open that this zone is a mirror, or how much was published before a restart; it is
    not shown until then."""
    standing: bool = False
    """Whether its register does not move: what was drawn is unknown."""
    present: bool = True
    """Whether the tree lists the zone now."""
    sensor: str = ""
    """What measures it, where that is no register of the processor."""
    kind: str = "counter"
    """``counter``; ``average``, ``instant`` and ``volts_amperes`` are powers that are integrated."""
    interval_seconds: float | None = None
    """Seconds between two values, where the meter's own interval does not say."""
    shown_joules: float | None = None
    """Until the last value, as far as they are sure; never decreasing. None for those of ``joules``."""
    range_joules: float | None = None
    wraps: int = 0
    possible_missed_wraps: int = 0
    read_errors: Mapping[str, int] = {}
    rejected: Mapping[str, int] = {}

    @property
    def reason(self) -> str | None:
        """The first kind of error that its reads met; None for none."""
        return next(iter(self.read_errors), None)

    @property
    def is_shown(self) -> bool:
        """Whether the zone's joules are counted in sums and published."""
        return self.role == "counted" and self.present and not self.held_back and not self.standing

    @property
    def is_settled(self) -> bool:
        """Whether the last value is counted."""
        return self.read_seconds is None or self.sampled_seconds == self.read_seconds


class SavedZone(Struct, frozen=True):
    """What a source needs to go on with a zone after a restart on the same boot."""

    microjoules: int
    registers: Mapping[str, SavedRegister] = {}
    """By the kernel's name; empty for a zone that is integrated from power."""
    seconds: float | None = None
    """Monotonic time until which power was integrated."""
    cpu: CpuTimes | None = None
    """The CPU time until then."""
    shown: int = 0
    """Microjoules that were shown, where that was more."""


class Source(Protocol):
    """Turns whatever it reads into counters that begin at 0 and never decrease.

    What is not abstract is right for a source that is measured, doubts nothing, may be read at any interval,
    keeps nothing over a restart and has no thread.
    """

    name: SourceName
    tier: Tier = "measured"
    uncertainty_ratio: float | None = None
    _saved: Mapping[str, SavedZone] = {}

    @abstractmethod
    def sample(self, clock: Clock) -> None:
        """Read once; what cannot be read is counted and leaves the rest standing."""

    @abstractmethod
    def report(self) -> tuple[ZoneReport, ...]:
        """Every zone known, as of the last sample."""
        ...

    def settled_joules(self, zone: str, seconds: float) -> float | None:
        """Joules of a zone at a moment; None while a value until then may be false."""
        return None

    def longest_interval_seconds(self) -> float | None:
        """The longest time between samples in which nothing can be lost; None for any."""
        return None

    def save(self) -> Mapping[str, SavedZone]:
        """All zones, to go on with after a restart."""
        return {}

    def stop(self) -> None:
        """End what runs beside the meter; the next sample begins it again."""
        return

    def restore(self, zones: Mapping[str, SavedZone]) -> None:
        """Go on with what another process saved on this boot; called before the first sample."""
        self._saved = zones
