"""Ports of this machine that nobody listens on."""

from __future__ import annotations

import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

__all__ = ["free_port", "free_ports"]

_BELOW_EPHEMERAL = range(18_000, 32_000)
"""The kernel gives those above to connections, and a test's server may come too late."""
_held: list[IO[str]] = []


def free_port() -> int:
    """One on loopback that no other process of the tests is given while this one lives."""
    folder = Path(tempfile.gettempdir(), "wattframe-ports")
    folder.mkdir(exist_ok=True)
    while True:
        port = random.choice(_BELOW_EPHEMERAL)
        lock = (folder / str(port)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return port


def free_ports(count: int) -> list[int]:
    """Several of them."""
    return [free_port() for _ in range(count)]
