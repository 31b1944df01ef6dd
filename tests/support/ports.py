"""Ports of this machine that nobody listens on."""

from __future__ import annotations

import socket

__all__ = ["free_port", "free_ports"]

_given: set[int] = set()


def free_port() -> int:
    """One on loopback, never the same twice in a process."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def free_ports(count: int) -> list[int]:
    """Several of them."""
    return [free_port() for _ in range(count)]
