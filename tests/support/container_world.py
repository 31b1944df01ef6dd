"""A host of files with a clock and a meter that a test moves, and the monitor that reads it."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from advisor.containers.cgroups import Cgroups
from advisor.containers.counts import Counts
from advisor.containers.ledger import Sums
from advisor.containers.monitor import Monitor
from advisor.containers.records import Container
from advisor.energy.cpu import CpuTimes
from advisor.energy.meter import MeterReading
from advisor.energy.source import ZoneReport
from advisor.errors import EnergyError
from tests.support.cgroup_tree import CgroupTree, Layout
from tests.support.clock import FakeClock

__all__ = ["ContainerWorld", "container"]


def container(letter: str, name: str, **known: object) -> Container:
    """A container whose id is 64 times a letter."""
    return Container(id=letter * 64, name=name, image=known.pop("image", "debian:12"), **known)  # type: ignore[arg-type]


class ContainerWorld:
    """4 CPUs. `pass_time` moves the clock, the host's energy and its CPU time together."""

    def __init__(
        self, folder: Path, layout: Layout = "v2", *, has_meter: bool = True, is_local: bool = True
    ) -> None:
        self.tree = CgroupTree(folder / "cgroup", layout)
        self.procfs = folder / "proc"
        self.procfs.mkdir()
        (self.procfs / "meminfo").write_text("MemTotal:        1000000 kB\nMemFree:  10 kB\n")
        self.clock = FakeClock()
        self.counts = Counts()
        self.joules: dict[str, float] = {"package_0": 0.0, "dram_0": 0.0}
        self.busy: float | None = 0.0
        self.meter_fails = False
        self.doubtful_seconds = 0.0
        """How long after a reading its joules are certain."""
        self._history: dict[float, dict[str, float]] = {}
        self._folder, self._has_meter, self._is_local = folder, has_meter, is_local
        self.open_monitor(None)

    def open_monitor(self, saved: Sums | None) -> None:
        """A monitor in the place of the one before, as after a restart."""
        sysfs = str(self._folder / "sys")
        self.monitor = Monitor(
            Cgroups(str(self.tree.root), str(self.procfs), sysfs, counts=self.counts),
            procfs=str(self.procfs),
            read_meter=self.read_meter if self._has_meter else None,
            settle=self.settle,
            is_local=self._is_local,
            counts=self.counts,
            saved=saved,
            clock=self.clock,
        )

    def read_meter(self) -> MeterReading:
        if self.meter_fails:
            raise EnergyError("nothing to read")
        now = self.clock.seconds
        self._history[now] = dict(self.joules)
        sure = max((at for at in self._history if at <= now - self.doubtful_seconds), default=now)
        zones = () if sure == now else (ZoneReport("package_0", "package", "", 0.0, sure, now),)
        return MeterReading(
            unix_seconds=now,
            monotonic_seconds=now,
            joules=self._history[sure],
            zones=zones,
            power_watts={},
            cpu=None if self.busy is None else CpuTimes(self.busy, 4 * self.clock.seconds),
            uncertainty_ratio=None,
        )

    def settle(self, reading: MeterReading) -> MeterReading:
        """As `Meter.settle` does."""
        at = reading.monotonic_seconds
        if self.clock.seconds - at < self.doubtful_seconds:
            return reading
        return structs.replace(reading, joules=self._history[at], zones=())

    def pass_time(
        self, seconds: float, *, package: float = 0.0, dram: float = 0.0, busy: float = 0.0
    ) -> None:
        """Seconds on the clock, joules by zone, busy CPU seconds."""
        self.clock.advance(seconds)
        self.joules["package_0"] += package
        self.joules["dram_0"] += dram
        if self.busy is not None:
            self.busy += busy

    def process(self, pid: int, container_id: str, *, received: int = 0, sent: int = 0) -> None:
        """A process of a container with a network of its own."""
        folder = self.procfs / str(pid)
        (folder / "net").mkdir(parents=True)
        (folder / "cgroup").write_text(f"0::/docker/{container_id}\n")
        (folder / "net" / "dev").write_text(
            "Inter-|   Receive                                                |  Transmit\n"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
            "    lo:     500       1    0    0    0     0          0         0      500       1    0\n"
            f"  eth0: {received}      10    0    0    0     0          0         0 {sent}      10    0\n"
        )

    def daemon(
        self, pid: int, name: str, *, ticks: int, pages: int, parent: int = 1, command: str = ""
    ) -> None:
        """A process of an engine: CPU time in ticks of the kernel, resident memory in pages."""
        folder = self.procfs / str(pid)
        folder.mkdir(exist_ok=True)
        (folder / "comm").write_text(f"{name}\n")
        (folder / "cmdline").write_bytes(command.encode().replace(b" ", b"\0"))
        fields = ["S", str(parent), *["0"] * 9, str(ticks), "0", *["0"] * 8, str(pages), *["0"] * 20]
        (folder / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
