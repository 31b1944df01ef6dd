"""Clocks of CPU time, of which differences are shared: of containers, and of the folders that hold them.

A group counts its CPU seconds and takes none back: what it used between two moments is the difference of two
readings. Who tells them may change, from the process before this one to the engine, to the group; each goes
on where the one before it ended.

A container's group is gone when the engine says that it died. Three ways lead to its last seconds:

- a v2 group tells when its last process ended, a few milliseconds before it is removed, which wakes the
  sampler to read it (`advisor.containers.exits`);
- young containers are read often (`advisor.containers.monitor`);
- a parent counts all that ever ran below it. Where it holds containers and nothing else (the cgroupfs
  driver), what it has beyond all clocks is of those that ended. This is exact in sum.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable
from typing import TypeAlias

from msgspec import Struct, field

from advisor.containers.cgroups import Cgroups
from advisor.containers.counts import Counts

# no such file; and, of a file that was open already, no such group
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENODEV)

Group: TypeAlias = tuple[str, int]
"""A group by its folder and inode: one that was made again at the same path is another."""


def group_at(folder: str) -> Group | None:
    """The group that is at a path now."""
    try:
        return folder, os.stat(folder).st_ino  # noqa: PTH116 - of hundreds, every second
    except OSError:
        return None


class Clock(Struct):
    """The CPU seconds of one container as one source tells them; None is unknown."""

    group: Group | None = None
    """None where the engine tells them."""
    is_v2: bool = True
    base: float | None = None
    """What is shared already at the first reading; None for all that it shows."""
    cpu: float | None = None
    at: float | None = None
    """When ``cpu`` was read, by the teller's clock."""
    owed: float = 0.0
    """What no energy window has taken yet."""
    tick: tuple[float, float] | None = None
    """``cpu`` and its time at the tick before."""
    percent: float | None = None
    """Of one core, between the last two ticks."""

    def read(self, cpu: float, at: float) -> bool:
        """Take a reading; False when it took a step back, and becomes the base.

        A count that is less than half of what it was began again, and all that it has is since. So does any
        that is less than what another process saw.
        """
        last, least = (self.base, self.base) if self.cpu is None else (self.cpu, self.cpu / 2)
        self.cpu, self.at = cpu, at
        if last is None or least is None or cpu >= last:
            self.owed += 0.0 if last is None else cpu - last
            return True
        self.owed += cpu if cpu < least else 0.0
        self.tick = self.percent = None
        return cpu < least

    def follow(self, before: Clock) -> None:
        """Go on where another source of the same count ended; what is owed is owed still."""
        cpu, at = self.cpu, self.at
        self.base = before.base if before.cpu is None else before.cpu
        self.cpu, self.owed = None, before.owed
        if cpu is not None and at is not None:
            self.read(cpu, at)

    def take(self) -> float:
        """CPU seconds for the window that ends now."""
        owed, self.owed = self.owed, 0.0
        return owed

    def mark(self) -> None:
        """The tick is over."""
        if self.cpu is None or self.at is None:
            return
        before, self.tick = self.tick, (self.cpu, self.at)
        if before is not None and self.at != before[1]:
            seconds = self.at - before[1]
            # the engine's clock may be set back
            self.percent = 100.0 * (self.cpu - before[0]) / seconds if seconds > 0 else None


class _Parent(Struct):
    """A folder that holds containers and nothing else."""

    inode: int | None = None
    """None while there is no such folder."""
    ended: float = 0.0
    """CPU seconds of groups that are gone."""
    clocks: dict[Group, Clock] = field(default_factory=dict)
    """Of the groups that are there, or were since the last look."""


class GroupClocks:
    """Reads the clocks of groups, and what parents count beyond those of the groups that are left in them."""

    def __init__(self, cgroups: Cgroups, counts: Counts, clock: Callable[[], float]) -> None:
        self._cgroups, self._counts, self._clock = cgroups, counts, clock
        self._parents: dict[str, _Parent] = {}

    def clock(self, group: Group, *, is_v2: bool) -> Clock:
        """The clock of a group, which looks may have read before anybody asked for it.

        A folder that its container makes known is looked at while the group is there: what it counts beyond
        those that are in it now is of others.
        """
        folder = group[0].rpartition("/")[0]
        if folder not in self._parents:
            self._look_at(folder, {}, {})
        return self._parents.get(folder, _Parent()).clocks.setdefault(group, Clock(group, is_v2))

    def read(self, clock: Clock) -> bool:
        """Read a group now; False when it is gone, also where another one is at its path."""
        if clock.group is None:
            return True
        if group_at(clock.group[0]) != clock.group:
            return False
        try:
            cpu = self._cgroups.usage_seconds(clock.group[0], unified=clock.is_v2)
            if not clock.read(cpu, self._clock()):
                self._counts.add("cgroup", "backwards")
        except ValueError:
            self._counts.add("cgroup", "malformed")
        except OSError as exc:
            if exc.errno in _GONE:  # it has ended, which is no error
                return False
            self._counts.add("cgroup", "unreadable")
        return True

    def look(self, held: Iterable[Clock] = ()) -> tuple[set[Group], float]:
        """Read every group of every parent.

        Returns which are there, and the CPU seconds of groups that are gone that no clock of ``held``, those
        of containers that are followed, has read.
        """
        before, self._parents = self._parents, {}
        unread = self._look_at(None, before, {clock.group: clock for clock in held})
        return {group for parent in self._parents.values() for group in parent.clocks}, unread

    def _look_at(
        self, only: str | None, before: dict[str, _Parent], held: dict[Group | None, Clock]
    ) -> float:
        unread = 0.0
        for folder, is_v2 in self._cgroups.parents():
            if only in (None, folder):
                with contextlib.suppress(OSError, ValueError):
                    self._parents[folder], seconds = self._look(folder, is_v2, before.get(folder), held)
                    unread += seconds
        return unread

    def _look(
        self, folder: str, is_v2: bool, before: _Parent | None, held: dict[Group | None, Clock]
    ) -> tuple[_Parent, float]:
        try:
            inode = os.stat(folder).st_ino  # noqa: PTH116
            # before the groups, which run on: what they use meanwhile is never taken for another's
            total = self._cgroups.usage_seconds(folder, unified=is_v2)
            with os.scandir(folder) as entries:
                places = [entry.path for entry in entries if entry.is_dir()]
        except FileNotFoundError:  # the engine makes it for its first container
            return _Parent(), 0.0
        if before is not None and inode != before.inode:  # it was made, and all that it counts is since
            before = _Parent()
        known = {} if before is None else before.clocks
        parent, began = _Parent(inode), self._clock()
        for place in places:
            group = group_at(place)
            if group is None:
                continue
            new = Clock(group, is_v2, base=None if before is None else 0.0)
            clock = held.get(group) or known.get(group) or new
            if self.read(clock):
                parent.clocks[group] = clock
        there = sum(clock.cpu or 0.0 for clock in parent.clocks.values())
        if before is None:
            parent.ended = total - there
            return parent, 0.0
        gone = {group: clock for group, clock in known.items() if group not in parent.clocks}
        parent.ended = before.ended + sum(clock.cpu or 0.0 for clock in gone.values())
        is_whole = all(clock.at is not None and clock.at >= began for clock in parent.clocks.values())
        # less than 0 where the groups ran on while they were read
        rest = max(0.0, total - parent.ended - there) if is_whole else 0.0
        parent.ended += rest
        return parent, rest + sum(clock.owed for group, clock in gone.items() if group not in held)
