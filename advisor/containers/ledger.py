"""Joules by container, added up over the windows of one meter, under both policies.

At any moment, for each policy,

    sum over running containers + exited containers + unattributed = joules of the host

because every window is split completely (`advisor.energy.attribution`) and nothing is ever dropped: what a
container used moves to one sum for all exited containers when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from advisor.energy.attribution import POLICIES, HostUse, Policy, attribute
from advisor.energy.cpu import CpuTimes, cpu_between
from advisor.energy.meter import MeterReading, host_joules

_EXITED = ""
"""No container has an empty id."""


class SavedContainer(Struct, frozen=True):
    """One container that ran: its CPU seconds at the end of the last window, its joules so far."""

    cpu_seconds: float
    joules: Mapping[Policy, float]


class SavedContainers(Struct, frozen=True):
    """All sums at the end of one window, with which they go on after a restart on the same boot."""

    zone_joules: Mapping[str, float]
    cpu: CpuTimes | None
    host_joules: float
    containers: Mapping[str, SavedContainer]
    """By container id; those whose CPU time was known."""
    exited_joules: Mapping[Policy, float]
    unattributed_joules: Mapping[Policy, float]
    exited_containers: int
    exited_cpu_seconds: float


class Energy(Struct, frozen=True):
    """All joules so far, by policy."""

    host: float
    containers: Mapping[Policy, Mapping[str, float]]
    """By container id; running containers alone."""
    exited: Mapping[Policy, float]
    unattributed: Mapping[Policy, float]


class Ledger:
    """Takes one window after the other; all sums begin at 0, or where another process ended.

    A zone's counter goes on while it is absent, so that its joules come with the window in which it is back.
    A machine that ever showed a package is never read by ``psys``, which contains it.
    """

    def __init__(self, saved: SavedContainers | None = None) -> None:
        self._zone_joules: dict[str, float] = {}
        """At the end of the last window, as the CPU time."""
        self._cpu: CpuTimes | None = None
        self._is_open = saved is not None
        self._has_energy = False
        self._host = 0.0
        self._containers: dict[Policy, dict[str, float]] = {policy: {} for policy in POLICIES}
        self._exited: dict[Policy, float] = dict.fromkeys(POLICIES, 0.0)
        self._unattributed: dict[Policy, float] = dict.fromkeys(POLICIES, 0.0)
        if saved is not None:
            self._zone_joules, self._cpu = dict(saved.zone_joules), saved.cpu
            self._host = saved.host_joules
            self._exited |= saved.exited_joules
            self._unattributed |= saved.unattributed_joules
            for policy in POLICIES:
                self._containers[policy] = {id: one.joules[policy] for id, one in saved.containers.items()}

    def close(self, reading: MeterReading, running: Mapping[str, float], exited_seconds: float) -> None:
        """Split the joules until ``reading`` over the CPU seconds of those that run and of all that ended.

        The first reading opens the first window.
        """
        use = self._use_until(reading)
        if use is None:
            return
        self._has_energy = True
        self._host += use.joules
        for policy in POLICIES:
            parts = attribute(use, {**running, _EXITED: exited_seconds}, policy)
            kept = self._containers[policy]
            for container in running:
                kept[container] = kept.get(container, 0.0) + parts.shares[container]
            self._exited[policy] += parts.shares[_EXITED]
            self._unattributed[policy] += parts.unattributed

    def _use_until(self, reading: MeterReading) -> HostUse | None:
        """What the host did since the last reading; None for the first, and where no zone was ever read."""
        before, self._cpu = self._cpu, reading.cpu
        was_open, self._is_open = self._is_open, True
        if not was_open:
            self._zone_joules = dict(reading.joules)
            return None
        used = dict.fromkeys(self._zone_joules, 0.0)
        for zone, joules in reading.joules.items():
            last = self._zone_joules.get(zone, 0.0)
            if joules < last / 2:
                # a zone whose counter begins again has counted from 0 since; less is a step taken back
                last = self._zone_joules[zone] = 0.0
            used[zone] = max(joules - last, 0.0)
            self._zone_joules[zone] = max(joules, last)
        total = host_joules(used, reading.host_rule)
        return None if total is None else HostUse.of(total, cpu_between(before, self._cpu))

    def retire(self, container: str) -> None:
        """A container has ended: what it used stays in the sum of the exited."""
        for policy in POLICIES:
            self._exited[policy] += self._containers[policy].pop(container, 0.0)

    def energy(self) -> Energy | None:
        """All sums of this moment, as a copy; None before the first window."""
        if not self._has_energy:
            return None
        return Energy(
            host=self._host,
            containers={policy: dict(kept) for policy, kept in self._containers.items()},
            exited=dict(self._exited),
            unattributed=dict(self._unattributed),
        )

    def save(
        self, cpu_seconds: Mapping[str, float], exited_containers: int, exited_cpu_seconds: float
    ) -> SavedContainers | None:
        """What another process needs to go on; None before the first window.

        ``cpu_seconds`` are those of each container at the end of the last window.
        """
        energy = self.energy()
        if energy is None:
            return None
        joules = {id: {p: energy.containers[p].get(id, 0.0) for p in POLICIES} for id in cpu_seconds}
        return SavedContainers(
            zone_joules=dict(self._zone_joules),
            cpu=self._cpu,
            host_joules=energy.host,
            containers={id: SavedContainer(cpu, joules[id]) for id, cpu in cpu_seconds.items()},
            exited_joules=energy.exited,
            unattributed_joules=energy.unattributed,
            exited_containers=exited_containers,
            exited_cpu_seconds=exited_cpu_seconds,
        )
