"""One client's connection: uvicorn's HTTP/1.1, with the limits on what a client can hold that it lacks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEADER_BYTES = 16_384
REQUEST_SECONDS = 10.0
"""From the first byte of a request, or from connecting, to its last byte."""
ANSWER_SECONDS = 30.0
"""For an answer that does not fit into the kernel's buffers to be taken by the client."""
IDLE_SECONDS = 50
"""Longer than most scrape intervals, so that Prometheus keeps its connection."""
HANDSHAKE_SECONDS = 10.0
_ACCEPT_AGAIN_SECONDS = 0.1
MAX_CONNECTIONS = 512
MAX_PIPELINED = 100
_PIECE_BYTES = 16_384


_REQUEST_LINE_BYTES, _FIELD_BYTES = 16, 4
"""What stands around an address and around a field: method, version, colon, spaces, line ends."""


class _RefusedError(Exception):
    """More than is taken of one client."""


class BoundedConnection(HttpToolsProtocol):
    """Bounds the header, the time of a request, the time for taking an answer, and the number of clients."""

    def __init__(self, config: Config, state: ServerState, allowed_sans: Collection[str] = ()) -> None:
        super().__init__(config, state, app_state={}, _loop=asyncio.get_running_loop())
        self.timeout_keep_alive = IDLE_SECONDS
        self._allowed_sans = frozenset(allowed_sans)
        self._header_bytes = 0
        self._in_header = False
        self._ending = False
        self._refusal = (400, "not a valid HTTP request")
        self._request_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, "too many connections")
        elif self._allowed_sans and self._allowed_sans.isdisjoint(_peer_names(transport)):
            self._refuse(403, "certificate is not for an allowed name")
        else:
            self._request_timer = self.loop.call_later(REQUEST_SECONDS, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._request_timer, self._answer_timer, self.timeout_keep_alive_task):
            if timer is not None:
                timer.cancel()
        self.pipeline.clear()
        super().connection_lost(exc)

    @property
    def _busy(self) -> bool:
        """Whether an answer is on its way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _end(self) -> None:
        """Close behind the answers that are on their way, at the latest when they should have been taken."""
        self._ending = True
        if not self._busy:
            self.transport.close()
            self._limit_answer()

    def _limit_answer(self) -> None:
        """The client takes what is written within a time, or is left."""
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(ANSWER_SECONDS, self._not_taken)

    def _not_taken(self) -> None:
        self._answer_timer = None
        if self._owes or self.transport.is_closing():
            self.transport.abort()

    @property
    def _owes(self) -> bool:
        """Whether the client has yet to take something."""
        return self._busy or self.transport.get_write_buffer_size() > 0

    def _look_whether_taken(self) -> None:
        if self._answer_timer is not None and not self._owes and not self.transport.is_closing():
            self._answer_timer.cancel()
            self._answer_timer = None

    def shutdown(self) -> None:
        super().shutdown()
        self._end()

    def eof_received(self) -> bool:  # type: ignore[override]
        """A client that sends no more still gets what it asked for; over TLS both ways end at once."""
        self._end()
        return self.scheme == "http"

    def data_received(self, data: bytes) -> None:
        self._look_whether_taken()
        for start in range(0, len(data), _PIECE_BYTES):
            if self._ending:
                return
            counted = self._header_bytes
            super().data_received(data[start : start + _PIECE_BYTES])
            if self._in_header and self._header_bytes == counted:
                # the parser keeps a field to itself until its end
                self._header_bytes += min(len(data) - start, _PIECE_BYTES)
                if self._header_bytes > HEADER_BYTES:
                    self._refuse(431, "request header too large")
        if self._request_timer is None and not (self._busy or self._ending):
            self._request_timer = self.loop.call_later(REQUEST_SECONDS, self._too_late)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes, self._in_header = 0, True
        if self._request_timer is None:
            self._request_timer = self.loop.call_later(REQUEST_SECONDS, self._too_late)

    def on_url(self, url: bytes) -> None:
        self._count(len(url) + _REQUEST_LINE_BYTES)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + _FIELD_BYTES)
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            self._refusal = (431, "request header too large")
            raise _RefusedError

    def on_headers_complete(self) -> None:
        self._in_header = False
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refusal = (429, "too many requests at once")
            raise _RefusedError
        # a client that waits for "100 Continue" may or may not send its body after an answer
        last = self.expect_100_continue or self.parser.should_upgrade()
        super().on_headers_complete()
        if last:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing() or self._owes:
            self._limit_answer()
        if self.transport.is_closing():
            return
        if self._ending and not self._busy:
            self._end()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP, and what one of the callbacks above refused."""
        self._refuse(*self._refusal)

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

    def _too_late(self) -> None:
        self._request_timer = None
        if self._in_header and self._header_bytes:
            self._refuse(408, "request took too long")
        else:
            self._end()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._limit_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look_whether_taken()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also one whose client did not take all of its last answer."""
        self.transport.abort()


class TlsListener:
    """Accepts clients over TLS; who has yet to shake hands counts among the connections.

    asyncio's own server tells of a client when its handshake is done: any number could wait before it.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        connection: Callable[[], BoundedConnection],
        state: ServerState,
    ) -> None:
        sock.setblocking(False)
        self._sock, self._context, self._connection, self._state = sock, context, connection, state
        self._shaking: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._look()

    def _look(self) -> None:
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        # at once and not in a task: one that is cancelled would take a client along that it has just accepted
        try:
            client, _ = self._sock.accept()
        except (BlockingIOError, ConnectionAbortedError):  # taken by another listener, or gone again
            return
        except OSError:  # no descriptor is free
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(_ACCEPT_AGAIN_SECONDS, self._look)
            return
        if len(self._state.connections) + len(self._shaking) >= MAX_CONNECTIONS:
            client.close()
            return
        client.setblocking(False)
        task = self._loop.create_task(self._shake(client))
        self._shaking.add(task)
        task.add_done_callback(self._shaking.discard)

    async def _shake(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._connection, client, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )

    def close(self) -> None:
        """Accept no more; handshakes go on."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    async def wait_closed(self) -> None:
        """As asyncio's servers have it."""


def _peer_names(transport: asyncio.BaseTransport) -> list[str]:
    """The subject alternative names of the client's certificate."""
    certificate: dict[str, Any] = transport.get_extra_info("peercert") or {}
    return [str(value) for _, value in certificate.get("subjectAltName", ())]
