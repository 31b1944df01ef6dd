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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from advisor.containers.cgroups import Cgroups, Location

MOST_WATCHED = 512
"""Each watch holds an open file; the usual limit of a process is 1024."""


MOST_WAITING = 100
"""Children of one parent that are gone and whose end may yet be told."""


Group: TypeAlias = tuple[str, int]
"""A group by its folder and inode: one that was made again at the same path is another."""


class Look(Struct, frozen=True):
    """One parent at one moment: CPU seconds of the whole and of each child.

    One that is gone and of whose end nobody told yet has those of the last look that showed it.
    """

    total: float
    children: dict[Group, float]


class Exit(Struct, frozen=True):
    """A container that ended: where its group was, and what was read of its CPU seconds."""

    folder: str
    inode: int | None
    """None when it was never found."""
    cpu_seconds: float


class Parents:
    """Looks at every parent that holds containers alone, and remembers the look before."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._before: dict[str, Look] = {}
        self._now: dict[str, Look] = {}
        self._unclaimed: dict[str, float] = {}

    def look(self) -> Mapping[Group, float]:
        """CPU seconds of every child, freshly read."""
        self._before, self._now = self._now, {}
        for parent, unified, _ in self._cgroups.parents():
            look = self._look(parent, unified)
            if look is not None:
                self._now[parent] = look
        return {group: cpu for look in self._now.values() for group, cpu in look.children.items()}

    def folders(self, container_id: str, location: Location | None) -> list[str]:
        """Where a container that ended had been; everywhere that it may have been if it was never found."""
        if location is not None:
            return [location.cpuacct]
        return [f"{parent}/{name.format(container_id)}" for parent, _, name in self._cgroups.parents()]

    def rest(self, exits: Sequence[Exit]) -> float:
        """CPU seconds of all that ended that nobody has read: what a parent gained beyond its children.

        What no end explains is kept for the next time: it may be told after the look that shows it. So is
        what is below 0, as where the children ran on while they were read.
        """
        unread = 0.0
        for parent, now in self._now.items():
            before = self._before.get(parent)
            if before is None:
                continue
            if now.total < before.total:  # it was made again
                before = Look(0.0, {})
                self._unclaimed.pop(parent, None)
            known = before.children
            present = sum(cpu - known.get(group, 0.0) for group, cpu in now.children.items())
            rest = now.total - before.total - present + self._unclaimed.pop(parent, 0.0)
            gone = {group: cpu for group, cpu in known.items() if group not in now.children}
            here = [one for one in exits if one.folder.rpartition("/")[0] == parent]
            for one in here:
                group = next((g for g in gone if g[0] == one.folder and one.inode in (None, g[1])), None)
                shown = 0.0 if group is None else gone.pop(group)
                if (one.folder, one.inode) not in now.children:
                    rest -= max(0.0, one.cpu_seconds - shown)
                unread += max(0.0, shown - one.cpu_seconds)
            self._unclaimed[parent] = min(0.0, rest) if here else rest
            unread += max(0.0, rest) if here else 0.0
            self._now[parent] = Look(now.total, dict([*gone.items()][-MOST_WAITING:]) | now.children)
        return unread

    def _look(self, parent: str, unified: bool) -> Look | None:
        try:
            before = self._cgroups.usage_seconds(parent, unified=unified)
            with os.scandir(parent) as entries:
                folders = [entry.path for entry in entries if entry.is_dir()]
        except FileNotFoundError:  # the engine makes it for its first container
            return Look(0.0, {})
        except (OSError, ValueError):
            return None
        children = {}
        for folder in folders:
            with contextlib.suppress(OSError, ValueError):
                group = folder, Path(folder).stat().st_ino
                children[group] = self._cgroups.usage_seconds(folder, unified=unified)
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
