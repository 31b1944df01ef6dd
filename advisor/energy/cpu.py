"""CPU time of the whole machine, and how much of it this process may use."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from advisor.common.control_group import group_folders
from advisor.energy.zones import try_line

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# user nice system idle iowait irq softirq steal; guest and guest_nice follow and lie inside user and nice
_FIELDS = 8
# ten numbers of at most 20 digits
_FIRST_LINE = 256
_IDLE, _IOWAIT, _STEAL = 3, 4, 7


class CpuTimes(Struct, frozen=True):
    """Seconds since boot, summed over all CPUs."""

    busy_seconds: float
    """Time this machine's CPUs worked. Waiting for a disk and time taken by the hypervisor are no work of
    theirs; guests' time is counted once."""
    total_seconds: float
    """Wall time times CPUs, whatever happened in it."""
    steal_seconds: float | None = None
    """Time taken by the hypervisor; None where the kernel does not say."""


def cpu_times(procfs: str = "/proc") -> CpuTimes | None:
    """Read ``stat`` under ``procfs``; None when it cannot be read or understood."""
    try:
        with open(f"{procfs}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - every second, for ever
            return parse_cpu_times(file.read(_FIRST_LINE))
    except OSError:
        return None


def tells_whole_machine(procfs: str = "/proc", mountinfo: str = "/proc/self/mountinfo") -> bool:
    """Whether ``stat`` under ``procfs`` is the kernel's own.

    In a system container (LXC, Incus, Sysbox) a file system in user space lies over it, and shows the CPU
    time of that container alone: beside the energy of the whole machine it says nothing.
    """
    try:
        mounts = [line.split() for line in Path(mountinfo).read_text(errors="replace").splitlines()]
    except OSError:
        return True
    # proc_pid_mountinfo(5): the mount point is field 5; the type follows a lone hyphen
    types = [m[m.index("-") + 1] for m in mounts if "-" in m[6:] and m[4] == f"{procfs}/stat"]
    return not any(kind.startswith("fuse") for kind in types)


def parse_cpu_times(stat: bytes) -> CpuTimes | None:
    """CPU times from the first line of ``/proc/stat``.

    >>> parse_cpu_times(b"cpu  400 0 100 1000 300 0 0 200 50 0\\ncpu0 1 0 0 0")
    CpuTimes(busy_seconds=5.0, total_seconds=20.0, steal_seconds=2.0)
    """
    words = stat.partition(b"\n")[0].split()
    if len(words) < 5 or words[0] != b"cpu" or not all(word.isdigit() for word in words[1:]):
        return None
    ticks = [int(word) for word in words[1 : 1 + _FIELDS]]
    steal = ticks[_STEAL] / _TICKS_PER_SECOND if len(ticks) == _FIELDS else None
    ticks += [0] * (_FIELDS - len(ticks))
    not_working = ticks[_IDLE] + ticks[_IOWAIT] + ticks[_STEAL]
    busy, total = sum(ticks) - not_working, sum(ticks)
    return CpuTimes(busy / _TICKS_PER_SECOND, total / _TICKS_PER_SECOND, steal)


def cpu_between(before: CpuTimes | None, after: CpuTimes | None) -> CpuTimes | None:
    """CPU time between two samples; None where one of them is unknown.

    >>> cpu_between(CpuTimes(10.0, 100.0), CpuTimes(15.0, 120.0))
    CpuTimes(busy_seconds=5.0, total_seconds=20.0, steal_seconds=None)
    """
    if before is None or after is None:
        return None
    busy, total = after.busy_seconds - before.busy_seconds, after.total_seconds - before.total_seconds
    # the kernel may take back waiting time, and a CPU that goes offline takes its ticks along
    return CpuTimes(max(busy, 0.0), max(total, 0.0))


def utilisation(before: CpuTimes, after: CpuTimes) -> float:
    """Busy share of the CPU time between two samples, 0-1; 0 where no tick has passed.

    >>> utilisation(CpuTimes(10.0, 100.0), CpuTimes(15.0, 120.0))
    0.25
    """
    total = after.total_seconds - before.total_seconds
    # the kernel may take back waiting time, and a CPU that goes offline takes its ticks along
    return min(max((after.busy_seconds - before.busy_seconds) / total, 0.0), 1.0) if total > 0 else 0.0


def quota_cores(procfs: str = "/proc", sysfs: str = "/sys") -> float | None:
    """The CPU limit of this process's control group in cores, the tightest above it; None for no limit."""
    limits = [_limit(folder) for folder in group_folders("cpu", procfs, sysfs)]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(folder: Path) -> float | None:
    words = _words(folder / "cpu.max")
    if not words:
        words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:
        return None  # no such files, "max", or version 1's -1
    return int(words[0]) / int(words[1])


def _words(path: Path) -> list[str]:
    return (try_line(str(path)) or "").split()
