"""Control group files of containers: v1, v2 and hybrid hosts, decided per controller.

A hybrid host has some controllers in v1 hierarchies and the others in the unified one, so there is no
single version to ask for: each controller is read where it is. A container's folder is ``<id>``, or the
``<engine>-<id>.scope`` of an engine that is known; any other name with the id in it is another process's
(``libpod-conmon-<id>.scope``, ``...-<id>-shm.mount``) unless the container's process is seen in it. The
parent is learned from the container's process or found by looking through the tree.

File formats: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the Linux kernel.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from advisor.containers.counts import Counts
from advisor.containers.records import Details

_T = TypeVar("_T")

TEMPLATES = ("docker/{}", "system.slice/docker-{}.scope")
UNLIMITED_BYTES = 1 << 62
"""v1 writes "no limit" as the largest number of whole pages; no machine has half of that."""
WALK_SECONDS = 10.0
WALK_DEPTH = 12
"""kind in a rootless engine's container: its node is six folders down, a pod four more."""
_MOST_DIGITS = 20
# libpod-payload: podman in a unit of its own (Quadlet); kata_: the machine of a Kata container;
# slice:docker:, a runtime that was told the other driver than its engine
_CONTAINER = re.compile(
    r"(?:(?:docker|libpod|libpod-payload|crio|cri-containerd|nerdctl)-|kata_|[\w.-]+:[\w-]+:)?"
    r"([0-9a-zA-Z]+)(?:\.scope)?"
)
# Kata keeps the machine's monitor in kata_overhead/<id>, and its processors elsewhere
_MONITORS = ("conmon", ".mount", "kata_overhead/")
_DEVICE = re.compile(r"[0-9]{1,10}:[0-9]{1,10}")
_UNITS = (".slice", ".service", ".scope")


class Location(Struct, frozen=True):
    """The folders of one container, by controller; None where the controller does not know it."""

    cpuacct: str
    """Counts CPU time; exists for every container that is found."""
    cpu: str | None
    memory: str | None
    io: str | None
    unified: frozenset[str]
    """Which of ``cpuacct``, ``cpu``, ``memory`` and ``io`` are read as v2."""
    relative: str
    """The path below the root of the hierarchy, without a leading slash."""


