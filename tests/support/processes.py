"""What other processes run."""

from __future__ import annotations

from pathlib import Path

__all__ = ["command_line", "ffmpegs_of"]


def command_line(pid: int) -> bytes:
    """The arguments of a process, each ended by a zero byte; empty once it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def ffmpegs_of(folder: Path) -> list[int]:
    """The measured ffmpeg processes that write to ``folder``."""
    wanted = str(folder).encode()
    pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    lines = {pid: command_line(pid).split(b"\0") for pid in pids}
    return [pid for pid, words in lines.items() if b"-progress" in words and any(wanted in w for w in words)]
