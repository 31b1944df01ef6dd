"""What ``/proc`` knows of containers and of the engine's own processes.

Formats: proc(5).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from msgspec import Struct

from advisor.containers.cgroups import read_bytes, whole
from advisor.containers.records import EngineInfo, EngineKind

_DAEMONS: Mapping[EngineKind, bytes] = {"docker": b"dockerd", "podman": b"podman"}
_HELPERS: Mapping[EngineKind, frozenset[bytes]] = {
    "docker": frozenset({b"containerd", b"containerd-shim", b"docker-proxy"}),
    "podman": frozenset({b"conmon", b"aardvark-dns", b"rootlessport", b"pasta", b"slirp4netns"}),
}
"""The names as the kernel has them, cut to 15 characters (``containerd-shim-runc-v2`` is one of these)."""
_NAMES = frozenset(_DAEMONS.values()).union(*_HELPERS.values())
_MONITORS = (b"containerd-shim", b"conmon")
"""One a container, whose id is in their command line."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class EngineUsage(Struct, frozen=True):
    """The engine's own processes: ``cpu_percent`` 100 is one core, over the time since the last look."""

    cpu_percent: float | None
    resident_bytes: int


def belongs_to(procfs: str, pid: int, container_id: str) -> bool:
    """Whether ``pid`` is a process of the container.

    Without the host's process numbers (an exporter in a container of its own), the same number is another
    process or none.
    """
    try:
        return container_id.encode() in read_bytes(f"{procfs}/{pid}/cgroup")
    except OSError:
        return False


def network_bytes(procfs: str, pid: int) -> tuple[int, int]:
    """Bytes received and sent in the network namespace of a process, loopback left out.

    Raises OSError when the process is gone, ValueError when the table has another form.
    """
    received = sent = 0
    for line in read_bytes(f"{procfs}/{pid}/net/dev").splitlines()[2:]:
        name, _, numbers = line.partition(b":")
        fields = numbers.split()
        if len(fields) < 9:
            raise ValueError("a short line in net/dev")
        if name.strip() != b"lo":
            received += whole(fields[0])
            sent += whole(fields[8])
    return received, sent


class _Process(Struct, frozen=True):
    name: bytes
    parent: str
    cpu_seconds: float
    resident_bytes: int


class EngineProcesses:
    """CPU and memory of the engine that is followed: its daemon and what works for it, added up.

    A process that began or ended between two looks counts from the second look on, so that the sum never
    jumps by the whole life of a process.
    """

    def __init__(self, procfs: str = "/proc") -> None:
        self._procfs = procfs
        self._names: dict[str, bytes] = {}
        self._commands: dict[str, bytes] = {}
        self._cpu: dict[str, float] = {}
        self._at: float | None = None

    def look(self, now: float, engine: EngineInfo, container_ids: Collection[str] = ()) -> EngineUsage | None:
        """Usage since the last look at monotonic time ``now``.

        None when the engine's daemon cannot be seen, or cannot be told from another engine's.
        """
        processes = self._processes() if engine.is_local else {}
        daemon = self._daemon(processes, engine)
        pids = set() if daemon is None else self._family(processes, daemon, engine.kind, container_ids)
        before, self._cpu = self._cpu, {pid: processes[pid].cpu_seconds for pid in pids}
        since, self._at = self._at, now
        if daemon is None:
            return None
        resident = sum(processes[pid].resident_bytes for pid in pids)
        used = sum(seconds - before[pid] for pid, seconds in self._cpu.items() if pid in before)
        if since is None or now <= since or not before:
            return EngineUsage(None, resident)
        return EngineUsage(100.0 * max(0.0, used) / (now - since), resident)

    def _daemon(self, processes: Mapping[str, _Process], engine: EngineInfo) -> str | None:
        """The process that listens; the only one of its name where systemd listens for it."""
        daemons = [pid for pid, process in processes.items() if process.name == _DAEMONS[engine.kind]]
        if engine.kind == "podman":  # each command of a user is a process of that name
            daemons = [pid for pid in daemons if b"service" in self._command(pid).split(b"\0")]
        if str(engine.pid) in daemons:
            return str(engine.pid)
        first = [pid for pid in daemons if processes[pid].parent not in daemons]
        return first[0] if len(first) == 1 else None

    def _family(
        self,
        processes: Mapping[str, _Process],
        daemon: str,
        kind: EngineKind,
        container_ids: Collection[str],
    ) -> set[str]:
        helpers = {pid: process for pid, process in processes.items() if process.name in _HELPERS[kind]}
        monitors = {pid for pid, process in helpers.items() if process.name in _MONITORS}
        family = {daemon} | {pid for pid in monitors if self._is_of(pid, container_ids)}
        while (
            more := {pid for pid, process in helpers.items() if process.parent in family} - family - monitors
        ):
            family |= more
        if not any(processes[pid].name == b"containerd" for pid in family):
            # it runs as a service of its own, beside those that other daemons started
            others = {pid for pid, process in processes.items() if process.name == _DAEMONS[kind]}
            family |= {
                pid
                for pid, process in helpers.items()
                if process.name == b"containerd" and process.parent not in others
            }
        return family

    def _is_of(self, pid: str, container_ids: Collection[str]) -> bool:
        words = self._command(pid).split(b"\0")
        return any(container_id.encode() in words for container_id in container_ids)

    def _command(self, pid: str) -> bytes:
        if pid not in self._commands:
            try:
                self._commands[pid] = read_bytes(f"{self._procfs}/{pid}/cmdline")
            except OSError:
                return b""
        return self._commands[pid]

    def _processes(self) -> dict[str, _Process]:
        """By process number; looks up only the names that are new: there may be thousands."""
        try:
            with os.scandir(self._procfs) as entries:
                pids = [entry.name for entry in entries if entry.name.isdigit()]
        except OSError:
            return {}
        self._names = {pid: self._names.get(pid) or self._name(pid) for pid in pids}
        self._commands = {pid: self._commands[pid] for pid in pids if pid in self._commands}
        engines = [pid for pid, name in self._names.items() if name in _NAMES]
        return {pid: process for pid in engines if (process := self._process(pid)) is not None}

    def _process(self, pid: str) -> _Process | None:
        try:
            head, _, tail = read_bytes(f"{self._procfs}/{pid}/stat").rpartition(b")")
            fields = tail.split()  # state is field 3 of proc(5), ppid 4, utime 14, stime 15, rss 24
            seconds = (whole(fields[11]) + whole(fields[12])) / _TICKS_PER_SECOND
            resident = whole(fields[21]) * _PAGE_BYTES
            return _Process(head.partition(b"(")[2], fields[1].decode(), seconds, resident)
        except (OSError, ValueError, IndexError):
            return None

    def _name(self, pid: str) -> bytes:
        try:
            return read_bytes(f"{self._procfs}/{pid}/comm").strip()
        except OSError:
            return b""
