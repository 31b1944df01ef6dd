"""One container as the monitor follows it: what it is, where its files are, and its last readings."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, structs

from advisor.containers.cgroups import Cgroups, Location
from advisor.containers.counts import Counts
from advisor.containers.processes import belongs_to, network_bytes
from advisor.containers.records import ApiUsage, Container, Details

# no such file; and, of a file that was open already, no such group
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV)
_NETWORK = ("network_receive_bytes", "network_transmit_bytes")


class Tracked(Struct):
    """Changed in place by the monitor's one thread.

    All CPU times are seconds since the container started, all times monotonic seconds. None is unknown.
    """

    container: Container
    born: float
    """When it was first heard of; its start, when that was seen."""
    location: Location | None = None
    inode: int | None = None
    """Of its group: another one of the same path belongs to the container's next start."""
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
        elif self.tick is not None and self.cpu_at < self.tick[1]:
            self.percent = None  # the engine's clock was set back
        self.tick = (self.cpu, self.cpu_at)

    def use(self, usage: ApiUsage, host_bytes: int | None) -> bool:
        """Take what the engine says; see `read`. Its sample has a time of its own, by the engine's clock.

        The engine gives the host's memory (``host_bytes``) as the limit of a container that has none, and to
        each container of a pod the traffic of all.
        """
        limit = usage.memory_limit_bytes
        if limit is not None and host_bytes is not None and limit >= host_bytes:
            limit = None
        others = {} if self.container.own_network else dict.fromkeys(_NETWORK)
        self.details = structs.replace(usage, memory_limit_bytes=limit, **others)
        return self.read(usage.cpu_seconds, usage.unix_seconds)


class Readings:
    """Reads a container's files into `Tracked`, at the times of ``clock`` (monotonic seconds)."""

    def __init__(self, cgroups: Cgroups, procfs: str, counts: Counts, clock: Callable[[], float]) -> None:
        self._cgroups, self._procfs, self._counts, self._clock = cgroups, procfs, counts, clock

    def find(self, one: Tracked) -> bool:
        """Look for the container's files and its network; whether the files were found just now."""
        container = one.container
        if one.network_pid is None and container.pid is not None and container.own_network:
            is_its_own = belongs_to(self._procfs, container.pid, container.id)
            one.network_pid = container.pid if is_its_own else None
        is_new = one.location is None
        if is_new:
            one.location = self._cgroups.locate(container.id, container.pid)
        if one.location is None:
            return False
        one.by_api = False
        with contextlib.suppress(OSError):  # it has just ended
            one.inode = Path(one.location.cpuacct).stat().st_ino
        return is_new

    def cpu(self, one: Tracked) -> bool:
        """Read the CPU time; False when the container's group is gone."""
        if one.location is None:
            return True
        try:
            self.took(one, self._cgroups.cpu_seconds(one.location))
        except ValueError:
            self._counts.add("cgroup", "malformed")
        except OSError as exc:
            if exc.errno in _GONE:  # it has ended, which is no error
                return False
            self._counts.add("cgroup", "unreadable")
        return True

    def took(self, one: Tracked, cpu_seconds: float) -> None:
        """Take a CPU time that was read right now."""
        if not one.read(cpu_seconds, self._clock()):
            self._counts.add("cgroup", "backwards")

    def details(self, one: Tracked) -> None:
        """Read everything else."""
        if one.location is None:
            return
        details = self._cgroups.details(one.location)
        if one.network_pid is not None:
            try:
                received, sent = network_bytes(self._procfs, one.network_pid)
                details = structs.replace(
                    details, network_receive_bytes=received, network_transmit_bytes=sent
                )
            except OSError:
                one.network_pid = None  # its first process ended, and the container with it
            except ValueError:
                self._counts.add("proc", "malformed")
        one.details = details
        one.has_details = True

    def forget(self, one: Tracked) -> None:
        """The engine that told the numbers is gone, and with it what is known of them."""
        if one.by_api:
            one.cpu = one.cpu_at = one.window_cpu = one.tick = one.percent = None
            one.details, one.has_details = Details(), False
