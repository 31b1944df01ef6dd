"""What every exporter answers: requests in, answers out; how they travel is the connection's business."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Protocol
from urllib.parse import parse_qs

from msgspec import Struct

from exporters.runtime.collector import Exporter
from exporters.runtime.landing import landing_page
from exporters.runtime.logs import logger
from exporters.runtime.negotiation import (
    OPENMETRICS,
    TEXT,
    Wish,
    scrape_budget_seconds,
    wants_gzip,
    wants_openmetrics,
)
from exporters.runtime.scrape import Scraper

__all__ = ["Answer", "App", "Gate", "Open", "Request"]

_PLAIN = b"content-type: text/plain; charset=utf-8\r\n"
_HTML = b"content-type: text/html; charset=utf-8\r\n"
_ALLOW = b"allow: GET, HEAD\r\n"
_RETRY = b"retry-after: 1\r\n"
_CHALLENGE = b'www-authenticate: Basic realm="metrics"\r\n'
_OPEN_PATHS = ("/health", "/-/healthy", "/-/ready")


class Request(Struct, frozen=True):
    """What is asked for; ``path`` is decoded, ``query`` is not."""

    method: bytes
    path: str
    query: bytes
    wish: Wish


class Answer(Struct, frozen=True):
    """Status, header lines (each with its end) without the empty line after them, and the body in chunks."""

    status: int
    headers: bytes
    body: Sequence[bytes]


class Gate(Protocol):
    """Who may come in, and what header lines go out with every answer."""

    headers: bytes

    def known(self, authorization: bytes) -> bool | None:
        """Whether the credentials are right, as far as that is known without work."""
        ...

    async def admits(self, authorization: bytes) -> bool | None:
        """Whether they are right; None when too many are being checked."""
        ...

    def close(self) -> None:
        """Another gate took its place."""
        ...


class Open:
    """A gate without a lock."""

    def __init__(self, headers: bytes = b"") -> None:
        self.headers = headers

    def known(self, authorization: bytes) -> bool | None:
        """Everybody."""
        return True

    async def admits(self, authorization: bytes) -> bool | None:
        """Everybody."""
        return True

    def close(self) -> None:
        """Nothing to give back."""


class App:
    """One exporter. ``gate`` may be exchanged at any time.

    `at_once` gives every answer that needs no waiting, so that the connection can send it without a task;
    `later` gives the others.
    """

    def __init__(self, exporter: Exporter, scraper: Scraper, gate: Gate, max_in_flight: int) -> None:
        self.gate = gate
        self._exporter = exporter
        self._scraper = scraper
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._date: tuple[int, bytes] = (0, b"")

    def at_once(self, request: Request) -> Answer | None:
        """The answer, None when it has to be waited for."""
        try:
            answer = self._now(request)
        except Exception as exc:
            answer = _bug(request, exc)
        return None if answer is None else self._complete(answer)

    async def later(self, request: Request) -> Answer:
        """The answer that has to be waited for: a password's check, collectors that block."""
        try:
            answer = await self._later(request)
        except Exception as exc:
            answer = _bug(request, exc)
        return self._complete(answer)

    def _complete(self, answer: Answer) -> Answer:
        length = sum(map(len, answer.body))
        common = b"content-length: %d\r\ndate: %b\r\n%b" % (length, self._time(), self.gate.headers)
        return Answer(answer.status, answer.headers + common, answer.body)

    def _now(self, request: Request) -> Answer | None:
        path = request.path
        if path not in ("/metrics", "/", *_OPEN_PATHS):
            return Answer(404, _PLAIN, (b"not found: try /metrics\n",))
        if request.method not in (b"GET", b"HEAD"):
            return Answer(405, _PLAIN + _ALLOW, (b"method not allowed\n",))
        if path in _OPEN_PATHS:
            return self._health(path)
        admitted = self.gate.known(request.wish.authorization)
        return None if admitted is None else self._inside(request, admitted)

    def _inside(self, request: Request, admitted: bool) -> Answer | None:
        if not admitted:
            return _UNAUTHORIZED
        if request.path == "/":
            return Answer(200, _HTML, (landing_page(self._exporter, self._scraper.reports.values()),))
        only, refusal = self._only(request.query) if request.query else (None, None)
        if refusal is not None:
            return refusal
        openmetrics, compress = _formats(request.wish)
        body = self._scraper.answer_now(openmetrics=openmetrics, compress=compress, only=only)
        return None if body is None else Answer(200, _PAGE_HEADERS[openmetrics, compress], body)

    def _health(self, path: str) -> Answer:
        if path == "/-/ready" and not self._scraper.ready:
            return Answer(503, _PLAIN + _RETRY, (b"loading\n",))
        return Answer(200, _PLAIN, (b"OK",))

    def _only(self, query: bytes) -> tuple[frozenset[str] | None, Answer | None]:
        """The collectors that are asked for; a name that is none is refused."""
        names = parse_qs(query.decode("latin-1")).get("collect[]", [])
        unknown = [name for name in names if name not in self._scraper.reports]
        if unknown:
            known = ", ".join(self._scraper.reports)
            text = f"no collector {unknown[0]!r}: expected one of {known}\n"
            return None, Answer(400, _PLAIN, (text.encode(),))
        return frozenset(names) or None, None

    async def _later(self, request: Request) -> Answer:
        admitted = await self.gate.admits(request.wish.authorization)
        if admitted is None:
            return Answer(429, _PLAIN + _RETRY, (b"too many wrong passwords\n",))
        answer = self._inside(request, admitted)
        return answer if answer is not None else await self._collected(request)

    async def _collected(self, request: Request) -> Answer:
        if 0 < self._max_in_flight <= self._in_flight:
            return Answer(503, _PLAIN + _RETRY, (b"too many requests in flight\n",))
        only, _ = self._only(request.query)
        openmetrics, compress = _formats(request.wish)
        self._in_flight += 1
        try:
            body = await self._scraper.answer(
                openmetrics=openmetrics,
                compress=compress,
                budget_seconds=scrape_budget_seconds(request.wish.timeout),
                only=only,
            )
        finally:
            self._in_flight -= 1
        return Answer(200, _PAGE_HEADERS[openmetrics, compress], body)

    def _time(self) -> bytes:
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]


_UNAUTHORIZED = Answer(401, _PLAIN + _CHALLENGE, (b"unauthorized\n",))
_PAGE_HEADERS = {
    (openmetrics, compress): b"content-type: %b\r\nvary: Accept, Accept-Encoding\r\n%b"
    % (OPENMETRICS if openmetrics else TEXT, b"content-encoding: gzip\r\n" if compress else b"")
    for openmetrics in (False, True)
    for compress in (False, True)
}


def _formats(wish: Wish) -> tuple[bool, bool]:
    """Whether OpenMetrics, and whether gzip."""
    return wants_openmetrics(wish.accept), wants_gzip(wish.accept_encoding)


def _bug(request: Request, exc: Exception) -> Answer:
    """The last line: a bug is one log line and a 500."""
    logger().error("request failed", path=request.path, error=f"{type(exc).__name__}: {exc}")
    return Answer(500, _PLAIN, (b"internal error\n",))
