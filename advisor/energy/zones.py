"""One zone of the kernel's powercap tree: what it is, and the bounded reads of its files."""

from __future__ import annotations

import os
import stat

from msgspec import Struct

from advisor.energy.explanations import Bounds

DOMAINS = ("package", "core", "uncore", "dram", "psys")
"""Domains in the order they are listed; core and uncore lie inside package, psys contains it."""
_LONGEST_FILE = 4096
_MOST_DIGITS = 20  # of 64 bits


class ZoneReadError(Exception):
    """One read that gave no value; ``reason`` is a label value.

    ``permission``, ``missing``, ``blocked`` (it waits for ever, or could), ``malformed`` or ``io``.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Zone(Struct, frozen=True):
    """One zone directory.

    ``name`` is the domain and the socket (``package_0``), and the die where a socket has several
    (``package_0_die_1``).
    """

    name: str
    domain: str
    socket: int
    entry: str
    """The kernel's name of the directory, ``intel-rapl:0:1``."""
    path: str
    """The directory as found under the root that was given."""
    shown_path: str
    """The same below the root, so that a container and its host name it alike."""
    range_microjoules: int | None
    bounds: Bounds
    """What the zone can draw."""
    twin_of: str | None = None
    """The zone whose counter this one shows a second time (mmio beside msr)."""


def read_microjoules(path: str) -> int:
    """The counter in ``path/energy_uj``.

    The file is opened anew each time: one that was replaced, locked or turned into something else under a
    kept descriptor would go on giving its last value.

    Raises
    ------
    ZoneReadError
        No value.
    """
    text = _read(f"{path}/energy_uj").strip()
    if not text.isdigit() or len(text) > _MOST_DIGITS:
        raise ZoneReadError("malformed")
    return int(text)


def read_line(path: str) -> str:
    """A short text; raises ZoneReadError."""
    return _read(path).decode("ascii", "replace").strip()


def try_line(path: str) -> str | None:
    """The same, None where it is empty or cannot be read."""
    try:
        return read_line(path) or None
    except ZoneReadError:
        return None


def read_positive(path: str) -> int | None:
    """A whole number above 0, None for anything else."""
    text = try_line(path)
    return int(text) or None if text and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        raise ZoneReadError(reason_of(exc)) from exc
    try:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ZoneReadError("blocked")  # a pipe or a device could wait for ever
        return os.read(descriptor, _LONGEST_FILE)
    except OSError as exc:
        raise ZoneReadError(reason_of(exc)) from exc
    finally:
        os.close(descriptor)


def reason_of(exc: OSError) -> str:
    """Why a file gave nothing, as a label value."""
    if isinstance(exc, PermissionError):
        return "permission"
    if isinstance(exc, (FileNotFoundError, NotADirectoryError)):
        return "missing"
    if isinstance(exc, BlockingIOError):
        return "blocked"
    return "io"
