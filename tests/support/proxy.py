"""A proxy between two programs whose network fails for a while: it cuts, says nothing, or is slow."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Literal

__all__ = ["Mode", "Proxy"]

Mode = Literal["good", "cut", "silent", "slow"]
_RESET = struct.pack("ii", 1, 0)
_SLOW_BYTES, _SLOW_SECONDS = 100, 0.01
_STEP_SECONDS = 0.05


class Proxy:
    """Passes on what comes to ``address`` until `close`; connections that exist share the network's fate."""

    def __init__(self, family: socket.AddressFamily, address: object, target: object) -> None:
        self._family, self._target = family, target
        self._mode: Mode = "good"
        self._server = socket.socket(family)
        self._server.bind(address)
        self._server.listen(100)
        self.address = self._server.getsockname()
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @contextlib.contextmanager
    def network(self, mode: Mode) -> Iterator[None]:
        """How it is for the block."""
        self._mode = mode
        try:
            yield
        finally:
            self._mode = "good"

    def close(self) -> None:
        """Take no further connection."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), name="proxied", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(self._family) as there:
            try:
                there.connect(self._target)
            except OSError:
                return
            back = threading.Thread(target=self._pass_on, args=(there, client), name="back", daemon=True)
            back.start()
            self._pass_on(client, there)
            back.join()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                if self._mode == "cut":  # as when a router forgets a connection: no good-bye
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    return
                if self._mode == "silent" or not select.select([one], [], [], _STEP_SECONDS)[0]:
                    time.sleep(_SLOW_SECONDS)
                    continue
                data = one.recv(_SLOW_BYTES if self._mode == "slow" else 65536)
                other.sendall(data)
                if not data:
                    other.shutdown(socket.SHUT_WR)
                    return
