"""The ASGI application of every exporter: paths in, answers out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import parse_qs

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

__all__ = ["App", "Gate", "Open"]

Scope = MutableMapping[str, Any]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Header = tuple[bytes, bytes]

_PLAIN: Header = (b"content-type", b"text/plain; charset=utf-8")
_VARY: Header = (b"vary", b"Accept, Accept-Encoding")
_GZIP: Header = (b"content-encoding", b"gzip")
_ALLOW: Header = (b"allow", b"GET, HEAD")
_RETRY: Header = (b"retry-after", b"1")
_CHALLENGE: Header = (b"www-authenticate", b'Basic realm="metrics"')
_OPEN_PATHS = ("/health", "/-/healthy", "/-/ready")


class Gate(Protocol):
    """Who may come in, and what headers go out with every answer."""

    headers: Sequence[Header]

    async def admits(self, authorization: bytes) -> bool | None:
        """Whether the credentials are right; None when too many wrong ones are being checked."""
        ...


class Open:
    """A gate without a lock."""

    def __init__(self, headers: Sequence[Header] = ()) -> None:
        self.headers = headers

    async def admits(self, authorization: bytes) -> bool | None:
        """Everybody."""
        return True


class App:
    """One exporter over HTTP. ``gate`` may be exchanged at any time."""

    def __init__(self, exporter: Exporter, scraper: Scraper, gate: Gate, max_in_flight: int) -> None:
        self.gate = gate
        self._exporter = exporter
        self._scraper = scraper
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._date: tuple[int, bytes] = (0, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; uvicorn drops the body of an answer to HEAD."""
        path, method = scope["path"], scope["method"]
        headers: Sequence[Header]
        try:
            status, headers, body = await self._route(path, method, scope)
        except Exception as exc:  # the last line: a bug is one log line and a 500
            logger().error("request failed", path=path, error=f"{type(exc).__name__}: {exc}")
            status, headers, body = 500, (_PLAIN,), b"internal error\n"
        length = b"%d" % len(body)
        common = [(b"content-length", length), (b"date", self._now()), *self.gate.headers]
        await send({"type": "http.response.start", "status": status, "headers": [*headers, *common]})
        await send({"type": "http.response.body", "body": body})

    async def _route(self, path: str, method: str, scope: Scope) -> tuple[int, Sequence[Header], bytes]:
        if path not in ("/metrics", "/", *_OPEN_PATHS):
            return 404, (_PLAIN,), b"not found: try /metrics\n"
        if method not in ("GET", "HEAD"):
            return 405, (_PLAIN, _ALLOW), b"method not allowed\n"
        if path in _OPEN_PATHS:
            return self._health(path)
        wish = Wish.of(scope["headers"])
        admitted = await self.gate.admits(wish.authorization)
        if admitted is None:
            return 429, (_PLAIN, _RETRY), b"too many wrong passwords\n"
        if not admitted:
            return 401, (_PLAIN, _CHALLENGE), b"unauthorized\n"
        if path == "/":
            return 200, ((b"content-type", b"text/html; charset=utf-8"),), self._landing()
        return await self._metrics(wish, scope["query_string"])

    def _health(self, path: str) -> tuple[int, Sequence[Header], bytes]:
        if path == "/-/ready" and not self._scraper.ready:
            return 503, (_PLAIN, _RETRY), b"loading\n"
        return 200, (_PLAIN,), b"OK"

    def _landing(self) -> bytes:
        return landing_page(self._exporter, self._scraper.reports.values())

    async def _metrics(self, wish: Wish, query: bytes) -> tuple[int, Sequence[Header], bytes]:
        only = None
        if query:
            names = parse_qs(query.decode("latin-1")).get("collect[]", [])
            unknown = [name for name in names if name not in self._scraper.reports]
            if unknown:
                known = ", ".join(self._scraper.reports)
                return 400, (_PLAIN,), f"no collector {unknown[0]!r}: expected one of {known}\n".encode()
            only = frozenset(names) or None
        if 0 < self._max_in_flight <= self._in_flight:
            return 503, (_PLAIN, _RETRY), b"too many requests in flight\n"
        self._in_flight += 1
        try:
            openmetrics, compress = wants_openmetrics(wish.accept), wants_gzip(wish.accept_encoding)
            body = await self._scraper.answer(
                openmetrics=openmetrics,
                compress=compress,
                budget_seconds=scrape_budget_seconds(wish.timeout),
                only=only,
            )
        finally:
            self._in_flight -= 1
        kind = (b"content-type", OPENMETRICS if openmetrics else TEXT)
        return 200, (kind, _VARY, _GZIP) if compress else (kind, _VARY), body

    def _now(self) -> bytes:
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]
