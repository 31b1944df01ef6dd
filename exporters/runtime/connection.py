"""One client's connection: uvicorn's httptools protocol with limits on size, time and number."""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from exporters.runtime.app import App, Scope

__all__ = ["Connection"]

HEADER_BYTES = 16_384
REQUEST_SECONDS = 10.0
"""From the first byte of a request, or from connecting, to its last byte."""
STALL_SECONDS = 10.0
"""A client that takes nothing of a waiting answer for this long is cut off."""
MAX_CONNECTIONS = 512


class _TooLargeError(Exception):
    """More header than is taken."""


class Connection(HttpToolsProtocol):
    """Bounds what one client can hold: header size, time for a request, time without reading, connections."""

    def __init__(self, *, exporter: App, allowed_sans: frozenset[str] = frozenset(), **keywords: Any) -> None:
        super().__init__(**keywords)
        self._exporter = exporter
        self._allowed_sans = allowed_sans

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._header_bytes = 0
        self._in_header = False
        self._messages = 0
        self._incomplete = True
        self._refused = False
        self._waiting_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, b"too many connections\n")
            return
        if self._allowed_sans and self._allowed_sans.isdisjoint(_peer_names(transport)):
            self._refuse(403, b"certificate is not for an allowed name\n")
            return
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        self._cancel_stall()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._unset_keepalive_if_required()
        message = self._messages
        try:
            self.parser.feed_data(data)
            if self._in_header and message == self._messages:
                self._count(len(data))  # the parser keeps a field to itself until its end
        except httptools.HttpParserUpgrade:
            pass  # no upgrade is offered: the request is answered as it stands
        except (httptools.HttpParserError, _TooLargeError):
            if self._header_bytes > HEADER_BYTES:
                self._refuse(431, b"request header too large\n")
            else:
                self._refuse(400, b"not a valid HTTP request\n")
            return
        if not self._incomplete:
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_late)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Send what needs no waiting here and now, which takes half the time that a task takes.

        Not while earlier answers are still on their way: they would pile up in memory.
        """
        answer = None
        if not self.pipeline and not self.flow.write_paused:
            answer = self._exporter.at_once(cast(Scope, cycle.scope))
        if answer is None:
            super()._start_asgi_task(cycle, app)
            return
        lines = [STATUS_LINE[answer.status]]
        for name, value in answer.headers:
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        body = () if cycle.scope["method"] == "HEAD" else answer.body
        self.transport.writelines((b"".join(lines), *body))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._messages += 1
        self._in_header = self._incomplete = True

    def on_headers_complete(self) -> None:
        self._in_header = False
        super().on_headers_complete()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._incomplete = False

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            raise _TooLargeError

    def _refuse(self, status: int, text: bytes) -> None:
        self._refused = True
        head = STATUS_LINE[status] + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        self.transport.write(head + retry + b"content-length: %d\r\n\r\n" % len(text) + text)
        self.transport.close()

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            if self._header_bytes:
                self._refuse(408, b"request took too long\n")
            else:
                self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_stall()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_stall()

    def _watch_stall(self) -> None:
        self._waiting_bytes = self._unread()
        self._stall = self.loop.call_later(STALL_SECONDS, self._check_stall)

    def _check_stall(self) -> None:
        if self._unread() < self._waiting_bytes:
            self._watch_stall()
        else:
            self.transport.abort()

    def _unread(self) -> int:
        """Bytes the client has not taken: in our buffer and in the kernel's, which may hold megabytes."""
        queued = bytearray(4)
        fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


def _peer_names(transport: Any) -> list[str]:
    """The subject alternative names of the client's certificate."""
    certificate = transport.get_extra_info("peercert") or {}
    return [str(value) for _, value in certificate.get("subjectAltName", ())]
