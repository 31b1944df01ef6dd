"""A client that asks and does not read, found by the bytes that it leaves."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios

__all__ = ["StallWatch"]

STALL_SECONDS = 10.0
"""A client that takes nothing of a waiting answer for this long is cut off."""


class StallWatch:
    """Looks at one connection from `begin` to `end`; a slow reader that goes on reading is left alone."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._left_bytes = 0

    def begin(self) -> None:
        """An answer waits for its reader."""
        self._left_bytes = self._unread()
        self._timer = self._loop.call_later(STALL_SECONDS, self._check)

    def end(self) -> None:
        """It was taken, or the client is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        if self._unread() < self._left_bytes:
            self.begin()
        else:
            self._transport.abort()

    def _unread(self) -> int:
        """Bytes the client has not taken: in our buffer and in the kernel's, which may hold megabytes."""
        queued = bytearray(4)
        fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self._transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)
