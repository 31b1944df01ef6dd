"""The ASGI application of every exporter: paths in, answers out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from email.utils import formatdate
from typing import Any, Protocol
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

__all__ = ["Answer", "App", "Gate", "Open"]

Scope = MutableMapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Header = tuple[bytes, bytes]

_PLAIN: Header = (b"content-type", b"text/plain; charset=utf-8")
_TEXT: Header = (b"content-type", TEXT)
_OPENMETRICS: Header = (b"content-type", OPENMETRICS)
_VARY: Header = (b"vary", b"Accept, Accept-Encoding")
_GZIP: Header = (b"content-encoding", b"gzip")
_ALLOW: Header = (b"allow", b"GET, HEAD")
_RETRY: Header = (b"retry-after", b"1")
_CHALLENGE: Header = (b"www-authenticate", b'Basic realm="metrics"')
_OPEN_PATHS = ("/health", "/-/healthy", "/-/ready")


class Answer(Struct, frozen=True):
    """Status, headers of this answer alone, and the body in chunks."""

    status: int
    headers: Sequence[Header]
    body: Sequence[bytes]


class Gate(Protocol):
    """Who may come in, and what headers go out with every answer."""

    headers: Sequence[Header]

    def known(self, authorization: bytes) -> bool | None:
        """Whether the credentials are right, as far as that is known without work."""
        ...

    async def admits(self, authorization: bytes) -> bool | None:
        """Whether they are right; None when too many are being checked."""
        ...


class Open:
    """A gate without a lock."""

    def __init__(self, headers: Sequence[Header] = ()) -> None:
        self.headers = headers

    def known(self, authorization: bytes) -> bool | None:
        """Everybody."""
        return True

    async def admits(self, authorization: bytes) -> bool | None:
        """Everybody."""
        return True


class App:
    """One exporter over HTTP. ``gate`` may be exchanged at any time.

    `at_once` gives every answer that needs no waiting, so that the connection can send it without a task;
    as an ASGI application the object gives all of them.
    """

    def __init__(self, exporter: Exporter, scraper: Scraper, gate: Gate, max_in_flight: int) -> None:
        self.gate = gate
        self._exporter = exporter
        self._scraper = scraper
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._date: tuple[int, bytes] = (0, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; uvicorn drops the body of an answer to HEAD."""
        answer = self.at_once(scope)
        if answer is None:
            answer = await self._guarded_later(scope)
        *chunks, last = answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    def at_once(self, scope: Scope) -> Answer | None:
        """The answer, None when it has to be waited for."""
        try:
            answer = self._now(scope)
        except Exception as exc:
            answer = _bug(scope, exc)
        return None if answer is None else self._complete(answer)

    async def _guarded_later(self, scope: Scope) -> Answer:
        try:
            answer = await self._later(scope)
        except Exception as exc:
            answer = _bug(scope, exc)
        return self._complete(answer)

    def _complete(self, answer: Answer) -> Answer:
        length = b"%d" % sum(map(len, answer.body))
        common = ((b"content-length", length), (b"date", self._time()), *self.gate.headers)
        return Answer(answer.status, (*answer.headers, *common), answer.body)

    def _now(self, scope: Scope) -> Answer | None:
        path = scope["path"]
        if path not in ("/metrics", "/", *_OPEN_PATHS):
            return Answer(404, (_PLAIN,), (b"not found: try /metrics\n",))
        if scope["method"] not in ("GET", "HEAD"):
            return Answer(405, (_PLAIN, _ALLOW), (b"method not allowed\n",))
        if path in _OPEN_PATHS:
            return self._health(path)
        wish = Wish.of(scope["headers"])
        admitted = self.gate.known(wish.authorization)
        return None if admitted is None else self._inside(path, wish, scope["query_string"], admitted)

    def _inside(self, path: str, wish: Wish, query: bytes, admitted: bool) -> Answer | None:
        if not admitted:
            return _UNAUTHORIZED
        if path == "/":
            page = landing_page(self._exporter, self._scraper.reports.values())
            return Answer(200, ((b"content-type", b"text/html; charset=utf-8"),), (page,))
        only, refusal = self._only(query) if query else (None, None)
        if refusal is not None:
            return refusal
        openmetrics, compress = wants_openmetrics(wish.accept), wants_gzip(wish.accept_encoding)
        body = self._scraper.answer_now(openmetrics=openmetrics, compress=compress, only=only)
        return None if body is None else _page(openmetrics, compress, body)

    def _health(self, path: str) -> Answer:
        if path == "/-/ready" and not self._scraper.ready:
            return Answer(503, (_PLAIN, _RETRY), (b"loading\n",))
        return Answer(200, (_PLAIN,), (b"OK",))

    def _only(self, query: bytes) -> tuple[frozenset[str] | None, Answer | None]:
        """The collectors that are asked for; a name that is none is refused."""
        names = parse_qs(query.decode("latin-1")).get("collect[]", [])
        unknown = [name for name in names if name not in self._scraper.reports]
        if unknown:
            known = ", ".join(self._scraper.reports)
            text = f"no collector {unknown[0]!r}: expected one of {known}\n"
            return None, Answer(400, (_PLAIN,), (text.encode(),))
        return frozenset(names) or None, None

    async def _later(self, scope: Scope) -> Answer:
        """What has to be waited for: a password's check, collectors that block."""
        wish, query = Wish.of(scope["headers"]), scope["query_string"]
        admitted = await self.gate.admits(wish.authorization)
        if admitted is None:
            return Answer(429, (_PLAIN, _RETRY), (b"too many wrong passwords\n",))
        answer = self._inside(scope["path"], wish, query, admitted)
        return answer if answer is not None else await self._collected(wish, query)

    async def _collected(self, wish: Wish, query: bytes) -> Answer:
        if 0 < self._max_in_flight <= self._in_flight:
            return Answer(503, (_PLAIN, _RETRY), (b"too many requests in flight\n",))
        only, _ = self._only(query)
        openmetrics, compress = wants_openmetrics(wish.accept), wants_gzip(wish.accept_encoding)
        self._in_flight += 1
        try:
            body = await self._scraper.answer(
                openmetrics=openmetrics,
                compress=compress,
                budget_seconds=scrape_budget_seconds(wish.timeout),
                only=only,
            )
        finally:
            self._in_flight -= 1
        return _page(openmetrics, compress, body)

    def _time(self) -> bytes:
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]


_UNAUTHORIZED = Answer(401, (_PLAIN, _CHALLENGE), (b"unauthorized\n",))


def _page(openmetrics: bool, compress: bool, body: Sequence[bytes]) -> Answer:
    kind = _OPENMETRICS if openmetrics else _TEXT
    return Answer(200, (kind, _VARY, _GZIP) if compress else (kind, _VARY), body)


def _bug(scope: Scope, exc: Exception) -> Answer:
    """The last line: a bug is one log line and a 500."""
    logger().error("request failed", path=scope["path"], error=f"{type(exc).__name__}: {exc}")
    return Answer(500, (_PLAIN,), (b"internal error\n",))
