"""The state of all containers: changes go in, one snapshot per tick comes out.

No thread and no engine here: `advisor.containers.sampler` calls it from one thread, and what the engine says
arrives as changes. A tick reads the meter, then the CPU time of every container, so that both cover the same
window; the other files are read every few seconds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from msgspec import Struct

from advisor.common.control_group import machine_memory_bytes
from advisor.containers.cgroups import Cgroups
from advisor.containers.changes import (
    Change,
    Ended,
    EngineDown,
    EngineUp,
    Inspected,
    Listed,
    Started,
    Used,
)
from advisor.containers.counts import Counts
from advisor.containers.exits import Exit, ExitWatch, Group, Parents
from advisor.containers.ledger import Energy, Ledger, SavedContainers
from advisor.containers.processes import EngineProcesses, EngineUsage
from advisor.containers.readings import Readings, Tracked
from advisor.containers.records import ApiUsage, Container, Details, EngineInfo
from advisor.energy.attribution import Policy
from advisor.energy.meter import MeterReading
from advisor.errors import EnergyError

DETAIL_SECONDS = 5.0
YOUNG_SECONDS = 2.0
"""How long a container is sampled often: most of those that end between two ticks end before this."""
MOST_YOUNG = 100
"""Hundreds that start at once must not keep the sampler busy."""
CLOCK_SLACK_SECONDS = 0.1
LONGEST_DOUBT_SECONDS = 20.0
"""Joules of a moment are known a few seconds after it; for longer nobody waits."""
UNKNOWN_ROUNDS = 2
"""One round without an answer may be a container that ends."""


class ContainerView(Struct, frozen=True):
    """One running container in a snapshot; None is unknown."""

    container: Container
    cpu_seconds: float | None
    cpu_percent: float | None
    """100 is one core, over the sampler's own window."""
    memory_percent: float | None
    """Working set of the limit, or of the host's memory where that is less."""
    details: Details
    energy_joules: Mapping[Policy, float]
    """Empty while the host's energy or the container's CPU time is unknown."""


class Snapshot(Struct, frozen=True):
    """Everything that is known at one tick."""

    monotonic_seconds: float
    engine: EngineInfo | None
    """None while no engine answers."""
    engine_was_seen: bool
    engine_usage: EngineUsage | None
    memory_total_bytes: int | None
    containers: tuple[ContainerView, ...]
    energy: Energy | None
    exited_containers: int
    exited_cpu_seconds: float
    counts: Mapping[tuple[str, str], int]


class _Window(Struct):
    """CPU seconds until a reading of the meter, whose joules may not be certain yet."""

    reading: MeterReading
    running: dict[str, float]
    """By container id."""
    exited: float


