"""Wakes the sampler when a container is about to be gone: a v2 group tells when its last process ended."""

from __future__ import annotations

import contextlib
import os
import select

from advisor.containers.cgroups import Location

MOST_WATCHED = 512
"""Each watch holds an open file; the usual limit of a process is 1024."""


class ExitWatch:
    """Waits for a wake-up or for the last process of a watched v2 group to end."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll.register(self._wake, select.EPOLLIN)
        self._files: dict[str, int] = {}
        self._ids: dict[int, str] = {}

    def add(self, container_id: str, location: Location) -> None:
        """Watch one container; without effect on v1, and beyond the limit of open files."""
        if (
            "cpuacct" not in location.unified
            or len(self._files) >= MOST_WATCHED
            or container_id in self._files
        ):
            return
        with contextlib.suppress(OSError):
            file = os.open(f"{location.cpuacct}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
            self._files[container_id], self._ids[file] = file, container_id
            self._poll.register(file, select.EPOLLPRI)
            os.read(file, 4096)  # arms the notification

    def discard(self, container_id: str) -> None:
        """Watch it no longer."""
        file = self._files.pop(container_id, None)
        if file is not None:
            del self._ids[file]
            os.close(file)

    def wake(self) -> None:
        """End a `wait` from another thread."""
        with contextlib.suppress(OSError, ValueError):  # it is closed
            os.eventfd_write(self._wake, 1)

    def wait(self, seconds: float) -> list[str]:
        """Ids of the containers whose group changed; returns at the first, at a wake-up or after the time."""
        changed = []
        for file, _ in self._poll.poll(max(0.0, seconds)):
            if file == self._wake:
                os.eventfd_read(self._wake)
            elif file in self._ids:
                changed.append(self._ids[file])
                try:
                    os.pread(file, 4096, 0)
                except OSError:  # the group was removed, which its file would tell again and again
                    self.discard(self._ids[file])
        return changed

    def close(self) -> None:
        """Give all files back."""
        for container_id in list(self._files):
            self.discard(container_id)
        self._poll.close()
        wake, self._wake = self._wake, -1
        with contextlib.suppress(OSError):  # it was closed before
            os.close(wake)
