"""What this process's control groups allow it, version 1 and 2, inside a container and outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MOST_DIGITS = 20
"""Of the kernel's counts, which have 64 bits."""


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
    limits = [tuple(_meminfo_bytes(name, procfs) or 1 << 30 for name in ("MemTotal:", "MemAvailable:"))]
    for folder in group_folders("memory", procfs, sysfs):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            most = _number(folder / limit)
            if most is not None and most < limits[0][0]:
                # files that were read count as used, and are given up first
                held = (_number(folder / used) or 0) - (_number(folder / "memory.stat", "inactive_file") or 0)
                limits.append((most, max(0, most - held)))
    return min(most for most, _ in limits), min(free for _, free in limits)


def machine_memory_bytes(procfs: str = "/proc") -> int | None:
    """The machine's memory; None when it cannot be read."""
    return _meminfo_bytes("MemTotal:", procfs)


def _meminfo_bytes(name: str, procfs: str) -> int | None:
    kibibytes = _number(Path(procfs, "meminfo"), name)
    return None if kibibytes is None else kibibytes << 10


def _number(path: Path, name: str | None = None) -> int | None:
    """The number of a kernel file, or the one behind ``name`` in a file of several."""
    try:
        words = path.read_text(errors="replace").split()
    except OSError:
        return None
    place = 0 if name is None else words.index(name) + 1 if name in words else len(words)
    number = words[place] if place < len(words) else ""
    return int(number) if number.isdecimal() and len(number) <= _MOST_DIGITS else None
