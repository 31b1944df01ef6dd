"""The query client for Prometheus and for what answers like it (VictoriaMetrics, Thanos, Mimir).

Everything that can go wrong on the way becomes one `advisor.errors.PrometheusError` with one line: server
down, too slow, a refusal in Prometheus' own words, an HTML page of some proxy, an answer in part.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import msgspec
import requests
from msgspec import Meta, Struct
from requests.auth import HTTPBasicAuth

from advisor.common.control_group import memory_bytes
from advisor.common.http import Answer, HttpError, fetch, new_session
from advisor.errors import InputError, PrometheusError
from advisor.prometheus.answers import QueryResult, read_answer, reason

MAX_POINTS = 11_000
"""Points per series that Prometheus answers in one range query."""
_LONG_QUERY = 1_500
_MOST_BYTES = 512 << 20
"""Of one answer; the largest that is asked for, 11 000 points of a thousand series, has a third of it."""
_BYTES_A_COMMA, _BYTES_A_STRING, _BYTES_A_BRACE = 80, 60, 350
"""What decoding takes: two commas and a string are a sample, a brace is a series. Empty series alone take a
hundred times their size."""
_SHARE_OF_MEMORY = 0.8
_TRY_AGAIN = frozenset({429, 502, 503, 504})
_PASSING = frozenset({"late", "unreachable"})
_MOST_WAIT_SECONDS = 30.0
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_STEP = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)$")
_STEP_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Connection(Struct, frozen=True, kw_only=True):
    """How to reach the server, as data; secrets never show in ``repr`` or in an error.

    ``ca_file`` and ``client_cert`` (certificate, key) are paths; ``tenant`` is sent as ``X-Scope-OrgID``
    (Mimir, Thanos, Loki); ``timeout_seconds`` bounds one request from first to last byte.
    """

    url: str
    headers: dict[str, str] = {}
    username: str | None = None
    password: str | None = None
    bearer_token: str | None = None
    tenant: str | None = None
    ca_file: str | None = None
    client_cert: tuple[str, str] | None = None
    timeout_seconds: Annotated[float, Meta(gt=0)] = 30.0
    retries: Annotated[int, Meta(ge=0)] = 3
    backoff_seconds: Annotated[float, Meta(ge=0)] = 0.25

    @property
    def shown_url(self) -> str:
        """The address without user and password."""
        # up to the last @: a password that should have been escaped may hold slashes and others of it
        return re.sub(r"//.*@", "//", self.url)

    def __repr__(self) -> str:
        return f"Connection({self.shown_url!r})"


class PrometheusClient:
    """Queries with retries, time-outs and clear errors.

    Parameters
    ----------
    url
        Base address, for instance ``http://localhost:9090`` or ``https://host/prometheus``; a path prefix is
        kept. User and password in it are used and never shown. Or a whole `Connection`.
    sleep
        Waits between tries; tests give their own.
    options
        Fields of `Connection`.

    Raises
    ------
    InputError
        The address is no HTTP address.
    """

    def __init__(
        self, url: str | Connection, *, sleep: Callable[[float], None] = time.sleep, **options: Any
    ) -> None:
        given = url if isinstance(url, Connection) else Connection(url=url, **options)
        self.connection = _checked(given)
        self.url = self.connection.url
        self.requests_sent = 0
        self._sleep = sleep
        self._session = _session(self.connection)

    def __enter__(self) -> PrometheusClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept alive."""
        self._session.close()

    def query(self, promql: str, at: float | None = None) -> list[QueryResult]:
        """Evaluate ``promql`` at one moment (Unix seconds, default the server's now).

        A range selector (``metric[5m]``) gives the raw samples as they were scraped; anything else one point
        per series. A string result is no series and gives an empty list.

        Raises
        ------
        PrometheusError
        """
        parameters = {"query": promql}
        if at is not None:
            parameters["time"] = f"{at:.3f}"
        return self._ask("query", parameters)

    def query_range(self, promql: str, start: float, end: float, step: float | str) -> list[QueryResult]:
        """Evaluate ``promql`` every ``step`` (seconds, or text like ``15s``) from ``start`` to ``end``.

        A range of more than `MAX_POINTS` points is asked for in pieces and joined, so that the answer is the
        one that a server without that limit would give.

        Raises
        ------
        PrometheusError
        InputError
            ``step`` is no positive duration, or the range ends before it starts.
        """
        seconds = parse_step(step)
        if not (math.isfinite(start) and math.isfinite(end) and end >= start):
            raise InputError(f"expected start <= end, got {start} and {end}", subject="query_range")
        joined: dict[tuple[tuple[str, str], ...], QueryResult] = {}
        for first, last in _pieces(start, end, seconds):
            parameters = {
                "query": promql,
                "start": f"{first:.3f}",
                "end": f"{last:.3f}",
                "step": f"{seconds:.3f}",
            }
            for series in self._ask("query_range", parameters):
                first_piece = joined.setdefault(tuple(sorted(series.metric.items())), series)
                if first_piece is not series:
                    first_piece.timestamps.extend(series.timestamps)
                    first_piece.values.extend(series.values)
        return list(joined.values())

    def samples(self, selector: str, start: float, end: float) -> list[QueryResult]:
        """The raw samples of ``selector`` (no range in it) from ``start`` to ``end``, as they were scraped.

        Raw samples carry their own times: nothing is repeated over a gap, and no limit of points applies.
        """
        # the range is open at its left end since Prometheus 3, closed before
        milliseconds = math.ceil((end - start) * 1000) + 1
        return self._ask("query", {"query": f"{selector}[{milliseconds}ms]", "time": f"{end:.3f}"})

    def _ask(self, path: str, parameters: Mapping[str, str]) -> list[QueryResult]:
        return read_answer(self._fetch(f"{self.url}/api/v1/{path}", parameters), self._error)

    def _fetch(self, url: str, parameters: Mapping[str, str]) -> bytes:
        tries = self.connection.retries + 1
        for attempt in range(tries):
            try:
                return self._once(url, parameters)
            except _TryAgainError as exc:
                if attempt == tries - 1:
                    again = f" (tried {tries} times)" if tries > 1 else ""
                    raise self._error(f"{exc}{again}") from exc
                backoff = self.connection.backoff_seconds * 2**attempt
                self._sleep(min(max(backoff, exc.wait_seconds), _MOST_WAIT_SECONDS))
        raise AssertionError("unreachable")

    def _once(self, url: str, parameters: Mapping[str, str]) -> bytes:
        is_long = len(parameters["query"]) > _LONG_QUERY
        request = (
            requests.Request("POST", url, data=parameters)
            if is_long
            else requests.Request("GET", url, params=parameters)
        )
        free = int(memory_bytes()[1] * _SHARE_OF_MEMORY)
        self.requests_sent += 1
        try:
            answer = fetch(
                self._session, request, self.connection.timeout_seconds, min(_MOST_BYTES, free // 4)
            )
        except HttpError as exc:
            raise _TryAgainError(str(exc)) if exc.kind in _PASSING else self._error(str(exc)) from exc
        if not answer.is_good:
            raise self._refused(answer)
        if _decoded_bytes(answer.body) > free:
            raise self._error(f"answered with {len(answer.body) >> 20} MiB, more than fits into memory")
        return answer.body

    def _refused(self, answer: Answer) -> Exception:
        place = answer.headers.get("Location", "").partition("?")[0]
        if place:
            return self._error(f"answered HTTP {answer.status}: give the address that it sends to, {place}")
        problem = f"answered HTTP {answer.status}: {reason(answer.body) or answer.reason}"
        if answer.status in _TRY_AGAIN:
            wait = answer.headers.get("Retry-After", "")
            return _TryAgainError(problem, float(wait) if wait.isdigit() else 0.0)
        if answer.status in (401, 403):
            problem += " (check user, password, token or tenant)"
        return self._error(problem)

    def _error(self, problem: str) -> PrometheusError:
        return PrometheusError(f"{self.url}: {problem}")


def _decoded_bytes(body: bytes) -> int:
    """About the memory that it takes to decode an answer, itself included."""
    strings = body.count(b'"') // 2
    commas, braces = body.count(b","), body.count(b"{")
    return 2 * len(body) + commas * _BYTES_A_COMMA + strings * _BYTES_A_STRING + braces * _BYTES_A_BRACE


class _TryAgainError(Exception):
    """A failure that another try may not have."""

    def __init__(self, problem: str, wait_seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


def parse_step(step: float | str) -> float:
    """Seconds of a step.

    >>> parse_step("15s"), parse_step("2m"), parse_step(0.5)
    (15.0, 120.0, 0.5)
    """
    if isinstance(step, str):
        match = _STEP.match(step.strip())
        seconds = float(match[1]) * _STEP_SECONDS[match[2]] if match else math.nan
    else:
        seconds = float(step)
    if not seconds > 0 or math.isinf(seconds):
        raise InputError(f"expected a positive duration like 15 or '15s', got {step!r}", subject="step")
    return seconds


def _pieces(start: float, end: float, step: float) -> Iterator[tuple[float, float]]:
    points = math.floor((end - start) / step + 1e-9) + 1
    for first in range(0, points, MAX_POINTS):
        last = min(first + MAX_POINTS, points) - 1
        yield start + first * step, start + last * step


def _checked(connection: Connection) -> Connection:
    parts = urlsplit(connection.url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("http", "https") or not host:
        raise InputError(
            f"expected an address like http://localhost:9090, got {connection.shown_url!r}",
            subject="Prometheus URL",
        )
    if "@" in parts.path:
        raise InputError("expected / in a password to be written as %2F", subject="Prometheus URL")
    _check_headers(connection)
    name = f"[{host}]" if ":" in host else host
    plain = urlunsplit((parts.scheme, f"{name}:{port}" if port else name, parts.path.rstrip("/"), "", ""))
    secrets = {}
    if parts.username and connection.username is None:
        secrets = {"username": unquote(parts.username), "password": unquote(parts.password or "")}
    return msgspec.structs.replace(connection, url=plain, **secrets)


def _check_headers(connection: Connection) -> None:
    """Refuse what cannot be sent here, without showing it: HTTP's own errors would."""
    sent = {
        "bearer token": connection.bearer_token,
        "tenant": connection.tenant,
        **{f"header {name!r}": value for name, value in connection.headers.items()},
    }
    for subject, value in sent.items():
        if value is not None and not _HEADER_VALUE.fullmatch(value):
            raise InputError("expected one line of ASCII text", subject=subject)
    for name in connection.headers:
        if not _HEADER_NAME.fullmatch(name):
            raise InputError("expected a header's name", subject=f"header {name!r}")


def _session(connection: Connection) -> requests.Session:
    session = new_session()
    session.headers.update(connection.headers)
    if connection.tenant:
        session.headers["X-Scope-OrgID"] = connection.tenant
    if connection.bearer_token:
        session.headers["Authorization"] = f"Bearer {connection.bearer_token}"
    elif connection.username is not None:
        session.auth = HTTPBasicAuth(connection.username.encode(), (connection.password or "").encode())
    session.verify = connection.ca_file or True
    session.cert = connection.client_cert
    return session
