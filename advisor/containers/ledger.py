"""Joules by container, added up over the windows of one meter, under both policies.

At any moment, for each policy,

    sum over running containers + exited containers + unattributed = joules of the host

because every window is split completely (`advisor.energy.attribution`) and nothing is ever dropped: what a
container used moves to one sum for all exited containers when it ends, also in windows whose joules are not
certain yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from msgspec import Struct, field, structs

from advisor.energy.attribution import POLICIES, HostUse, Policy, attribute
from advisor.energy.cpu import CpuTimes, cpu_between
from advisor.energy.meter import MeterReading, host_joules

LONGEST_DOUBT_SECONDS = 20.0
"""Joules of a moment are known a few seconds after it; for longer nobody waits."""
_EXITED = ""
"""No container has an empty id."""


def _nothing() -> dict[Policy, float]:
    return dict.fromkeys(POLICIES, 0.0)


class SavedContainer(Struct, frozen=True):
    """One container that runs: its CPU seconds at the end of the last window, its joules so far."""

    cpu_seconds: float = 0.0
    joules: Mapping[Policy, float] = field(default_factory=_nothing)


class Sums(Struct):
    """All sums at the end of one window, with which they go on after a restart on the same boot.

    Joules are by policy, containers by id.
    """

    zone_joules: dict[str, float] = field(default_factory=dict)
    cpu: CpuTimes | None = None
    host_joules: float = 0.0
    containers: dict[str, SavedContainer] = field(default_factory=dict)
    exited_joules: dict[Policy, float] = field(default_factory=_nothing)
    unattributed_joules: dict[Policy, float] = field(default_factory=_nothing)
    exited_containers: int = 0
    exited_cpu_seconds: float = 0.0


class _Window(Struct):
    """CPU seconds until a reading of the meter, whose joules may not be certain yet."""

    reading: MeterReading
    cpu_seconds: dict[str, float]
    """By container id, and of all that ended."""


class Ledger:
    """Takes one window after the other; all sums begin at 0, or where another process ended.

    A zone's counter goes on while it is absent, so that its joules come with the window in which it is back.
    A machine that ever showed a package is never read by ``psys``, which contains it.

    Parameters
    ----------
    saved
        The sums of a process before this one, of the same boot; they become the ledger's own.
    settle
        Gives a reading with what is known by now of the joules at its moment.
    """

    def __init__(
        self,
        saved: Sums | None = None,
        settle: Callable[[MeterReading], MeterReading] = lambda reading: reading,
    ) -> None:
        self.sums = saved or Sums()
        self._settle = settle
        self._windows: deque[_Window] = deque()
        self._exited_seconds = 0.0
        """Of the open window."""
        self.is_open, self._has_energy = saved is not None, False

    def close(self, reading: MeterReading, running: Mapping[str, float]) -> None:
        """End a window at ``reading``; ``running`` are the CPU seconds of those that run, within it.

        The first reading opens the first window. Joules that are certain by now are shared.
        """
        self._windows.append(_Window(reading, {**running, _EXITED: self._exited_seconds}))
        self._exited_seconds = 0.0
        while self._windows:
            window = self._windows[0]
            settled = self._settle(window.reading)
            doubt_seconds = reading.monotonic_seconds - settled.monotonic_seconds
            if not settled.is_settled and doubt_seconds <= LONGEST_DOUBT_SECONDS:
                return
            self._windows.popleft()
            self._share(settled, window.cpu_seconds)

    def _share(self, reading: MeterReading, cpu_seconds: Mapping[str, float]) -> None:
        use = self._use_until(reading)
        if use is None:
            return
        sums, self._has_energy = self.sums, True
        sums.host_joules += use.joules
        parts = {policy: attribute(use, cpu_seconds, policy) for policy in POLICIES}
        for id in cpu_seconds.keys() - {_EXITED}:
            one = sums.containers.get(id, SavedContainer())
            joules = {policy: one.joules[policy] + parts[policy].shares[id] for policy in POLICIES}
            sums.containers[id] = SavedContainer(one.cpu_seconds, joules)
        for policy in POLICIES:
            sums.exited_joules[policy] += parts[policy].shares[_EXITED]
            sums.unattributed_joules[policy] += parts[policy].unattributed

    def _use_until(self, reading: MeterReading) -> HostUse | None:
        """What the host did since the last reading; None for the first, and where no zone was ever read."""
        zone_joules = self.sums.zone_joules
        before, self.sums.cpu = self.sums.cpu, reading.cpu
        was_open, self.is_open = self.is_open, True
        if not was_open:
            zone_joules |= reading.joules
            return None
        used = dict.fromkeys(zone_joules, 0.0)
        for zone, joules in reading.joules.items():
            last = zone_joules.get(zone, 0.0)
            if joules < last / 2:
                # a zone whose counter begins again has counted from 0 since; less is a step taken back
                last = zone_joules[zone] = 0.0
            used[zone] = max(joules - last, 0.0)
            zone_joules[zone] = max(joules, last)
        total = host_joules(used, reading.host_rule)
        return None if total is None else HostUse.of(total, cpu_between(before, reading.cpu))

    def retire(self, id: str) -> None:
        """A container has ended: what it used stays in the sum of the exited."""
        for policy, joules in self.sums.containers.pop(id, SavedContainer()).joules.items():
            self.sums.exited_joules[policy] += joules
        for window in self._windows:
            window.cpu_seconds[_EXITED] += window.cpu_seconds.pop(id, 0.0)

    def add_exited(self, cpu_seconds: float, owed_seconds: float) -> None:
        """CPU seconds of containers that have ended, and those of them that are of the open window."""
        self.sums.exited_cpu_seconds += cpu_seconds
        self._exited_seconds += owed_seconds

    def energy(self) -> Sums | None:
        """All sums of this moment, as a copy; None before the first window."""
        sums = self.sums
        if not self._has_energy:
            return None
        return structs.replace(
            sums,
            containers=sums.containers.copy(),
            exited_joules=sums.exited_joules.copy(),
            unattributed_joules=sums.unattributed_joules.copy(),
        )

    def save(self, cpu_seconds: Mapping[str, float]) -> Sums | None:
        """What another process needs to go on; None before the first window.

        ``cpu_seconds`` are those of each container at the end of the last window.
        """
        for id, seconds in cpu_seconds.items():
            # windows whose joules are not certain yet come again
            waiting = sum(window.cpu_seconds.get(id, 0.0) for window in self._windows)
            joules = self.sums.containers.get(id, SavedContainer()).joules
            self.sums.containers[id] = SavedContainer(seconds - waiting, joules)
        return self.sums if self._has_energy else None
