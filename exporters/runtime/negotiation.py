"""What the client asked for: format, encoding, collectors, time."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

from msgspec import Struct

__all__ = ["OPENMETRICS", "TEXT", "Wish", "scrape_budget_seconds", "wants_gzip", "wants_openmetrics"]

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
_DEFAULT_BUDGET_SECONDS = 10.0
_OFFSET_SECONDS = 0.5
"""Left of the scraper's time-out for sending the answer."""


class Wish(Struct):
    """The headers of one scrape that matter."""

    accept: bytes = b""
    accept_encoding: bytes = b""
    timeout: bytes = b""
    authorization: bytes = b""

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> Wish:
        """From headers whose names are in lower case."""
        wish = cls()
        for name, value in headers:
            wish.take(name, value)
        return wish

    def take(self, name: bytes, value: bytes) -> None:
        """One more header, its name in lower case; repeated Accept headers are one list."""
        if name == b"accept":
            self.accept = self.accept + b"," + value if self.accept else value
        elif name == b"accept-encoding":
            self.accept_encoding = self.accept_encoding + b"," + value if self.accept_encoding else value
        elif name == b"x-prometheus-scrape-timeout-seconds":
            self.timeout = value
        elif name == b"authorization":
            self.authorization = value


@functools.lru_cache(maxsize=256)
def wants_openmetrics(accept: bytes) -> bool:
    """Whether OpenMetrics 1.0 is asked for, and no less than the text format.

    >>> wants_openmetrics(b"application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3")
    True
    >>> wants_openmetrics(b"*/*"), wants_openmetrics(b"application/openmetrics-text;q=0, text/plain")
    (False, False)
    """
    ours = text = 0.0
    for value, parameters, quality in _ranges(accept):
        version = parameters.get("version", "")
        if value == "application/openmetrics-text" and version in ("", "1.0.0", "0.0.1"):
            ours = max(ours, quality)
        elif value in ("text/plain", "text/*", "*/*") and version in ("", "0.0.4", "1.0.0"):
            text = max(text, quality)
    return ours > 0 and ours >= text


@functools.lru_cache(maxsize=256)
def wants_gzip(accept_encoding: bytes) -> bool:
    """Whether the answer may be compressed with gzip, and plain text is not liked better.

    >>> wants_gzip(b"gzip, deflate"), wants_gzip(b"gzip;q=0, *"), wants_gzip(b"br, *;q=0.1"), wants_gzip(b"")
    (True, False, True, False)
    >>> wants_gzip(b"identity, gzip;q=0.5"), wants_gzip(b"identity;q=0.5, gzip")
    (False, True)
    """
    found = {value: quality for value, _, quality in _ranges(accept_encoding)}
    named = found.get("gzip", found.get("x-gzip"))
    gzip = found.get("*", 0.0) if named is None else named
    return gzip > 0 and gzip >= found.get("identity", 0.0)


def _ranges(header: bytes) -> Iterator[tuple[str, dict[str, str], float]]:
    for item in header.decode("latin-1").lower().split(","):
        value, *rest = (part.strip() for part in item.split(";"))
        parameters = {k.strip(): v.strip().strip('"') for k, _, v in (p.partition("=") for p in rest)}
        if value:
            yield value, parameters, _quality(parameters.get("q", "1"))


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


@functools.lru_cache(maxsize=64)
def scrape_budget_seconds(timeout: bytes) -> float:
    """How long collectors may take, from ``X-Prometheus-Scrape-Timeout-Seconds``.

    Half a second is kept for sending; of a time-out below a second, half of it.

    >>> scrape_budget_seconds(b"5"), scrape_budget_seconds(b"0.6"), scrape_budget_seconds(b"soon")
    (4.5, 0.3, 9.5)
    """
    try:
        seconds = float(timeout)
    except ValueError:
        seconds = _DEFAULT_BUDGET_SECONDS
    if not math.isfinite(seconds) or seconds <= 0:
        seconds = _DEFAULT_BUDGET_SECONDS
    return max(seconds - _OFFSET_SECONDS, seconds / 2)
