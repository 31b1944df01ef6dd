"""The CPU time of containers that ended before it could be read.

A container's files are gone when the engine says that it died. Three ways lead to its last seconds:

- a v2 group tells when its last process ended (``cgroup.events``), a few milliseconds before it is removed:
  `ExitWatch` wakes the sampler to read it;
- a parent group keeps the CPU time of all that ever ran below it. Where a parent holds containers and nothing
  else (the cgroupfs driver), what its own counter gained beyond that of the children that are left belongs to
  those that ended: `Parents`. This is exact in sum;
- young containers are read often (`advisor.containers.monitor`).
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Mapping

from msgspec import Struct

from advisor.containers.cgroups import Cgroups, Location

MOST_WATCHED = 512
"""Each watch holds an open file; the usual limit of a process is 1024."""


MOST_WAITING = 100
"""Children of one parent that are gone and whose end may yet be told."""


class Look(Struct, frozen=True):
    """One parent at one moment: CPU seconds of the whole and of each child by folder name.

    One that is gone and of whose end nobody told yet has those of the last look that showed it.
    """

    total: float
    children: dict[str, float]


def unseen_seconds(before: Look, after: Look, ended: Mapping[str, float]) -> float:
    """CPU seconds between two looks that no child shows: of those that ended, beyond what was read of each.

    Below 0 where the children ran on while they were read. ``ended`` are CPU seconds by folder name. One of
    them may be there again, and counts from 0.

    >>> before = Look(total=10.0, children={"web": 8.0, "job": 2.0})
    >>> after = Look(total=11.5, children={"web": 9.0})
    >>> unseen_seconds(before, after, {"job": 2.25})
    0.25
    """
    known = before.children
    gained = {name: cpu - known.get(name, 0.0) for name, cpu in after.children.items()}
    present = sum(more if more >= 0.0 else after.children[name] for name, more in gained.items())
    read = sum(max(0.0, cpu - known.get(name, 0.0)) for name, cpu in ended.items())
    return after.total - before.total - present - read


class Parents:
    """Looks at every parent that holds containers alone, and remembers the look before."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._before: dict[str, Look] = {}
        self._now: dict[str, Look] = {}
        self._unclaimed: dict[str, float] = {}

    def look(self) -> Mapping[str, float]:
        """CPU seconds of every child by its folder, freshly read."""
        self._before, self._now = self._now, {}
        for parent, unified, _ in self._cgroups.parents():
            look = self._look(parent, unified)
            if look is not None:
                self._now[parent] = look
        return {
            f"{parent}/{n}": cpu for parent, look in self._now.items() for n, cpu in look.children.items()
        }

    def folders(self, container_id: str, location: Location | None) -> list[str]:
        """Where a container that ended had been; everywhere that it may have been if it was never found."""
        if location is not None:
            return [location.cpuacct]
        return [f"{parent}/{name.format(container_id)}" for parent, _, name in self._cgroups.parents()]

    def rest(self, ended: Mapping[str, float]) -> float:
        """CPU seconds of all that ended (by folder, with what was read of each) that nobody has read.

        What no end explains is kept for the next time: it may be told after the look that shows it.
        """
        unread = 0.0
        for parent, now in self._now.items():
            before = self._before.get(parent)
            if before is None:
                continue
            if now.total < before.total:  # it was made again
                before = Look(0.0, {})
                self._unclaimed.pop(parent, None)
            here = {
                name: cpu
                for folder, cpu in ended.items()
                for group, _, name in [folder.rpartition("/")]
                if group == parent and not now.children.get(name, -1.0) >= before.children.get(name, 0.0)
            }
            rest = unseen_seconds(before, now, here) + self._unclaimed.pop(parent, 0.0)
            if here:
                unread += max(0.0, rest) + sum(
                    max(0.0, before.children.get(name, 0.0) - cpu) for name, cpu in here.items()
                )
            self._unclaimed[parent] = min(0.0, rest) if here else rest
            waiting = [n for n in before.children if n not in now.children and n not in here][-MOST_WAITING:]
            self._now[parent] = Look(now.total, {n: before.children[n] for n in waiting} | now.children)
        return unread

    def _look(self, parent: str, unified: bool) -> Look | None:
        try:
            before = self._cgroups.usage_seconds(parent, unified=unified)
            with os.scandir(parent) as entries:
                names = [entry.name for entry in entries if entry.is_dir()]
        except FileNotFoundError:  # the engine makes it for its first container
            return Look(0.0, {})
        except (OSError, ValueError):
            return None
        children = {}
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                children[name] = self._cgroups.usage_seconds(f"{parent}/{name}", unified=unified)
        try:
            after = self._cgroups.usage_seconds(parent, unified=unified)
        except (OSError, ValueError):
            return None
        # the children were read in between: the middle is where the whole stood then
        return Look((before + after) / 2, children)


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
        with contextlib.suppress(OSError):
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
        os.close(self._wake)
