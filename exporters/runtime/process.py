"""What the exporter's own process uses, in the names that every Prometheus client library has."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from exporters.runtime.families import Family, Filled

__all__ = ["FAMILIES", "ProcessMetrics"]

_CPU = Family("process_cpu_seconds_total", "counter", "User and system CPU time spent in seconds.")
_VIRTUAL = Family("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.")
_RESIDENT = Family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.")
_START = Family("process_start_time_seconds", "gauge", "Start time of the process in Unix seconds.")
_OPEN = Family("process_open_fds", "gauge", "Number of open file descriptors.")
_MAX = Family("process_max_fds", "gauge", "Maximum number of open file descriptors.")
FAMILIES = (_CPU, _VIRTUAL, _RESIDENT, _START, _OPEN, _MAX)
_KEEP_SECONDS = 1.0


class ProcessMetrics:
    """Read from ``procfs`` at most once a second, whoever asks."""

    def __init__(self, procfs: str = "/proc", clock: Callable[[], float] = time.monotonic) -> None:
        self._self = Path(procfs) / "self"
        self._stat = Path(procfs) / "stat"
        self._clock = clock
        self._ticks: int = os.sysconf("SC_CLK_TCK")
        self._page: int = os.sysconf("SC_PAGE_SIZE")
        self._boot: float | None = None
        self._until = -1.0
        self._last: list[Filled] = []

    def collect(self) -> list[Filled]:
        """The families; the same list object for a second. Empty where /proc cannot be read."""
        now = self._clock()
        if now >= self._until:
            self._until = now + _KEEP_SECONDS
            try:
                self._last = self._read()
            except (OSError, ValueError, IndexError):
                self._last = []
        return self._last

    def _read(self) -> list[Filled]:
        # the command's name may hold spaces and parentheses; fields count from behind its last one
        fields = (self._self / "stat").read_text().rpartition(")")[2].split()
        user, system, start, virtual, pages = (int(fields[i]) for i in (11, 12, 19, 20, 21))
        return [
            _CPU.one((user + system) / self._ticks),
            _VIRTUAL.one(virtual),
            _RESIDENT.one(pages * self._page),
            _START.one(self._boot_seconds() + start / self._ticks),
            _OPEN.one(sum(1 for _ in (self._self / "fd").iterdir())),
            _MAX.one(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        ]

    def _boot_seconds(self) -> float:
        if self._boot is None:
            line = next(x for x in self._stat.read_text().splitlines() if x.startswith("btime "))
            self._boot = float(line.split()[1])
        return self._boot