class Monitor:
    """Follows the containers of one engine.

    Parameters
    ----------
    cgroups
        Reads control group files.
    procfs
        Root of the process file system, for networks and the engine's own processes.
    read_meter
        Takes a fresh reading of the host's meter; None where energy cannot be known. EnergyError is counted,
        and a reading without the machine's CPU time, by which alone it could be shared.
    settle
        Gives a reading with what is known by now of the joules at its moment; None where that is final.
    is_local
        Whether the engine is certainly on this host. Else energy is shared only once a container's files were
        seen here: the joules of this machine are not those of another one's containers.
    watch
        Told of the containers whose end should wake the sampler.
    counts
        Takes the reasons of what could not be read.
    saved
        The sums of a process before this one, of the same boot, to go on from.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        cgroups: Cgroups,
        *,
        procfs: str = "/proc",
        read_meter: Callable[[], MeterReading] | None = None,
        settle: Callable[[MeterReading], MeterReading] | None = None,
        is_local: bool = True,
        watch: ExitWatch | None = None,
        counts: Counts | None = None,
        saved: SavedContainers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._procfs, self._is_here = procfs, is_local
        self._read_meter, self._settle_reading = read_meter, settle or (lambda reading: reading)
        self._open: deque[_Window] = deque()
        self._watch, self._clock = watch, clock
        self._counts = counts or Counts()
        self._parents = Parents(cgroups)
        self._readings = Readings(cgroups, procfs, self._counts, clock)
        self._processes = EngineProcesses(procfs)
        self._ledger = Ledger(saved)
        self._tracked: dict[str, Tracked] = {}
        self._ended: list[tuple[str, Tracked]] = []
        self._exited_seconds = 0.0
        self._engine: EngineInfo | None = None
        self._engine_usage: EngineUsage | None = None
        self._memory_total: int | None = None
        self._next_details = self._window_start = clock()
        self._has_engine = self._new_usages = False
        self._exited, self._exited_cpu = 0, 0.0
        self._saved = saved
        """Until the engine has listed its containers: which of the saved ones are left is then known."""
        if saved is not None:
            self._exited, self._exited_cpu = saved.exited_containers, saved.exited_cpu_seconds

    def without_files(self) -> tuple[str, ...]:
        """Ids of the containers whose files cannot be seen: the engine's own statistics must do.

        May be called from any thread.
        """
        return tuple(id for id, one in self._tracked.copy().items() if one.location is None)

    def apply(self, change: Change) -> None:
        """Take one change from the engine."""
        match change:
            case EngineUp(info):
                self._engine, self._has_engine = info, True
            case EngineDown():
                self._engine = None
                for one in self._tracked.values():
                    self._readings.forget(one)
            case Listed(containers):
                self._list(containers)
            case Started(container, age_seconds):
                self._start(container, age_seconds)
            case Ended(id):
                self._end(id)
            case Inspected(container) if container.id in self._tracked:
                self._tracked[container.id].container = container
                self._find(self._tracked[container.id])
            case Used(usages):
                self._use(usages)

    def young(self) -> list[str]:
        """Ids of the containers that started a moment ago."""
        since = self._clock() - YOUNG_SECONDS
        return [id for id, one in self._tracked.items() if one.born > since][-MOST_YOUNG:]

    def sample(self, id: str) -> None:
        """Read the CPU time of one container now."""
        one = self._tracked.get(id)
        if one is not None and not self._readings.cpu(one):
            self._end(id)

    def tick(self) -> Snapshot:
        """Read everything that is due and close the window."""
        reading = self._meter_reading()
        seen = self._parents.look()
        folders = {folder for folder, _ in seen}
        for id, one in list(self._tracked.items()):
            folder = "" if one.location is None else one.location.cpuacct
            if one.inode is not None and (folder, one.inode) in seen:
                self._readings.took(one, seen[folder, one.inode])
            elif one.inode is None or folder not in folders:
                self.sample(id)
            # else it was started again, which the engine tells, or the next look for its files
        self._settle(seen)
        if (
            reading is not None
            and self._has_engine
            and self._saved is None
            and self._is_here
            and self._is_whole()
        ):
            self._close(reading)
        for one in self._tracked.values():
            one.mark()
        self._read_details()
        return self._snapshot()

    def save(self) -> SavedContainers | None:
        """The sums at the end of the last window; None before one."""
        cpu = {id: one.window_cpu for id, one in self._tracked.items() if one.window_cpu is not None}
        # windows whose joules are not certain yet come again
        ended = {id: seconds - sum(w.running.get(id, 0.0) for w in self._open) for id, seconds in cpu.items()}
        return self._ledger.save(ended, self._exited, self._exited_cpu)

    def _restore(self, saved: SavedContainers) -> None:
        """Containers that ended while nobody looked, and those that began, are told by the first list."""
        for id in saved.containers:
            if id not in self._tracked:
                self._ledger.retire(id)
                self._exited += 1
        for id, one in self._tracked.items():
            before = saved.containers.get(id)
            one.window_cpu = 0.0 if before is None else before.cpu_seconds

    def _list(self, containers: tuple[Container, ...]) -> None:
        for id in self._tracked.keys() - {container.id for container in containers}:
            self._end(id)
        for container in containers:
            if container.id not in self._tracked:
                self._track(container, born=float("-inf"))
        if self._saved is not None:
            saved, self._saved = self._saved, None
            self._restore(saved)

    def _start(self, container: Container, age_seconds: float) -> None:
        if container.id in self._tracked:  # an event that is told again after a reconnection
            return
        born = self._clock() - age_seconds
        one = self._track(container, born=born)
        if born >= self._window_start - CLOCK_SLACK_SECONDS:
            one.window_cpu = 0.0
        self.sample(container.id)

    def _track(self, container: Container, born: float) -> Tracked:
        one = self._tracked[container.id] = Tracked(container, born)
        self._find(one)
        return one

    def _find(self, one: Tracked) -> None:
        if self._readings.find(one):
            self._is_here = True
        if one.location is not None and self._watch is not None:  # again where its group was made again
            self._watch.add(one.container.id, one.location)

    def _end(self, id: str) -> None:
        one = self._tracked.pop(id, None)
        if one is None:
            return
        if self._watch is not None:
            self._watch.discard(id)
        self._ledger.retire(id)
        for window in self._open:
            window.exited += window.running.pop(id, 0.0)
        self._ended.append((id, one))

    def _use(self, usages: Mapping[str, ApiUsage]) -> None:
        self._new_usages = True
        for id, unknown in self._tracked.items():
            if unknown.location is None and unknown.cpu is None and id not in usages:
                unknown.unknown_rounds += 1
                if unknown.unknown_rounds == UNKNOWN_ROUNDS:
                    self._counts.add("container", "unknown_cpu")
        for id, usage in usages.items():
            one = self._tracked.get(id)
            if one is not None and one.location is None:
                one.by_api = True
                if not one.use(usage, self._memory_total):
                    self._counts.add("engine", "backwards")

    def _settle(self, seen: Mapping[Group, float]) -> None:
        """The last CPU seconds of the containers that ended since the tick before."""
        now = self._clock()
        exits = []
        for id, one in self._ended:
            for folder in self._parents.folders(id, one.location):
                if one.inode is not None and (folder, one.inode) in seen:
                    one.read(max(seen[folder, one.inode], one.cpu or 0.0), now)
                # what the engine told is of a group that is elsewhere
                exits.append(Exit(folder, one.inode, 0.0 if one.by_api else one.cpu or 0.0))
        unread = self._parents.rest(exits)
        for _, one in self._ended:
            if one.cpu is None and not unread:
                self._counts.add("container", "unseen")
            self._exited_seconds += one.window_seconds
            self._exited_cpu += one.cpu or 0.0
        self._exited_seconds += unread
        self._exited_cpu += unread
        self._exited += len(self._ended)
        self._ended.clear()

    def _meter_reading(self) -> MeterReading | None:
        if self._read_meter is None:
            return None
        try:
            reading = self._read_meter()
        except EnergyError:
            self._counts.add("meter", "unreadable")
            return None
        if reading.cpu is None:  # the window stays open until it is known again
            self._counts.add("meter", "unknown_cpu")
            return None
        return reading

    def _is_whole(self) -> bool:
        """Whether all CPU times are of now: what the engine tells comes in rounds of its own."""
        waiting = self._engine is not None and any(one.by_api for one in self._tracked.values())
        return self._new_usages or not waiting

    def _close(self, reading: MeterReading) -> None:
        running = {id: one.window_seconds for id, one in self._tracked.items()}
        self._open.append(_Window(reading, running, self._exited_seconds))
        self._share()
        for one in self._tracked.values():
            one.window_cpu = one.cpu
        self._exited_seconds = 0.0
        self._new_usages = False
        self._window_start = self._clock()

    def _share(self) -> None:
        """Give the joules of every window that are certain by now to those that ran in it."""
        now = self._open[-1].reading.monotonic_seconds
        while self._open:
            window = self._open[0]
            reading = self._settle_reading(window.reading)
            if not reading.is_settled and now - reading.monotonic_seconds <= LONGEST_DOUBT_SECONDS:
                return
            self._open.popleft()
            self._ledger.close(reading, window.running, window.exited)

    def _read_details(self) -> None:
        now = self._clock()
        is_due = now >= self._next_details
        for one in self._tracked.values():
            if is_due:
                self._find(one)
            if is_due or not one.has_details:
                self._readings.details(one)
        if is_due:
            self._next_details = now + DETAIL_SECONDS
            self._memory_total = machine_memory_bytes(self._procfs)
            engine = self._engine
            self._engine_usage = (
                None if engine is None else self._processes.look(now, engine, self._tracked.keys())
            )

    def _snapshot(self) -> Snapshot:
        energy = self._ledger.energy()
        return Snapshot(
            monotonic_seconds=self._clock(),
            engine=self._engine,
            engine_was_seen=self._has_engine,
            engine_usage=self._engine_usage,
            memory_total_bytes=self._memory_total,
            containers=tuple(self._view(one, energy) for one in self._tracked.values()),
            energy=energy,
            exited_containers=self._exited,
            exited_cpu_seconds=self._exited_cpu,
            counts=self._counts.items(),
        )

    def _view(self, one: Tracked, energy: Energy | None) -> ContainerView:
        used = one.details.memory_working_set_bytes
        limits = [value for value in (one.details.memory_limit_bytes, self._memory_total) if value]
        shares = {} if energy is None or one.cpu is None else energy.containers
        return ContainerView(
            container=one.container,
            cpu_seconds=one.cpu,
            cpu_percent=one.percent,
            memory_percent=100.0 * used / min(limits) if used is not None and limits else None,
            details=one.details,
            energy_joules={policy: share.get(one.container.id, 0.0) for policy, share in shares.items()},
        )