class Cgroups:
    """Finds containers in the control group tree and reads their files.

    Parameters
    ----------
    cgroupfs, procfs, sysfs
        Where the host's file systems are mounted.
    counts
        Takes the reason of everything that could not be read, under ``cgroup``.
    """

    def __init__(
        self,
        cgroupfs: str = "/sys/fs/cgroup",
        procfs: str = "/proc",
        sysfs: str = "/sys",
        *,
        counts: Counts | None = None,
    ) -> None:
        self._procfs, self._sysfs = procfs, sysfs
        self._counts = counts or Counts()
        self._roots = _roots(cgroupfs)
        self._templates = list(TEMPLATES)
        self._stacked: dict[str, bool] = {}
        self._next_walk = -WALK_SECONDS
        self._walked: dict[str, str] = {}
        """The folder of each container by its id, as the last walk saw them."""

    @property
    def readable(self) -> bool:
        """Whether there is a tree that counts CPU time."""
        return "cpuacct" in self._roots

    def locate(self, container_id: str, pid: int | None = None) -> Location | None:
        """Where a container's files are; None when they cannot be seen from here."""
        if not self.readable:
            return None
        root, unified = self._roots["cpuacct"]
        relative = (
            # its process first: another folder of its name may have been left behind, or be counted elsewhere
            self._by_process(root, unified, container_id, pid)
            or self._by_template(root, container_id)
            or self._by_walking(root, container_id)
        )
        return None if relative is None else self.location(relative)

    def location(self, relative: str) -> Location:
        """The folders of the group at a path below the root."""
        root, _ = self._roots["cpuacct"]
        folders = {name: self._folder(name, relative) for name in ("cpu", "memory", "io")}
        return Location(
            cpuacct=f"{root}/{relative}",
            **folders,
            unified=frozenset(name for name, (_, v2) in self._roots.items() if v2),
            relative=relative,
        )

    def usage_seconds(self, folder: str, *, unified: bool) -> float:
        """CPU seconds of a group and all that ever ran below it.

        Raises
        ------
        OSError
            The group is gone.
        ValueError
            The file holds no such number.
        """
        if unified:
            values = _keyed(read_bytes(f"{folder}/cpu.stat"))
            if "usage_usec" not in values:
                raise ValueError("no usage_usec in cpu.stat")
            return values["usage_usec"] / 1e6
        return whole(read_bytes(f"{folder}/cpuacct.usage")) / 1e9

    def parents(self) -> Iterator[tuple[str, bool]]:
        """Folders that an engine keeps its containers in (cgroupfs driver), and whether they are v2."""
        if self.readable:
            root, unified = self._roots["cpuacct"]
            # each pod has a parent of its own, which goes with it
            self._templates = [t for t in self._templates if t in TEMPLATES or Path(root, t).parent.is_dir()]
            parents = (template.rpartition("/")[0] for template in self._templates)
            # a unit's folder holds processes or units of its own beside them
            yield from ((f"{root}/{p}", unified) for p in parents if p and not p.endswith(_UNITS))

    def details(self, location: Location) -> Details:
        """Everything but CPU time; a file that cannot be read leaves its fields unknown and is counted."""
        usage, limit = self._memory(location)
        read, write = self._io(location)
        return Details(
            throttled_seconds=self._throttled(location),
            memory_working_set_bytes=usage,
            memory_limit_bytes=limit,
            block_read_bytes=read,
            block_write_bytes=write,
        )

    def _throttled(self, location: Location) -> float | None:
        if location.cpu is None:
            return None
        values = self._try(_keyed, f"{location.cpu}/cpu.stat") or {}
        name, unit = ("throttled_usec", 1e6) if "cpu" in location.unified else ("throttled_time", 1e9)
        return values[name] / unit if name in values else None

    def _memory(self, location: Location) -> tuple[int | None, int | None]:
        """Working set (usage without the file pages that can be dropped at once) and limit, in bytes."""
        if location.memory is None:
            return None, None
        folder = location.memory
        values = self._try(_keyed, f"{folder}/memory.stat") or {}
        if "memory" in location.unified:
            usage = self._try(whole, f"{folder}/memory.current")
            inactive = values.get("inactive_file")
            root = Path(self._roots["memory"][0])
            groups = [place for place in (Path(folder), *Path(folder).parents) if root in place.parents]
            limits = [self._try(_limit, f"{group}/memory.max") for group in groups]
        else:
            usage = self._try(whole, f"{folder}/memory.usage_in_bytes")
            inactive = values.get("total_inactive_file")
            limits = [self._try(_limit, f"{folder}/memory.limit_in_bytes")]
            limits.append(values.get("hierarchical_memory_limit"))
        set_limits = [limit for limit in limits if limit is not None and limit < UNLIMITED_BYTES]
        working_set = None if usage is None or inactive is None else max(0, usage - inactive)
        return working_set, min(set_limits, default=None)

    def _io(self, location: Location) -> tuple[int | None, int | None]:
        if location.io is None:
            return None, None
        if "io" in location.unified:
            rows = self._try(_io_v2, f"{location.io}/io.stat")
        else:
            rows = self._try(_io_v1, f"{location.io}/blkio.throttle.io_service_bytes_recursive")
        if rows is None:
            return None, None
        disks = [row for row in rows if not self._is_stacked(row[0])]
        return sum(row[1] for row in disks), sum(row[2] for row in disks)

    def _is_stacked(self, device: str) -> bool:
        """Whether a device (dm, md) passes its traffic to others, which count the same bytes again."""
        if device not in self._stacked:
            try:
                self._stacked[device] = any(Path(f"{self._sysfs}/dev/block/{device}/slaves").iterdir())
            except OSError:
                self._stacked[device] = False
        return self._stacked[device]

    def _try(self, parse: Callable[[bytes], _T], path: str) -> _T | None:
        try:
            return parse(read_bytes(path))
        except FileNotFoundError:  # a controller that is off, or a container that just ended
            return None
        except OSError:
            self._counts.add("cgroup", "unreadable")
        except (ValueError, KeyError, IndexError):
            self._counts.add("cgroup", "malformed")
        return None

    def _folder(self, controller: str, relative: str) -> str | None:
        if controller not in self._roots:
            return None
        path = f"{self._roots[controller][0]}/{relative}"
        return path if Path(path).is_dir() else None

    def _by_template(self, root: str, container_id: str) -> str | None:
        for template in self._templates:
            relative = template.format(container_id)
            if Path(root, relative).is_dir():
                return relative
        return None

    def _by_process(self, root: str, unified: bool, container_id: str, pid: int | None) -> str | None:
        if pid is None:
            return None
        try:
            lines = read_bytes(f"{self._procfs}/{pid}/cgroup").decode(errors="replace").splitlines()
        except OSError:
            return None
        for line in lines:
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if unified == (controllers == ""):
                relative = _upto(path, container_id)
                if relative is not None and Path(root, relative).is_dir():
                    return self._learn(relative, container_id)
        return None

    def _by_walking(self, root: str, container_id: str) -> str | None:
        """Look through the whole tree, at most once in a while: it may hold thousands of groups."""
        now = time.monotonic()
        if now >= self._next_walk:
            self._next_walk = now + WALK_SECONDS
            self._walked = _container_folders(root)
        relative = self._walked.get(container_id)
        if relative is None or not Path(root, relative).is_dir():
            return None
        return self._learn(relative, container_id)

    def _learn(self, relative: str, container_id: str) -> str:
        template = relative.replace(container_id, "{}")
        if "{" not in relative and template not in self._templates:
            self._templates.append(template)
        return relative


