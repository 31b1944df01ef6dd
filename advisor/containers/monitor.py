"""The state of all containers: changes go in, one snapshot per tick comes out.

No thread and no engine here: `advisor.containers.sampler` calls it from one thread, and what the engine says
arrives as changes. The engine says who runs under which name, the clocks what each used
(`advisor.containers.clocks`), and the ledger what that was worth (`advisor.containers.ledger`). A tick reads
the meter, then the CPU time of every container, so that both cover the same window; the other files are read
every few seconds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from msgspec import Struct, structs

from advisor.common.control_group import machine_memory_bytes
from advisor.containers.cgroups import Cgroups, Location
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
from advisor.containers.clocks import Clock, GroupClocks, group_at
from advisor.containers.counts import Counts
from advisor.containers.exits import ExitWatch
from advisor.containers.ledger import Ledger, SavedContainer, Sums
from advisor.containers.processes import EngineProcesses, EngineUsage, belongs_to, network_bytes
from advisor.containers.records import ApiUsage, Container, Details, EngineInfo
from advisor.energy.attribution import Policy
from advisor.energy.meter import MeterReading
from advisor.errors import EnergyError

DETAIL_SECONDS = 5.0
YOUNG_SECONDS = 2.0
"""How long a container is sampled often: most of those that end between two ticks end before this."""
MOST_YOUNG = 100
"""Hundreds that start at once must not keep the sampler busy."""
LATEST_START_SECONDS = 3.0
"""A start that is told later is of windows that are long shared."""
UNKNOWN_ROUNDS = 2
"""One round without an answer may be a container that ends."""
_NETWORK = ("network_receive_bytes", "network_transmit_bytes")


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
    energy: Sums | None
    exited_containers: int
    exited_cpu_seconds: float
    counts: Mapping[tuple[str, str], int]


class Life(Struct):
    """One container from its start to its end; changed in place by the monitor's one thread."""

    container: Container
    born: float
    """When it started, where that was told; monotonic seconds."""
    clock: Clock
    location: Location | None = None
    """None where its files cannot be seen: the engine's own statistics must do."""
    details: Details | None = None
    network_pid: int | None = None
    """The process whose network was found to be the container's."""
    unknown_rounds: int = 0
    """Rounds of the engine's statistics that knew nothing of it."""

    @property
    def is_told(self) -> bool:
        """Whether what it used comes from the engine."""
        return self.clock.group is None and self.clock.cpu is not None


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
        The sums of a process before this one, of the same boot, to go on from. They are changed in place.
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
        saved: Sums | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cgroups, self._procfs, self._is_here = cgroups, procfs, is_local
        self._read_meter, self._watch, self._clock = read_meter, watch, clock
        self._counts = counts or Counts()
        self._groups = GroupClocks(cgroups, self._counts, clock)
        self._processes = EngineProcesses(procfs)
        self._ledger = Ledger(saved, settle or (lambda reading: reading))
        self._lives: dict[str, Life] = {}
        self._ended: list[Life] = []
        """Since the tick before."""
        self._untold: Counter[str] = Counter()
        """Ends by container id that were seen and that the engine has not told; below 0 for the reverse."""
        self._long_untold: Counter[str] = Counter()
        """The same at the last list."""
        self._was_untold = False
        """Whether the tick before saw that one had ended of whose end nobody told."""
        self._engine: EngineInfo | None = None
        self._engine_usage: EngineUsage | None = None
        self._memory_total: int | None = None
        self._next_details = clock()
        self._was_listed = self._new_usages = False

    def without_files(self) -> tuple[str, ...]:
        """Ids of the containers whose files cannot be seen: the engine's own statistics must do.

        May be called from any thread.
        """
        return tuple(id for id, life in self._lives.copy().items() if life.location is None)

    def apply(self, change: Change) -> None:
        """Take one change from the engine."""
        match change:
            case EngineUp(info):
                self._engine = info
                self._long_untold.clear()  # it tells what it could not tell before
            case EngineDown():
                self._engine = None
                for life in self._lives.values():
                    if life.is_told:
                        life.clock, life.details = Clock(owed=life.clock.owed), None
            case Listed(containers, age_seconds):
                self._list(containers, age_seconds)
            case Started(container, age_seconds) if not self._is_known(container.id):
                self._start(container, age_seconds)
            case Ended(id) if self._untold[id] > 0:
                self._untold[id] -= 1
                self._long_untold -= Counter((id,))
            case Ended(id):
                self._ledger.sums.exited_containers += 1
                ended = self._lives.get(id)
                if ended is not None and ended.clock.group is not None and self._groups.read(ended.clock):
                    self._untold[id] -= 1  # of a start before this one, or the group is removed later
                elif ended is not None:
                    self._end(id)
            case Inspected(container) if container.id in self._lives:
                life, found = self._lives[container.id], self._cgroups.locate(container.id, container.pid)
                life.container = container
                if found and life.location and found.cpuacct != life.location.cpuacct:
                    # its process is elsewhere
                    life.location, life.clock = None, Clock(base=life.clock.base, owed=life.clock.owed)
                self._find(life)
            case Used(usages):
                self._use(usages)

    def young(self) -> list[str]:
        """Ids of the containers that started a moment ago."""
        since = self._clock() - YOUNG_SECONDS
        return [id for id, life in self._lives.items() if life.born > since][-MOST_YOUNG:]

    def sample(self, id: str) -> None:
        """Read the CPU time of one container now."""
        life = self._lives.get(id)
        if life is None or self._groups.read(life.clock):
            return
        self._see_end(id)
        group = life.clock.group
        if group is not None and group_at(group[0]) not in (None, group):
            # it was started again, which the engine may be late to tell
            self._start(life.container, 0.0)

    def tick(self) -> Snapshot:
        """Read everything that is due and close the window."""
        reading = self._meter_reading()
        present, unread = self._groups.look(life.clock for life in (*self._lives.values(), *self._ended))
        for id, life in list(self._lives.items()):
            if life.clock.group not in present:
                self.sample(id)
        self._bury(unread)
        if reading is not None and self._was_listed and self._is_here and self._is_whole():
            used = {id: life.clock.take() for id, life in self._lives.items()}
            self._ledger.close(reading, used)
            self._new_usages = False
        for life in self._lives.values():
            life.clock.mark()
        self._read_details()
        return self._snapshot()

    def save(self) -> Sums | None:
        """The sums at the end of the last window; None before one."""
        clocks = {id: life.clock for id, life in self._lives.items()}
        return self._ledger.save({id: c.cpu - c.owed for id, c in clocks.items() if c.cpu is not None})

    def _list(self, containers: tuple[Container, ...], age_seconds: float) -> None:
        listed = {container.id for container in containers}
        untold = ((id, count - self._long_untold[id]) for id, count in self._untold.items())
        self._untold = Counter({id: count for id, count in untold if count})
        for id in self._lives.keys() - listed:
            self._see_end(id)
        for container in containers:
            life = self._lives.get(container.id)
            if not self._is_known(container.id):
                self._start(container, age_seconds)
            elif life is not None and container.name != container.id[:12]:  # which is no name
                # a rename may be missed, and the kubelet may name a pod later
                life.container = structs.replace(life.container, name=container.name, labels=container.labels)
        # events of before a list may be told after it, and a list may be older than an end; not two lists
        self._long_untold = +self._untold
        if not self._was_listed and self._ledger.is_open:
            self._restore()
        self._was_listed = True

    def _is_known(self, id: str) -> bool:
        """Whether a start is told again after a reconnection, or when its end was seen already."""
        if id in self._lives or self._untold[id] <= 0:
            return id in self._lives
        location = self._cgroups.locate(id)
        return location is None or group_at(location.cpuacct) is None

    def _restore(self) -> None:
        """Containers that ended while nobody looked, and those that began, are told by the first list."""
        saved = self._ledger.sums.containers
        for id in saved.keys() - self._lives.keys():
            self._ledger.add_exited(saved[id].cpu_seconds, 0.0)
            self._ledger.sums.exited_containers += 1
            self._ledger.retire(id)
        for id, life in self._lives.items():
            life.clock.follow(Clock(base=saved[id].cpu_seconds if id in saved else 0.0))

    def _start(self, container: Container, age_seconds: float) -> None:
        clock = Clock(base=0.0 if age_seconds <= LATEST_START_SECONDS else None)
        life = self._lives[container.id] = Life(container, self._clock() - age_seconds, clock)
        self._find(life)
        self.sample(container.id)

    def _see_end(self, id: str) -> None:
        """An end that the engine may have told already, and else will tell."""
        self._ledger.sums.exited_containers += self._untold[id] >= 0
        self._untold[id] += 1
        self._end(id)

    def _end(self, id: str) -> None:
        life = self._lives.pop(id)
        if self._watch is not None:
            self._watch.discard(id)
        self._ledger.retire(id)
        self._ended.append(life)

    def _bury(self, unread: float) -> None:
        """Give the exited what those have that ended since the tick before, and what nobody has read."""
        for life in self._ended:
            if life.clock.cpu is None and not unread and not self._was_untold:
                self._counts.add("container", "unseen")
            self._ledger.add_exited(life.clock.cpu or 0.0, life.clock.take())
        self._ledger.add_exited(unread, unread)
        self._was_untold = bool(unread) and not self._ended
        self._ended.clear()

    def _use(self, usages: Mapping[str, ApiUsage]) -> None:
        self._new_usages = True
        for id, life in self._lives.items():
            if life.location is not None:
                continue
            usage = usages.get(id)
            if usage is not None:
                life.details = _details(usage, life.container, self._memory_total)
                # a sample has a time of its own, by the engine's clock
                if not life.clock.read(usage.cpu_seconds, usage.unix_seconds):
                    self._counts.add("engine", "backwards")
            elif life.clock.cpu is None:
                life.unknown_rounds += 1
                if life.unknown_rounds == UNKNOWN_ROUNDS:
                    self._counts.add("container", "unknown_cpu")

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
        waiting = self._engine is not None and any(life.is_told for life in self._lives.values())
        return self._new_usages or not waiting

    def _find(self, life: Life) -> None:
        """Look for the container's files and its network."""
        container = life.container
        if life.network_pid is None and container.pid is not None and container.own_network:
            is_its_own = belongs_to(self._procfs, container.pid, container.id)
            life.network_pid = container.pid if is_its_own else None
        location = life.location or self._cgroups.locate(container.id, container.pid)
        group = None if location is None else group_at(location.cpuacct)
        if location is None or group is None:  # it has just ended
            return
        life.location, self._is_here = location, True
        if self._watch is not None:
            self._watch.add(container.id, location)
        if life.clock.group is None:
            clock = self._groups.clock(group, is_v2="cpuacct" in location.unified)
            clock.follow(life.clock)
            life.clock = clock

    def _read_details(self) -> None:
        now = self._clock()
        is_due = now >= self._next_details
        for life in self._lives.values():
            if is_due:
                self._find(life)
            if life.location is not None and (is_due or life.details is None):
                life.details = self._details(life, life.location)
        if is_due:
            self._next_details = now + DETAIL_SECONDS
            self._memory_total = machine_memory_bytes(self._procfs)
            engine = self._engine
            self._engine_usage = (
                None if engine is None else self._processes.look(now, engine, self._lives.keys())
            )

    def _details(self, life: Life, location: Location) -> Details:
        """Everything but the CPU time."""
        details = self._cgroups.details(location)
        if life.network_pid is not None:
            try:
                traffic = network_bytes(self._procfs, life.network_pid)
                return structs.replace(details, **dict(zip(_NETWORK, traffic, strict=True)))
            except OSError:
                life.network_pid = None  # its first process ended, and the container with it
            except ValueError:
                self._counts.add("proc", "malformed")
        return details

    def _snapshot(self) -> Snapshot:
        energy, sums = self._ledger.energy(), self._ledger.sums
        return Snapshot(
            monotonic_seconds=self._clock(),
            engine=self._engine,
            engine_was_seen=self._was_listed,
            engine_usage=self._engine_usage,
            memory_total_bytes=self._memory_total,
            containers=tuple(self._view(life, energy) for life in self._lives.values()),
            energy=energy,
            exited_containers=sums.exited_containers,
            exited_cpu_seconds=sums.exited_cpu_seconds,
            counts=self._counts.items(),
        )

    def _view(self, life: Life, energy: Sums | None) -> ContainerView:
        clock, details = life.clock, life.details or Details()
        used = details.memory_working_set_bytes
        limits = [value for value in (details.memory_limit_bytes, self._memory_total) if value]
        joules: Mapping[Policy, float] = {}
        if energy is not None and clock.cpu is not None:
            joules = energy.containers.get(life.container.id, SavedContainer()).joules
        return ContainerView(
            container=life.container,
            cpu_seconds=clock.cpu,
            cpu_percent=clock.percent,
            memory_percent=100.0 * used / min(limits) if used is not None and limits else None,
            details=details,
            energy_joules=joules,
        )


def _details(usage: ApiUsage, container: Container, host_bytes: int | None) -> Details:
    """What the engine says of one container beside its CPU time.

    The engine gives the host's memory (``host_bytes``) as the limit of a container that has none, and to each
    container of a pod the traffic of all.
    """
    limit = usage.memory_limit_bytes
    if limit is not None and host_bytes is not None and limit >= host_bytes:
        limit = None
    others = {} if container.own_network else dict.fromkeys(_NETWORK)
    return structs.replace(usage, memory_limit_bytes=limit, **others)
