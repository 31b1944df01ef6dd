"""One HTTP request with the bounds that `requests` lacks: of its whole time, and of the size of the answer.

It goes to the server that the operator named and to no other: no redirection is followed, no proxy asked, and
no ``~/.netrc`` read.
"""

from __future__ import annotations

import queue
import re
import threading
import time
import zlib
from collections.abc import Mapping
from typing import Literal

import requests
import urllib3
from msgspec import Struct

_CHUNK_BYTES = 1 << 18
_MOST_REASON_BYTES = 1 << 16
"""Of an answer that is a refusal."""
_MOST_AT_ONCE = 16
"""Requests under way, those that were left behind among them: a server may drip for ever."""
_places = threading.BoundedSemaphore(_MOST_AT_ONCE)
_GZIP = 31
"""zlib's window of 32 KiB, as gzip."""


class Answer(Struct, frozen=True):
    """What came, unpacked; of a refusal its beginning."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether it is what was asked for, and neither a refusal nor a redirection."""
        return 200 <= self.status < 300


class HttpError(Exception):
    """There is no answer. The text goes on from the server's name: ``did not answer within 5 s``."""

    def __init__(self, kind: Literal["late", "tls", "unreachable", "malformed", "failed"], text: str) -> None:
        super().__init__(text)
        self.kind = kind


def new_session() -> requests.Session:
    """Keeps connections, and asks nothing of its surroundings: no proxy, no ``~/.netrc``."""
    session = requests.Session()
    session.trust_env = False
    # compressing costs both sides more than a local network saves
    session.headers.update(
        {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "wattframe"}
    )
    return session


def fetch(session: requests.Session, request: requests.Request, seconds: float, most_bytes: int) -> Answer:
    """Send one request; the answer comes within ``seconds`` and has at most ``most_bytes``, unpacked.

    In a thread of its own: a name that is looked up, or a server that drips one byte of a header at a time,
    never trips the socket's own time-out. One that is late is left behind.

    Raises
    ------
    HttpError
        There is no answer, or a larger one.
    """
    outcomes: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
    deadline = time.monotonic() + seconds

    def ask() -> None:
        try:
            outcomes.put(_ask(session, request, seconds, deadline, most_bytes))
        except Exception as exc:  # raised again where it is waited for
            outcomes.put(exc)
        finally:
            _places.release()

    if not _places.acquire(timeout=seconds):
        raise _late(seconds)
    try:
        threading.Thread(target=ask, name="http", daemon=True).start()
    except RuntimeError as exc:
        _places.release()
        raise HttpError("failed", f"request failed: {exc}") from exc
    try:
        outcome = outcomes.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        outcome = _late(seconds)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _ask(
    session: requests.Session, request: requests.Request, seconds: float, deadline: float, most_bytes: int
) -> Answer:
    try:
        prepared = session.prepare_request(request)
        # the session's own `send` reads the whole body of a redirection, followed or not
        with session.get_adapter(prepared.url or "").send(
            prepared, stream=True, timeout=seconds, verify=session.verify or True, cert=session.cert
        ) as response:
            answer = Answer(response.status_code, response.reason, response.headers, b"")
            most = most_bytes if answer.is_good else _MOST_REASON_BYTES
            body = _body(response, most, deadline)
    except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError) as exc:
        raise _late(seconds) from exc
    except requests.exceptions.SSLError as exc:
        raise HttpError("tls", f"TLS failed: {_innermost(exc)}") from exc
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as exc:
        raise HttpError("unreachable", f"cannot be reached: {_innermost(exc)}") from exc
    except (requests.RequestException, OSError) as exc:
        raise HttpError("failed", f"request failed: {_innermost(exc)}") from exc
    if answer.is_good and len(body) > most:
        raise HttpError("malformed", f"answered with more than {most >> 20} MiB")
    return Answer(answer.status, answer.reason, answer.headers, body)


def _body(response: requests.Response, most: int, deadline: float) -> bytes:
    """The body, unpacked as it comes: a few bytes may stand for any number of them. One byte more at most."""
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise HttpError("malformed", f"answered in the encoding {encoding!r}, which was not requested")
    unpack = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    body = bytearray()
    while len(body) <= most and (chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False)):
        try:
            body += chunk if unpack is None else unpack.decompress(chunk, most + 1 - len(body))
        except zlib.error as exc:
            raise HttpError("malformed", f"answered with damaged gzip: {exc}") from exc
        if time.monotonic() > deadline:
            raise TimeoutError
    return bytes(body)


def _late(seconds: float) -> HttpError:
    return HttpError("late", f"did not answer within {seconds:g} s")


def _innermost(exc: BaseException) -> str:
    """The short reason inside the layers of requests and urllib3."""
    innermost: BaseException = exc
    while True:
        inner = (
            getattr(innermost, "reason", None)
            or innermost.__cause__
            or (innermost.args[0] if innermost.args else None)
        )
        if not isinstance(inner, BaseException) or inner is innermost:
            break
        innermost = inner
    text = getattr(innermost, "strerror", None) or str(innermost) or type(innermost).__name__
    return re.sub(r"^<[^>]*>: ", "", str(text))
