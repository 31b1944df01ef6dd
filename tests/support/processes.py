"""What other processes run."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["MARK", "command_line", "ffmpegs_of", "marked"]

MARK = "WATTFRAME_TEST_MARK"
"""A variable of the environment: whatever is started inherits it."""


def command_line(pid: int) -> bytes:
    """The arguments of a process, each ended by a zero byte; empty once it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def marked(value: str) -> list[int]:
    """The processes that live and have ``value`` in `MARK`."""
    wanted = f"{MARK}={value}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def ffmpegs_of(folder: Path) -> list[int]:
    """The measured ffmpeg processes that write to ``folder``."""
    wanted = str(folder).encode()
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    lines = {pid: command_line(pid).split(b"\0") for pid in pids}
    return [pid for pid, words in lines.items() if b"-progress" in words and any(wanted in w for w in words)]
