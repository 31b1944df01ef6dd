"""What every exporter answers to which path, as an ASGI application."""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from html import escape
from importlib.metadata import version
from typing import Any
from urllib.parse import parse_qs

from msgspec import Struct
from prometheus_client.exposition import choose_encoder

from exporters.runtime.collector import Exporter
from exporters.runtime.logs import logger
from exporters.runtime.scrape import PageSource, Scraper
from exporters.runtime.web_config import Web

Header = tuple[bytes, bytes]
_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
_HTML: Header = (b"content-type", b"text/html; charset=utf-8")
_RETRY: Header = (b"retry-after", b"1")
_VERSIONS = ("0.0.1", "0.0.4", "1.0.0")
"""Of the formats; the library writes the same for later ones, under their names."""
_HEALTH_PATHS = ("/health", "/-/healthy", "/-/ready")


class _Answer(Struct, frozen=True):
    status: int
    headers: Sequence[Header]
    body: Sequence[bytes]


def _text(status: int, text: str, *headers: Header) -> _Answer:
    return _Answer(status, (_TEXT, *headers), (text.encode(errors="replace"),))


class App:
    """One exporter."""

    def __init__(self, exporter: Exporter, scraper: Scraper, web: Web) -> None:
        self._exporter = exporter
        self._scraper = scraper
        self._web = web

    async def __call__(
        self, scope: Any, receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(scope)
        except Exception as exc:  # the last line: a bug is one log line and a 500
            logger().error("request failed", path=scope["path"], error=f"{type(exc).__name__}: {exc}")
            answer = _text(500, "internal error\n")
        length = b"%d" % sum(map(len, answer.body))
        headers = [*answer.headers, (b"content-length", length), *self._web.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        *chunks, last = answer.body
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": last})

    async def _answer(self, scope: Any) -> _Answer:
        path = scope["path"]
        if path not in ("/metrics", "/", *_HEALTH_PATHS):
            return _text(404, "not found: try /metrics\n")
        if scope["method"] not in ("GET", "HEAD"):
            return _text(405, "method not allowed\n", (b"allow", b"GET, HEAD"))
        if path in _HEALTH_PATHS:
            loading = path == "/-/ready" and not self._scraper.ready
            return _text(503, "loading\n", _RETRY) if loading else _text(200, "OK")
        accept, encoding, authorization = _wishes(scope["headers"])
        address, _ = scope.get("client") or ("", 0)
        admitted = await self._web.passwords.admits(authorization, address)
        if admitted is None:
            return _text(429, "too many wrong passwords\n", _RETRY)
        if not admitted:
            return _text(401, "unauthorized\n", (b"www-authenticate", b'Basic realm="metrics"'))
        if path == "/":
            return _Answer(200, (_HTML,), (_landing_page(self._exporter, self._scraper.sources),))
        return self._metrics(scope["query_string"], accept, encoding)

    def _metrics(self, query: bytes, accept: str, encoding: str) -> _Answer:
        names = parse_qs(query.decode("latin-1")).get("collect[]", []) if query else []
        for name in names:
            if name not in self._scraper.names:
                listed = ", ".join(self._scraper.names)
                return _text(400, f"no collector {name!r}: expected one of {listed}\n")
        openmetrics, compress, headers = _format(accept, encoding)
        body = self._scraper.body(openmetrics=openmetrics, compress=compress, only=names or None)
        return _Answer(200, headers, body)


def _wishes(headers: Iterable[Header]) -> tuple[str, str, bytes]:
    """Accept, Accept-Encoding and Authorization; the first two may come several times."""
    accept, encoding, authorization = b"", b"", b""
    for name, value in headers:
        if name == b"accept":
            accept = accept + b"," + value if accept else value
        elif name == b"accept-encoding":
            encoding = encoding + b"," + value if encoding else value
        elif name == b"authorization":
            authorization = value
    return accept.decode("latin-1"), encoding.decode("latin-1"), authorization


@functools.lru_cache(maxsize=256)
def _format(accept: str, encoding: str) -> tuple[bool, bool, tuple[Header, ...]]:
    """Whether OpenMetrics, whether gzip, and the headers that say so."""
    _, content_type = choose_encoder(_preferred(accept, ("application/openmetrics-text", "text/plain")))
    compress = _preferred(encoding, ("gzip", "identity")).startswith("gzip")
    headers = (b"content-type", content_type.encode("latin-1")), (b"vary", b"Accept, Accept-Encoding")
    packed = ((b"content-encoding", b"gzip"),) if compress else ()
    return content_type.startswith("application/openmetrics-text"), compress, (*headers, *packed)


def _preferred(header: str, names: Sequence[str]) -> str:
    """Of the choices in a header with one of ``names`` and a version that is written here, that of most
    weight; empty for none.

    >>> _preferred("text/plain;version=0.0.4;q=0.6, application/openmetrics-text;q=0.5", ("text/plain",))
    'text/plain;version=0.0.4;q=0.6'
    """
    choices: dict[str, float] = {}
    for choice in header.lower().split(","):
        weight = re.search(r";\s*q=(\d(?:\.\d*)?)", choice)
        version = re.search(r";\s*version=([^;\s]*)", choice)
        if choice.partition(";")[0].strip() in names and (version is None or version[1] in _VERSIONS):
            choices[choice.strip()] = 1.0 if weight is None else float(weight[1])
    best = max(choices, key=lambda choice: choices[choice], default="")
    return best if choices.get(best) else ""


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>table{{display:block;overflow-x:auto}}
body{{font:1rem/1.5 sans-serif;margin:2rem auto;max-width:48rem;padding:0 1rem}}
td,th{{text-align:left;padding:.1rem 1rem .1rem 0}}</style></head>
<body><h1>{title}</h1>
<p>Wattframe {version}</p>
<ul><li><a href="metrics">Metrics</a></li><li><a href="health">Health</a></li></ul>
<table><tr><th>Collector</th><th>Last collection</th><th>Took</th><th>State</th></tr>
{rows}</table></body></html>
"""


def _landing_page(exporter: Exporter, sources: Iterable[PageSource]) -> bytes:
    """Name, version, links and how each collector did last; everything is escaped."""
    rows = "".join(
        f"<tr><td>{escape(s.name)}</td><td>{_when(s.at)}</td>"
        f"<td>{f'{s.seconds * 1000:.1f} ms' if s.at else '-'}</td>"
        f"<td>{escape(s.error or ('ok' if s.at else 'not yet'))}</td></tr>\n"
        for s in sources
    )
    page = _PAGE.format(title=escape(exporter.title), version=escape(version("wattframe")), rows=rows)
    return page.encode(errors="replace")


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    moment = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")
