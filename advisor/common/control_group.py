"""What this process's control groups allow it, version 1 and 2, inside a container and outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def group_folders(controller: str, procfs: str = "/proc", sysfs: str = "/sys") -> Iterator[Path]:
    """The folders of this process's groups for ``controller``, from its own up to where it is mounted."""
    try:
        lines = Path(procfs, "self/cgroup").read_text().splitlines()
    except OSError:
        return
    root = Path(sysfs, "fs/cgroup")
    for line in lines:
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        mounts = [root / controllers, root / controller] if controllers else [root / "unified", root]
        mount = next((folder for folder in mounts if folder.is_dir()), mounts[-1])
        folder = mount / place.lstrip("/")
        # inside a container the group's own path is not visible and its files are at the mount itself
        levels = [folder, *folder.parents] if folder.is_dir() else [mount]
        yield from levels[: levels.index(mount) + 1]


def memory_bytes(procfs: str = "/proc", sysfs: str = "/sys") -> tuple[int, int]:
    """The memory that this process may use in all, and what of it is free.

    The tightest limit of its control groups, else the machine's; 1 GiB where neither is known.
    """
    limits = [_machine(procfs)]
    for folder in group_folders("memory", procfs, sysfs):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            most = _number(folder / limit)
            if most is not None and most < limits[0][0]:
                # files that were read count as used, and are given up first
                held = (_number(folder / used) or 0) - _cached(folder / "memory.stat")
                limits.append((most, max(0, most - held)))
    return min(most for most, _ in limits), min(free for _, free in limits)


def _machine(procfs: str) -> tuple[int, int]:
    try:
        lines = Path(procfs, "meminfo").read_text().splitlines()
        sizes = {line.split()[0]: int(line.split()[1]) << 10 for line in lines}
        return sizes["MemTotal:"], sizes["MemAvailable:"]
    except (OSError, ValueError, LookupError):
        return 1 << 30, 1 << 30


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _cached(path: Path) -> int:
    try:
        words = path.read_text().split()
    except OSError:
        return 0
    return int(words[words.index("inactive_file") + 1]) if "inactive_file" in words else 0
