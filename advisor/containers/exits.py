"""The CPU time of containers that ended before it could be read.

A container's files are gone when the engine says that it died. Three ways lead to its last seconds:

- a v2 group tells when its last process ended (``cgroup.events``), a few milliseconds before it is removed:
  `ExitWatch` wakes the sampler to read it;
- a parent group keeps the CPU time of all that ever ran below it. Where a parent holds containers and nothing
  else (the cgroupfs driver), what its own counter gained beyond that of the children that are left belongs to
  those that ended: `Parents`. This is exact in sum; several that ended within one tick share it by the time
  since each was last read;
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


class Look(Struct, frozen=True):
    """One parent at one moment: CPU seconds of the whole and of each child that is there, by folder name."""

    total: float
    children: Mapping[str, float]


class Gone(Struct, frozen=True):
    """A container that ended: its CPU seconds when last read, and how long it may have run unseen after."""

    cpu_seconds: float
    unseen_seconds: float


def split_rest(before: Look, after: Look, gone: Mapping[str, Gone], carried: float = 0.0) -> dict[str, float]:
    """CPU seconds of each gone child beyond what was last read of it; what nobody claims is under ``""``.

    ``carried`` is what nobody claimed the time before: an end may be told after the look that shows it.

    >>> before = Look(total=10.0, children={"web": 8.0, "job": 2.0})
    >>> after = Look(total=11.5, children={"web": 9.0})
    >>> split_rest(before, after, {"job": Gone(cpu_seconds=2.25, unseen_seconds=0.4)})
    {'job': 0.25}
    """
    present = sum(cpu - before.children.get(name, 0.0) for name, cpu in after.children.items())
    strangers = {
        name: Gone(cpu, 1.0)
        for name, cpu in before.children.items()
        if name not in after.children and name not in gone
    }
    ended = {**gone, **strangers}
    seen = sum(one.cpu_seconds - before.children.get(name, 0.0) for name, one in ended.items())
    rest = max(0.0, after.total - before.total - present - seen + carried)
    if not ended:
        return {"": rest}
    unseen = sum(one.unseen_seconds for one in ended.values())
    return {
        name: rest * (one.unseen_seconds / unseen if unseen > 0 else 1 / len(ended))
        for name, one in gone.items()
    }


class Parents:
    """Looks at every parent that holds containers alone, and remembers the look before."""

    def __init__(self, cgroups: Cgroups) -> None:
        self._cgroups = cgroups
        self._before: dict[str, Look] = {}
        self._now: dict[str, Look] = {}
        self._carried: dict[str, float] = {}

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

    def rest(self, gone: Mapping[str, Gone]) -> dict[str, float]:
        """What each gone container (by folder) used beyond its last reading, between the last two looks."""
        unseen: dict[str, float] = {}
        carried, self._carried = self._carried, {}
        for parent, now in self._now.items():
            here = {
                folder.rpartition("/")[2]: one
                for folder, one in gone.items()
                if folder.rpartition("/")[0] == parent and folder.rpartition("/")[2] not in now.children
            }
            if parent in self._before:
                parts = split_rest(self._before[parent], now, here, carried.get(parent, 0.0))
                self._carried[parent] = parts.pop("", 0.0)
                unseen |= {f"{parent}/{name}": cpu for name, cpu in parts.items()}
        return unseen

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
                with contextlib.suppress(OSError):
                    os.pread(file, 4096, 0)
        return changed

    def close(self) -> None:
        """Give all files back."""
        for container_id in list(self._files):
            self.discard(container_id)
        self._poll.close()
        os.close(self._wake)
