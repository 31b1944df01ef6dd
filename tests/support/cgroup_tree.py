"""A control group tree of files in the formats of Linux 6: v1, v2, or hybrid with some in each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from advisor.containers.cgroups import Cgroups, Location

__all__ = ["CgroupTree", "Layout", "cpu_seconds"]

Layout = Literal["v1", "v2", "hybrid"]
_V1_FOLDERS = {"cpuacct": "cpu,cpuacct", "cpu": "cpu,cpuacct", "memory": "memory", "io": "blkio"}


class CgroupTree:
    """``hybrid`` has memory and io in the unified hierarchy and CPU in v1, as a host in transition has."""

    def __init__(self, root: Path, layout: Layout, *, parent: str = "docker/{}") -> None:
        self.root, self.layout, self.parent = root, layout, parent
        root.mkdir(parents=True)
        if layout != "v1":
            unified = root if layout == "v2" else root / "unified"
            unified.mkdir(exist_ok=True)
            listed = "cpuset cpu io memory pids" if layout == "v2" else "io memory"
            (unified / "cgroup.controllers").write_text(f"{listed}\n")
        for controller in ("cpuacct", "cpu", "memory", "io"):
            self.base(controller).mkdir(exist_ok=True)
            (self.base(controller) / "cgroup.procs").touch()
        if layout != "v2":  # distributions link the single names to the joint folder
            (root / "cpu").symlink_to("cpu,cpuacct")
            (root / "cpuacct").symlink_to("cpu,cpuacct")

    def is_v2(self, controller: str) -> bool:
        return self.layout == "v2" or (self.layout == "hybrid" and controller in ("memory", "io"))

    def base(self, controller: str) -> Path:
        if self.is_v2(controller):
            return self.root if self.layout == "v2" else self.root / "unified"
        return self.root / _V1_FOLDERS[controller]

    def folder(self, controller: str, container_id: str) -> Path:
        return self.base(controller) / self.parent.format(container_id)

    def add(self, container_id: str, *, cpu_seconds: float = 0.0, throttled_seconds: float = 0.0) -> None:
        for controller in ("cpuacct", "cpu", "memory", "io"):
            self.folder(controller, container_id).mkdir(parents=True, exist_ok=True)
        self.cpu(container_id, cpu_seconds, throttled_seconds)
        self.memory(container_id, usage=0, inactive_file=0)
        self.io(container_id, read=0, written=0)

    def cpu(self, container_id: str, seconds: float, throttled_seconds: float = 0.0) -> None:
        if self.is_v2("cpu"):
            text = f"usage_usec {round(seconds * 1e6)}\nuser_usec 1\nsystem_usec 1\nnr_periods 7\n"
            text += f"nr_throttled 3\nthrottled_usec {round(throttled_seconds * 1e6)}\n"
            (self.folder("cpu", container_id) / "cpu.stat").write_text(text)
            return
        (self.folder("cpuacct", container_id) / "cpuacct.usage").write_text(f"{round(seconds * 1e9)}\n")
        text = f"nr_periods 7\nnr_throttled 3\nthrottled_time {round(throttled_seconds * 1e9)}\n"
        (self.folder("cpu", container_id) / "cpu.stat").write_text(text)

    def memory(self, container_id: str, *, usage: int, inactive_file: int, limit: int | None = None) -> None:
        folder = self.folder("memory", container_id)
        if self.is_v2("memory"):
            (folder / "memory.current").write_text(f"{usage}\n")
            (folder / "memory.max").write_text(f"{'max' if limit is None else limit}\n")
            (folder / "memory.stat").write_text(f"anon 1\nfile 2\ninactive_file {inactive_file}\n")
            return
        unlimited = 9223372036854771712
        (folder / "memory.usage_in_bytes").write_text(f"{usage}\n")
        (folder / "memory.limit_in_bytes").write_text(f"{limit or unlimited}\n")
        (folder / "memory.stat").write_text(
            f"cache 1\ninactive_file 5\nhierarchical_memory_limit {unlimited}\n"
            f"total_inactive_file {inactive_file}\n"
        )

    def io(self, container_id: str, *, read: int, written: int) -> None:
        folder = self.folder("io", container_id)
        if self.is_v2("io"):
            line = f"254:0 rbytes={read} wbytes={written} rios=2 wios=1 dbytes=0 dios=0\n"
            (folder / "io.stat").write_text(f"8:16 \n{line}")
            return
        (folder / "blkio.throttle.io_service_bytes_recursive").write_text(
            f"254:0 Read {read}\n254:0 Write {written}\n254:0 Sync 0\n254:0 Async 0\n254:0 Discard 0\n"
            f"254:0 Total {read + written}\nTotal {read + written}\n"
        )

    def parent_cpu(self, seconds: float) -> None:
        """CPU seconds of the parent group, which keeps those of the groups that are gone."""
        folder = self.folder("cpuacct", "x").parent
        folder.mkdir(parents=True, exist_ok=True)
        if self.is_v2("cpuacct"):
            (folder / "cpu.stat").write_text(f"usage_usec {round(seconds * 1e6)}\n")
        else:
            (folder / "cpuacct.usage").write_text(f"{round(seconds * 1e9)}\n")

    def remove(self, container_id: str) -> None:
        for controller in ("cpuacct", "cpu", "memory", "io"):
            shutil.rmtree(self.folder(controller, container_id), ignore_errors=True)


def cpu_seconds(cgroups: Cgroups, location: Location) -> float:
    """CPU seconds of a group that was found."""
    return cgroups.usage_seconds(location.cpuacct, unified="cpuacct" in location.unified)
