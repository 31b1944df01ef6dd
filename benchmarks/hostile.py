"""Clients that mean no good beside one that scrapes: what it notices, what they cost, and when they are gone.

The results exporter with a page of some megabytes. Slow clients never finish their request, others never
read their answer, guessers send wrong passwords as fast as they can; meanwhile one client scrapes as
Prometheus does, and is compared with itself alone. Each is the whole of its kind at once.

    python -m benchmarks.hostile [--slow 200] [--unread 20] [--guessers 16] [--scrapes 200] [--json]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt

from benchmarks.figures import Figure, quantile, report, resident_mib
from benchmarks.result_files import options_of, put_files
from tests.support.exporter_client import Served, served

SCENARIOS = 1000
_SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n"
_GONE_SECONDS = 60
_HEADER_BYTES = 20_000_000


def authorization(password: str) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(f"alice:{password}".encode()) + b"\r\n"


def scrapes(exporter: Served, count: int) -> list[float]:
    """Seconds of each of ``count`` scrapes on one kept connection."""
    request = _SCRAPE + authorization("right") + b"Accept-Encoding: gzip\r\n\r\n"
    taken = []
    with connected(exporter) as sock:
        answer = sock.makefile("rb")
        for _ in range(count):
            start = time.perf_counter()
            sock.sendall(request)
            status = answer.readline()
            assert b" 200 " in status, status
            length = 0
            while (line := answer.readline()) != b"\r\n":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            answer.read(length)
            taken.append(time.perf_counter() - start)
            time.sleep(0.005)
    return taken


def connected(exporter: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", exporter.port), timeout=90)


def until_closed(sock: socket.socket, start: float) -> float:
    """Seconds since ``start`` until the server has hung up, whatever it says before."""
    with contextlib.suppress(ConnectionError):
        while sock.recv(1 << 16):
            pass
    return time.perf_counter() - start


def oversized(exporter: Served) -> Iterator[Figure]:
    """A header of 20 MB."""
    before = resident_mib(exporter.process.pid)
    with connected(exporter) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(_SCRAPE + b"X-Long: " + b"a" * _HEADER_BYTES)
        try:
            status = int(sock.recv(100)[9:12])
        except ConnectionError:
            status = 431  # the answer was overtaken by the reset of what was still being sent
    yield Figure("status of 20 MB of header", status, "")
    yield Figure("memory that they take", resident_mib(exporter.process.pid) - before, "MiB", goal=5)


def unfinished(exporter: Served) -> Iterator[Figure]:
    """A request that drips on for ever."""
    start = time.perf_counter()
    with connected(exporter) as sock:
        sock.sendall(_SCRAPE)
        stop = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(1.0):
                    sock.sendall(b"X-A: b\r\n")

        thread = threading.Thread(target=drip)
        thread.start()
        yield Figure("end of a request that never ends", until_closed(sock, start), "s", goal=15)
        stop.set()
        thread.join()


@contextlib.contextmanager
def crowd(exporter: Served, slow: int, unread: int) -> Iterator[None]:
    """Clients that do not finish their request, and clients that do not read their answer."""
    request = _SCRAPE + authorization("right") + b"\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(slow):
            stack.enter_context(connected(exporter)).sendall(request[:30])
        for _ in range(unread):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", exporter.port))
            stack.enter_context(sock).sendall(request * 3)
        yield


def sockets_of(exporter: Served) -> int:
    """Descriptors that the exporter holds."""
    return sum(1 for _ in Path(f"/proc/{exporter.process.pid}/fd").iterdir())


@contextlib.contextmanager
def guessing(exporter: Served, guessers: int) -> Iterator[None]:
    stop = threading.Event()

    def guess(number: int) -> None:
        attempt = 0
        while not stop.is_set():
            attempt += 1
            with contextlib.suppress(OSError), connected(exporter) as sock:
                sock.sendall(_SCRAPE + authorization(f"{number}-{attempt}") + b"\r\n")
                sock.recv(1000)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(guessers)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def beside(what: str, taken: list[float], alone: list[float]) -> Iterator[Figure]:
    for share in (0.5, 0.99):
        yield Figure(
            f"scrape beside {what}, p{share * 100:.0f}",
            quantile(taken, share) * 1e3,
            "ms",
            "none",
            quantile(alone, share) * 1e3,
        )


def measure(slow: int, unread: int, guessers: int, count: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        put_files(folder, SCENARIOS)
        hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()
        web = folder / "web.yml"
        web.write_text(f"basic_auth_users: {{alice: {hashed}}}")
        options = (*options_of("results", folder), "--web-config", str(web))
        with served("exporters.results", *options) as exporter:
            time.sleep(3)
            scrapes(exporter, 20)
            yield from oversized(exporter)
            yield from unfinished(exporter)
            alone = scrapes(exporter, count)
            before = sockets_of(exporter)
            start = time.perf_counter()
            with crowd(exporter, slow, unread):
                yield from beside(
                    f"{slow} slow and {unread} that never read", scrapes(exporter, count), alone
                )
                while sockets_of(exporter) > before and time.perf_counter() - start < 2 * _GONE_SECONDS:
                    time.sleep(0.5)
                yield Figure("until they are gone", time.perf_counter() - start, "s", goal=_GONE_SECONDS)
            with guessing(exporter, guessers):
                yield from beside(f"{guessers} who guess passwords", scrapes(exporter, count), alone)
            start = time.perf_counter()
            exporter.process.terminate()
            exporter.process.wait()
            yield Figure("end after SIGTERM", time.perf_counter() - start, "s", goal=2)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--unread", type=int, default=20)
    parser.add_argument("--guessers", type=int, default=16)
    parser.add_argument("--scrapes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = list(measure(options.slow, options.unread, options.guessers, options.scrapes))
    return report(figures, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
