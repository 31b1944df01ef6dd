"""How the tests talk to an exporter: one request a connection, samples by name and labels, patience."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.runtime.testing import Served

SAMPLE = str(Path(__file__).resolve().parents[1] / "exporters" / "sample_exporter.py")
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


def ask(
    exporter: Served, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with lower-case names, body."""
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def samples(page: str) -> dict[str, float]:
    """Values by name and labels; fails on a series that is there twice."""
    found: dict[str, float] = {}
    for family in parse_text(page):
        for sample in family.samples:
            key = f"{sample.name}{json.dumps(sample.labels)}"
            assert key not in found
            found[key] = sample.value
    return found


def scrape(exporter: Served, path: str = "/metrics", **headers: str) -> dict[str, float]:
    """The samples of a page that must be there."""
    status, _, body = ask(exporter, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert status == 200
    return samples(body.decode())


def connected(exporter: Served) -> socket.socket:
    """A connection that the caller closes."""
    return socket.create_connection(("127.0.0.1", exporter.port), timeout=10)


def raw(port: int, data: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes, return everything until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as sock:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
        return received


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Poll for what happens soon; fails when it does not."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.01)
