"""One client's connection: uvicorn's HTTP/1.1, with the limits on what a client can hold that it lacks.

A request has a time to arrive, an answer a time to be taken. The server looks every second whether one of
them is over (`BoundedConnection.check_time`), so that no request starts or ends a timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from exporters.runtime.web_config import Web

HEADER_BYTES = 16_384
REQUEST_SECONDS = 10.0
"""From the first byte of a request, or from connecting, to its last byte."""
ANSWER_SECONDS = 30.0
"""For all that was written to be taken by the client."""
IDLE_SECONDS = 75
"""Longer than a minute: so often Prometheus scrapes, and so long proxies use a connection again."""
HANDSHAKE_SECONDS = 10.0
_BACKLOG = 1024
_ACCEPT_AGAIN_SECONDS = 0.1
MAX_CONNECTIONS = 512
MAX_PIPELINED = 100
_PIECE_BYTES = 4096
"""A header is found too large at its end, or so many bytes too late."""
_ORIGIN = re.compile(rb"^https?://([\w.~-]+|\[[\da-f:.]+\])(:\d*)?(?![^/?])/?", re.IGNORECASE)


class _RefusedError(Exception):
    """More than is taken of one client."""


class BoundedConnection(HttpToolsProtocol):
    """Bounds the header, the time of a request, the time for taking an answer, and the number of clients."""

    def __init__(self, config: Config, state: ServerState, web: Web) -> None:
        super().__init__(config, state, app_state={}, _loop=asyncio.get_running_loop())
        self.timeout_keep_alive = IDLE_SECONDS
        self._web = web
        self._header_bytes = 0
        self._in_header = False
        self._ending = False
        self._request_since: float | None = self.loop.time()
        self._taken_at = self.loop.time()
        """When the client was last seen to owe nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, "too many connections")
        elif not self._is_allowed:
            self._refuse(403, "certificate is not for an allowed name")

    def connection_lost(self, exc: Exception | None) -> None:
        self.pipeline.clear()
        super().connection_lost(exc)

    @property
    def _is_allowed(self) -> bool:
        """Whether the web configuration of now lets this client in; it may have come under another."""
        if self._web.tls is None:
            return True
        context, sans = self._web.tls
        certificate: dict[str, Any] = self.transport.get_extra_info("peercert") or {}
        names = {str(value) for _, value in certificate.get("subjectAltName", ())}
        has_proof = bool(certificate) or context.verify_mode is not ssl.CERT_REQUIRED
        return self.scheme == "https" and has_proof and (not sans or not sans.isdisjoint(names))

    @property
    def _busy(self) -> bool:
        """Whether an answer is on its way."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _owes(self) -> bool:
        """Whether the client has yet to take something, were it the end."""
        return self._busy or self.transport.get_write_buffer_size() > 0 or self.transport.is_closing()

    def check_time(self, now: float) -> None:
        """End a request that takes too long to arrive, leave a client that does not take its answer."""
        if not self._owes:
            self._taken_at = now
        elif now - self._taken_at > ANSWER_SECONDS:
            self.transport.abort()
        if self._request_since is not None and now - self._request_since > REQUEST_SECONDS:
            self._request_since = None
            if self._in_header:
                self._refuse(408, "request took too long")
            else:
                self._end()

    def _end(self) -> None:
        """Close behind the answers that are on their way."""
        self._ending = True
        if not self._busy:
            self.transport.close()

    def shutdown(self) -> None:
        super().shutdown()
        self._end()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that sends no more still gets what it asked for; over TLS both ways end at once."""
        self._end()
        return self.scheme == "http"

    def data_received(self, data: bytes) -> None:
        if not self._owes:
            self._taken_at = self.loop.time()
        if self._request_since is None:
            self._request_since = self.loop.time()
        for start in range(0, len(data), _PIECE_BYTES):
            if self._ending:
                return
            piece = data[start : start + _PIECE_BYTES]
            super().data_received(piece)
            if self._in_header:
                # whatever the parser keeps to itself of it
                self._header_bytes += len(piece)
                if self._header_bytes >= HEADER_BYTES:
                    self._refuse(431, f"request header over {HEADER_BYTES >> 10} KiB")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes, self._in_header = 0, True
        if self._request_since is None:
            self._request_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._in_header = False
        if not self._is_allowed:
            self._end()
            raise _RefusedError
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse(429, "too many requests at once")
            raise _RefusedError
        # a client that waits for "100 Continue" may or may not send its body after an answer; that of one in
        # chunks ends in fields, which the parser would keep whatever their length
        chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        last = self.expect_100_continue or self.parser.should_upgrade() or chunked
        # a proxy may name the host as well, in which uvicorn takes no underscore, and leave out the path
        self.url = _ORIGIN.sub(b"/", self.url)
        super().on_headers_complete()
        if last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._request_since = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._ending:
            self._end()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP; of what was refused already nothing more is said."""
        self._refuse(400, "not a valid HTTP request")

    def _refuse(self, status: int, text: str) -> None:
        """Hang up, with a word where no answer is on its way: answers come in order."""
        if not self._busy and not self._ending:
            lines = [
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
                "content-type: text/plain; charset=utf-8",
            ]
            lines += [f"content-length: {len(text) + 1}", "connection: close"]
            lines += ["retry-after: 1"] if status == 503 else []
            self.transport.write("\r\n".join([*lines, "", f"{text}\n"]).encode())
        self._end()


class Listener:
    """Accepts clients, and meets each as the web configuration asks for at that moment.

    One that has yet to shake hands counts among the connections. asyncio's own server tells of a client when
    its handshake is done: any number could wait before it.
    """

    def __init__(self, sock: socket.socket, web: Web, config: Config, state: ServerState) -> None:
        sock.setblocking(False)
        sock.listen(_BACKLOG)
        self._sock, self._web, self._config, self._state = sock, web, config, state
        self._arriving: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._look()

    def _look(self) -> None:
        if self._sock.fileno() >= 0:
            self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        # at once and not in a task: one that is cancelled would take a client along that it has just accepted
        try:
            client, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):  # gone again
            return
        except OSError:  # no descriptor is free
            self._loop.remove_reader(self._sock)
            self._loop.call_later(_ACCEPT_AGAIN_SECONDS, self._look)
            return
        is_full = len(self._state.connections) + len(self._arriving) >= MAX_CONNECTIONS
        if is_full and self._web.tls is not None:
            client.close()
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._meet(client))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _meet(self, client: socket.socket) -> None:
        context, _ = self._web.tls or (None, None)
        seconds = HANDSHAKE_SECONDS if context is not None else None
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                lambda: BoundedConnection(self._config, self._state, self._web),
                client,
                ssl=context,
                ssl_handshake_timeout=seconds,
            )

    def close(self) -> None:
        """Accept no more; handshakes go on."""
        self._loop.remove_reader(self._sock)
        self._sock.close()

    async def wait_closed(self) -> None:
        """As asyncio's servers have it."""
