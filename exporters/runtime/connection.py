"""One client's connection: HTTP/1.1 by httptools, with limits on what a client can hold and how long."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote

import httptools

from exporters.runtime.app import Answer, App, Request
from exporters.runtime.negotiation import Wish
from exporters.runtime.stall import StallWatch

__all__ = ["Connection"]

HEADER_BYTES = 16_384
REQUEST_SECONDS = 10.0
"""From the first byte of a request, or from connecting, to its last byte."""
IDLE_SECONDS = 75.0
"""Longer than the usual scrape interval, so that Prometheus keeps its connection."""
MAX_CONNECTIONS = 512
_STATUS_LINES = {s.value: b"HTTP/1.1 %d %b\r\n" % (s.value, s.phrase.encode()) for s in HTTPStatus}


class _TooLargeError(Exception):
    """More header than is taken."""


class _Asked(Request, frozen=True):
    """A request on its way; after the answer to one that is the ``last`` the connection is closed."""

    last: bool = False


class Connection(asyncio.Protocol):
    """Answers are sent right here where nothing has to be waited for, which takes half the time that a task
    takes; requests that come while an earlier answer is on its way wait, and nothing more is read.
    """

    def __init__(
        self, app: App, connections: set[Connection], allowed_sans: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._connections = connections
        self._allowed_sans = allowed_sans
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # what comes behind a last request is dropped in silence; it is no reason to refuse that request
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._header_bytes = 0
        self._in_header = False
        self._messages = 0
        self._incomplete = True
        self._refused = False
        self._ending = False
        self._writable = True
        self._reading = True
        self._waiting: deque[_Asked] = deque()
        self._task: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._answered_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._stall = StallWatch(self._transport, self._loop)
        self._connections.add(self)
        if len(self._connections) > MAX_CONNECTIONS:
            self._refuse(503, b"too many connections\n")
        elif self._allowed_sans and self._allowed_sans.isdisjoint(_peer_names(transport)):
            self._refuse(403, b"certificate is not for an allowed name\n")
        else:
            self._deadline = self._loop.call_later(REQUEST_SECONDS, self._too_late)
            self._idle = self._loop.call_later(IDLE_SECONDS, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._waiting.clear()
        self._stall.end()
        for timer in (self._deadline, self._idle):
            if timer is not None:
                timer.cancel()

    def eof_received(self) -> bool:
        """A client that sends no more still gets what it asked for."""
        self._ending = True
        over_tls = self._transport.get_extra_info("ssl_object") is not None  # which ends both ways at once
        return self._busy and not over_tls

    @property
    def _busy(self) -> bool:
        return self._task is not None or bool(self._waiting)

    def shutdown(self) -> None:
        """Close as soon as what was asked is answered."""
        self._ending = True
        if not self._busy:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._refused or self._ending:
            return
        message = self._messages
        try:
            self._parser.feed_data(data)
            if self._in_header and message == self._messages:
                self._count(len(data))  # the parser keeps a field to itself until its end
        except httptools.HttpParserUpgrade:
            pass  # no upgrade is offered: the request is answered as it stands, and is the last
        except (httptools.HttpParserError, _TooLargeError):
            if self._header_bytes > HEADER_BYTES:
                self._refuse(431, b"request header too large\n")
            else:
                self._refuse(400, b"not a valid HTTP request\n")
            return
        if not self._incomplete:
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = self._loop.call_later(REQUEST_SECONDS, self._too_late)

    def on_message_begin(self) -> None:
        self._url, self._wish, self._expects = b"", Wish(), False
        self._header_bytes = 0
        self._messages += 1
        self._in_header = self._incomplete = True

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        name = name.lower()
        self._wish.take(name, value)
        if name == b"expect":
            self._expects = True

    def on_headers_complete(self) -> None:
        self._in_header = False
        url = httptools.parse_url(self._url)
        path = (url.path or b"/").decode("ascii")
        # a client that waits for "100 Continue" may or may not send its body after an answer
        kept = self._parser.should_keep_alive() and self._parser.get_http_version() == "1.1"
        last = not kept or self._expects or self._parser.should_upgrade()
        asked = _Asked(
            self._parser.get_method(),
            unquote(path) if "%" in path else path,
            url.query or b"",
            self._wish,
            last,
        )
        if self._busy or not self._writable:
            self._waiting.append(asked)
            self._pause()
        else:
            self._answer(asked)

    def on_message_complete(self) -> None:
        self._incomplete = False

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            raise _TooLargeError

    def _answer(self, asked: _Asked) -> None:
        answer = self._app.at_once(asked)
        if answer is None:
            self._task = self._loop.create_task(self._answer_later(asked))
        else:
            self._send(asked, answer)

    async def _answer_later(self, asked: _Asked) -> None:
        answer = await self._app.later(asked)
        self._task = None
        self._send(asked, answer)
        self._next()

    def _send(self, asked: _Asked, answer: Answer) -> None:
        if self._transport.is_closing():
            return
        last = asked.last or (self._ending and not self._waiting)
        end = b"connection: close\r\n\r\n" if last else b"\r\n"
        head = _STATUS_LINES[answer.status] + answer.headers + end
        self._transport.writelines((head,) if asked.method == b"HEAD" else (head, *answer.body))
        self._answered_at = self._loop.time()
        if last:
            self._ending = True
            self._waiting.clear()
            self._transport.close()

    def _next(self) -> None:
        """Go on with what waits, as far as nothing is in its way."""
        while self._waiting and self._task is None and self._writable:
            self._answer(self._waiting.popleft())
        if not self._busy and not self._reading and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _refuse(self, status: int, text: bytes) -> None:
        self._refused = True
        if self._busy:  # answers come in order: those before are sent, then the connection ends
            self._ending = True
            return
        head = _STATUS_LINES[status] + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
        retry = b"retry-after: 1\r\n" if status == 503 else b""
        self._transport.write(head + retry + b"content-length: %d\r\n\r\n" % len(text) + text)
        self._transport.close()

    def _too_late(self) -> None:
        self._deadline = None
        if not self._transport.is_closing():
            if self._in_header and self._header_bytes:
                self._refuse(408, b"request took too long\n")
            else:
                self._transport.close()

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _check_idle(self) -> None:
        """One timer a connection, that looks when it is due: arming one at each answer takes longer."""
        rest = self._answered_at + IDLE_SECONDS - self._loop.time()
        if rest <= 0 and not self._busy and self._writable:
            self._transport.close()
        else:
            self._idle = self._loop.call_later(rest if rest > 0 else IDLE_SECONDS, self._check_idle)

    def pause_writing(self) -> None:
        self._writable = False
        self._stall.begin()

    def resume_writing(self) -> None:
        self._writable = True
        self._stall.end()
        self._next()


def _peer_names(transport: asyncio.BaseTransport) -> list[str]:
    """The subject alternative names of the client's certificate."""
    certificate = transport.get_extra_info("peercert") or {}
    return [str(value) for _, value in certificate.get("subjectAltName", ())]
