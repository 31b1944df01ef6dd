"""One container as the monitor follows it: what it is, where its files are, and its last readings."""

from __future__ import annotations

from msgspec import Struct, structs

from advisor.containers.cgroups import Location
from advisor.containers.records import ApiUsage, Container, Details


class Tracked(Struct):
    """Changed in place by the monitor's one thread.

    All CPU times are seconds since the container started, all times monotonic seconds. None is unknown.
    """

    container: Container
    born: float
    """When it was first heard of; its start, when that was seen."""
    location: Location | None = None
    cpu: float | None = None
    cpu_at: float | None = None
    """When ``cpu`` was read."""
    window_cpu: float | None = None
    """``cpu`` at the beginning of the open energy window."""
    tick: tuple[float, float] | None = None
    """``cpu`` and its time at the tick before."""
    percent: float | None = None
    details: Details = Details()
    has_details: bool = False
    network_pid: int | None = None
    """The process whose network was found to be the container's."""
    by_api: bool = False
    """Whether its numbers come from the engine because its files cannot be seen."""
    unknown_rounds: int = 0
    """Rounds of the engine's statistics that knew nothing of it."""

    @property
    def window_seconds(self) -> float:
        """CPU seconds within the open energy window."""
        if self.cpu is None or self.window_cpu is None:
            return 0.0
        return max(0.0, self.cpu - self.window_cpu)

    def read(self, cpu_seconds: float, at: float) -> bool:
        """Take a reading; False when it took a step back, and becomes the base.

        A counter that is less than half of what it was began again: its group is another one of the same
        path, as when a unit is restarted, and all that it has is since.
        """
        forward = True
        if self.cpu is not None and cpu_seconds < self.cpu:
            forward = cpu_seconds < self.cpu / 2
            # what this window had so far stays counted
            self.window_cpu = (0.0 if forward else cpu_seconds) - self.window_seconds
            self.tick = None
        if self.window_cpu is None:
            self.window_cpu = cpu_seconds
        elif self.cpu is None and cpu_seconds < self.window_cpu:
            # a unit that was started again while nobody looked: all that its new group has is since
            self.window_cpu = 0.0
        self.cpu, self.cpu_at = cpu_seconds, at
        return forward

    def mark(self) -> None:
        """The tick is over: CPU use in percent of one core since the tick before."""
        if self.cpu is None or self.cpu_at is None:
            return
        if self.tick is not None and self.cpu_at > self.tick[1]:
            self.percent = 100.0 * max(0.0, self.cpu - self.tick[0]) / (self.cpu_at - self.tick[1])
        if self.tick is None or self.cpu_at > self.tick[1]:
            self.tick = (self.cpu, self.cpu_at)

    def use(self, usage: ApiUsage, host_bytes: int | None) -> bool:
        """Take what the engine says; see `read`. Its sample has a time of its own, by the engine's clock.

        The engine gives the host's memory (``host_bytes``) as the limit of a container that has none, and to
        each container of a pod the traffic of all.
        """
        limit = usage.memory_limit_bytes
        if limit is not None and host_bytes is not None and limit >= host_bytes:
            limit = None
        self.details = structs.replace(usage, memory_limit_bytes=limit)
        if not self.container.own_network:
            self.details = structs.replace(
                self.details, network_receive_bytes=None, network_transmit_bytes=None
            )
        return self.read(usage.cpu_seconds, usage.unix_seconds)
