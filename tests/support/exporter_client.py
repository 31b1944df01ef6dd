"""How tests and benchmarks run an exporter and talk to it: pages, samples by name and labels, patience."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.runtime import Collector
from exporters.runtime.page import END, PageBuilder

SAMPLE = str(Path(__file__).resolve().parents[1] / "exporters" / "sample_exporter.py")
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


class Served(Struct, frozen=True):
    """A running exporter."""

    url: str
    port: int
    process: subprocess.Popen[str]


@contextlib.contextmanager
def served(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Served]:
    """Run ``python -m module --port 0 ...`` (or a script's path) as a process until the block ends.

    It keeps its counters in a folder of its own, unless ``--state-dir`` or ``env`` name one.
    """
    target = [module] if module.endswith(".py") else ["-m", module]
    command = [sys.executable, *target, "--port", "0", *arguments]
    with (
        tempfile.TemporaryDirectory(prefix="wattframe-state-") as state,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "STATE_DIRECTORY": state, **(env or {}), "PYTHONUNBUFFERED": "1"},
            cwd=cwd,
        ) as process,
    ):
        try:
            yield _listening(process)
        finally:
            process.terminate()
            process.communicate(timeout=60)


def _listening(process: subprocess.Popen[str]) -> Served:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        match = re.search(r"(https?://\S+:(\d+))", line)
        if "listening" in line and match:
            return Served(match[1].rstrip('",'), int(match[2]), process)
    raise RuntimeError(f"the exporter did not start: {''.join(seen)}")


def render(collectors: Sequence[Collector], *, openmetrics: bool = False) -> bytes:
    """The families of ``collectors`` as ``/metrics`` has them, without what the runtime adds.

    The collectors are started, asked once, and closed. Whatever one raises is raised here.
    """
    text = b""
    for collector in collectors:
        collector.start()
        try:
            text += page_of(collector, openmetrics=openmetrics)
        finally:
            collector.close()
    return text + END if openmetrics else text


def page_of(collector: Collector, builder: PageBuilder | None = None, *, openmetrics: bool = False) -> bytes:
    """What a collector that runs shows now; fails where a part is left out."""
    page = (builder or PageBuilder()).build(collector.parts())
    if page.error is not None:
        raise ValueError(page.error)
    return page.text(openmetrics)


def ask(
    exporter: Served, path: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers with lower-case names, body."""
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=60)
    try:
        connection.request(method, path, headers=headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def samples(page: str) -> dict[str, float]:
    """Values by name and labels; fails on a series that is there twice."""
    values: dict[str, float] = {}
    for family in parse_text(page):
        for sample in family.samples:
            key = f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}"
            assert key not in values
            values[key] = sample.value
    return values


def scrape(exporter: Served, path: str = "/metrics", **headers: str) -> dict[str, float]:
    """The samples of a page that must be there."""
    status, _, body = ask(exporter, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    assert status == 200
    return samples(body.decode())


def connected(exporter: Served) -> socket.socket:
    """A connection that the caller closes."""
    return socket.create_connection(("127.0.0.1", exporter.port), timeout=60)


def raw(port: int, data: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes, return everything until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
        return received