def read_bytes(path: str) -> bytes:
    """A whole kernel file, without the layers that ``open`` puts between (a third of the time)."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        data = os.read(fd, 65536)
        while more := os.read(fd, 65536) if data else b"":
            data += more
        return data
    finally:
        os.close(fd)


def _roots(cgroupfs: str) -> dict[str, tuple[str, bool]]:
    """The folder of each controller and whether it is v2.

    ``cpuacct`` is its own controller in v1; in v2 every group counts its CPU time.
    """
    base = Path(cgroupfs)
    unified = next((p for p in (base, base / "unified") if (p / "cgroup.controllers").is_file()), None)
    roots: dict[str, tuple[str, bool]] = {}
    if unified is not None:
        listed = set((unified / "cgroup.controllers").read_text().split())
        roots = {name: (str(unified), True) for name in ("cpu", "memory", "io") if name in listed}
        roots["cpuacct"] = (str(unified), True)
    if unified == base:
        return roots
    for folder in sorted(base.iterdir()) if base.is_dir() else ():
        for name in folder.name.split(","):
            # an empty folder is none where a controller is mounted: containers leave such behind
            if name in ("cpuacct", "cpu", "memory", "blkio") and folder.is_dir() and any(folder.iterdir()):
                roots["io" if name == "blkio" else name] = (str(folder), False)
    return roots


def groups_below(root: str) -> Iterator[tuple[str, list[str]]]:
    """The groups of a hierarchy from its root on: the path of one, and the names of those in it, sorted.

    What the caller takes out of the names is not looked into.
    """
    for folder, names, _ in os.walk(root):
        path = folder.removeprefix(root).lstrip("/")
        names.sort()
        yield path, names
        if path.count("/") >= WALK_DEPTH:
            names.clear()


def _container_folders(root: str) -> dict[str, str]:
    """The folders below ``root`` that are named as a container's is, by the name's id; of two the first."""
    folders: dict[str, str] = {}
    for parent, names in groups_below(root):
        for name in names:
            path = f"{parent}/{name}".lstrip("/")
            container = _CONTAINER.fullmatch(name)
            if container is not None and not _belongs_to_monitor(path):
                folders.setdefault(container[1], path)
    return folders


def _belongs_to_monitor(path: str) -> bool:
    return any(word in path for word in _MONITORS)


def _upto(path: str, container_id: str) -> str | None:
    """The path up to the container's own folder: its init may sit in a group of its own below.

    A process that is seen from another cgroup namespace begins with ``/..``. None where the process is that
    of another container, or of a monitor.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for place, part in enumerate(parts):
        if container_id in part and not _belongs_to_monitor("/".join(parts[: place + 1])):
            return "/".join(parts[: place + 1])
    return None


def _keyed(data: bytes) -> dict[str, int]:
    """``name number`` on each line; a line of another form is no reason to lose the others."""
    values = {}
    for line in data.split(b"\n"):
        name, _, number = line.partition(b" ")
        if number.isdigit() and len(number) <= _MOST_DIGITS:
            values[name.decode()] = int(number)
    if not values:
        raise ValueError("no value in a keyed file")
    return values


def _limit(data: bytes) -> int | None:
    return None if data.strip() == b"max" else whole(data)


def whole(data: bytes) -> int:
    """A count as the kernel writes it, which has 64 bits; ValueError for anything else."""
    text = data.strip()
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise ValueError(f"expected a count, found {text[:40]!r}")
    return int(text)


def _io_v2(data: bytes) -> list[tuple[str, int, int]]:
    """``MAJ:MIN rbytes=N wbytes=N ...`` on each line: device, bytes read, bytes written.

    A device without traffic has a bare line, or stands before the next one on its line (Linux 5.8 to 5.16).
    One that the kernel calls ``(unknown)`` is a path of a disk that has a line as well.
    """
    rows = []
    for words in map(str.split, data.decode().splitlines()):
        values = dict(word.split("=", 1) for word in words if "=" in word)
        device = next((word for word in reversed(words) if "=" not in word), "")
        if "rbytes" in values and _DEVICE.fullmatch(device):
            read, written = (whole(values[name].encode()) for name in ("rbytes", "wbytes"))
            rows.append((device, read, written))
    return rows


def _io_v1(data: bytes) -> list[tuple[str, int, int]]:
    """``MAJ:MIN Read N`` and ``MAJ:MIN Write N`` lines, then totals: device, bytes read, bytes written."""
    devices: dict[str, dict[str, int]] = {}
    for line in data.decode().splitlines():
        device, *rest = line.split()
        if len(rest) == 2 and _DEVICE.fullmatch(device):
            devices.setdefault(device, {})[rest[0]] = whole(rest[1].encode())
    return [(device, v.get("Read", 0), v.get("Write", 0)) for device, v in devices.items()]
