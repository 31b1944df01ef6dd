"""Takes the readings of one container from the host's files, and counts what could not be read."""

from __future__ import annotations

import errno
from collections.abc import Callable

from msgspec import structs

from advisor.containers.cgroups import Cgroups
from advisor.containers.counts import Counts
from advisor.containers.processes import belongs_to, network_bytes
from advisor.containers.records import Details
from advisor.containers.tracked import Tracked

# no such file; and, of a file that was open already, no such group
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV)


class Readings:
    """Reads into `Tracked`, at the times of ``clock`` (monotonic seconds)."""

    def __init__(self, cgroups: Cgroups, procfs: str, counts: Counts, clock: Callable[[], float]) -> None:
        self._cgroups, self._procfs, self._counts, self._clock = cgroups, procfs, counts, clock

    def find(self, one: Tracked) -> bool:
        """Look for the container's files and its network; whether the files were found just now."""
        container = one.container
        if one.network_pid is None and container.pid is not None and container.own_network:
            is_its_own = belongs_to(self._procfs, container.pid, container.id)
            one.network_pid = container.pid if is_its_own else None
        if one.location is not None:
            return False
        one.location = self._cgroups.locate(container.id, container.pid)
        return one.location is not None

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
