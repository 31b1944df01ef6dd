"""What ``/proc`` knows of containers and of the engine's own processes.

Formats: proc(5).
"""

from __future__ import annotations

import os

from msgspec import Struct

from advisor.containers.cgroups import read_bytes, whole

__all__ = ["EngineProcesses", "EngineUsage", "belongs_to", "memory_total_bytes", "network_bytes"]

ENGINE_NAMES = frozenset({b"dockerd", b"containerd", b"containerd-shim", b"docker-proxy"})
"""The names as the kernel has them, cut to 15 characters (``containerd-shim-runc-v2`` is one of these)."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class EngineUsage(Struct, frozen=True):
    """The engine's own processes: ``cpu_percent`` 100 is one core, over the time since the last look."""

    cpu_percent: float | None
    resident_bytes: int


def memory_total_bytes(procfs: str) -> int | None:
    """The host's memory, None when it cannot be read."""
    try:
        for line in read_bytes(f"{procfs}/meminfo").splitlines():
            if line.startswith(b"MemTotal:"):
                return whole(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


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


class EngineProcesses:
    """CPU and memory of dockerd, containerd, their shims and proxies, added up.

    A process that began or ended between two looks counts from the second look on, so that the sum never
    jumps by the whole life of a process.
    """

    def __init__(self, procfs: str = "/proc") -> None:
        self._procfs = procfs
        self._names: dict[str, bytes] = {}
        self._cpu: dict[str, float] = {}
        self._at: float | None = None

    def look(self, now: float) -> EngineUsage | None:
        """Usage since the last look at monotonic time ``now``; None when no dockerd can be seen."""
        cpu, resident, has_engine = {}, 0, False
        for pid in self._engine_pids():
            try:
                head, _, tail = read_bytes(f"{self._procfs}/{pid}/stat").rpartition(b")")
                name = head.partition(b"(")[2]
                if name not in ENGINE_NAMES:  # a fork that has become something else
                    continue
                has_engine = has_engine or name == b"dockerd"
                fields = tail.split()  # state is field 3 of proc(5), utime 14, stime 15, rss 24
                cpu[pid] = (whole(fields[11]) + whole(fields[12])) / _TICKS_PER_SECOND
                resident += whole(fields[21]) * _PAGE_BYTES
            except (OSError, ValueError, IndexError):
                continue
        before, self._cpu = self._cpu, cpu
        since, self._at = self._at, now
        if not has_engine:  # containerd alone works for someone else
            return None
        used = sum(seconds - before[pid] for pid, seconds in cpu.items() if pid in before)
        has_both = since is not None and now > since and before
        return EngineUsage(100.0 * max(0.0, used) / (now - since) if has_both and since else None, resident)

    def _engine_pids(self) -> list[str]:
        """Looks up only the names of processes that are new: their number may be in the thousands."""
        try:
            with os.scandir(self._procfs) as entries:
                pids = [entry.name for entry in entries if entry.name.isdigit()]
        except OSError:
            return []
        self._names = {pid: self._names.get(pid) or self._name(pid) for pid in pids}
        return [pid for pid, name in self._names.items() if name in ENGINE_NAMES]

    def _name(self, pid: str) -> bytes:
        try:
            return read_bytes(f"{self._procfs}/{pid}/comm").strip()
        except OSError:
            return b""
