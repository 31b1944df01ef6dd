"""What the sums of containers need to go on after a restart of the exporter on the same boot."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from advisor.energy.attribution import Policy


class SavedContainer(Struct, frozen=True):
    """One container that ran: its CPU seconds at the end of the last window, its joules so far."""

    cpu_seconds: float
    joules: Mapping[Policy, float]


class SavedContainers(Struct, frozen=True):
    """All sums at the end of one window; the next begins there, whoever opens it."""

    zone_joules: Mapping[str, float]
    cpu_busy_seconds: float | None
    cpu_total_seconds: float | None
    host_joules: float
    containers: Mapping[str, SavedContainer]
    """By container id; those whose CPU time was known."""
    exited_joules: Mapping[Policy, float]
    unattributed_joules: Mapping[Policy, float]
    exited_containers: int
    exited_cpu_seconds: float
