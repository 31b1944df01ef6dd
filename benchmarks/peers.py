"""The peers of the benchmarks, each as a real process on this host, and the client that asks all alike."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from benchmarks.figures import Figure, cpu_seconds, quantile, resident_mib
from tests.support.ports import free_port

__all__ = [
    "LIBRARY",
    "NODE_EXPORTER",
    "Client",
    "Peer",
    "Taken",
    "beside",
    "client_library",
    "nginx",
    "node_exporter",
    "race",
    "wait_for",
]

NODE_EXPORTER = "prometheus-node-exporter"
"""Debian's name of the program."""
LIBRARY = "prometheus_client"
"""Its own server, `start_http_server`."""
_SLOW_SECONDS, _SLOW_SCRAPES = 0.2, 3


class Peer(Struct, frozen=True):
    """A server that runs: where it listens, its first process, and the one that does the work."""

    port: int
    pid: int

    @property
    def worker(self) -> int:
        """The process that answers: the first child where there is one (nginx), else the process itself."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else self.pid


class Client:
    """One kept connection that scrapes and times, as Prometheus keeps it; it does little itself, since its
    own work counts for every server alike. A server that hangs up is connected to again for each scrape."""

    def __init__(self, port: int, path: str = "/metrics", *, gzip: bool = False, buffer_bytes: int = 1 << 26):
        self._port = port
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n"
            f"Accept-Encoding: {'gzip' if gzip else 'identity'}\r\n\r\n"
        ).encode()
        self._buffer = bytearray(buffer_bytes)
        self._socket: socket.socket | None = None
        self.seconds: list[float] = []
        self.page = b""

    def scrape(self, times: int = 1) -> bytes:
        """Ask, read everything, note the time; the last body."""
        for _ in range(times):
            start = time.perf_counter()
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(self._request)
            size, body = self._answer(self._socket)
            self.seconds.append(time.perf_counter() - start)
            if self._buffer.startswith(b"HTTP/1.0"):
                self.close()
        self.page = bytes(self._buffer[body:size])
        return self.page

    def _answer(self, sock: socket.socket) -> tuple[int, int]:
        """Bytes received, and where the body begins. Chunked bodies are taken as they are."""
        size, body, wanted, chunked = 0, 0, sys.maxsize, False
        view = memoryview(self._buffer)
        while size < wanted:
            got = sock.recv_into(view[size:])
            size += got
            if got == 0:
                break
            if not body and (found := self._buffer.find(b"\r\n\r\n", 0, size)) >= 0:
                body = found + 4
                length = re.search(rb"(?i)content-length: (\d+)", self._buffer[:body])
                wanted, chunked = (body + int(length[1]), False) if length else (wanted, True)
            if chunked and self._buffer.endswith(b"0\r\n\r\n", 0, size):
                break
        return size, body

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Taken(Struct, frozen=True):
    """What one server took for a scrape, and its resident memory afterwards."""

    p50_seconds: float
    p99_seconds: float
    cpu_seconds: float
    resident_mib: float


def race(
    servers: Mapping[str, Peer],
    *,
    rounds: int,
    scrapes: int,
    gzip: bool = False,
    before_round: Callable[[], None] = lambda: None,
) -> dict[str, Taken]:
    """Let all be scraped in turn, a few scrapes a round, so that whatever else the machine does falls on all.

    A server that takes a fifth of a second for one is asked three times in all.
    """
    clients = {who: Client(server.port, gzip=gzip) for who, server in servers.items()}
    for client in clients.values():
        client.scrape(3)
    slow = {who for who, client in clients.items() if min(client.seconds) > _SLOW_SECONDS}
    for client in clients.values():
        client.seconds.clear()
    before = {who: cpu_seconds(server.worker) for who, server in servers.items()}
    order = list(clients)
    for turn in range(rounds):
        before_round()
        for who in (*order[turn % len(order) :], *order[: turn % len(order)]):
            if who not in slow:
                clients[who].scrape(scrapes)
            elif turn < _SLOW_SCRAPES:
                clients[who].scrape()
    taken = {}
    for who, client in clients.items():
        client.close()
        cpu = (cpu_seconds(servers[who].worker) - before[who]) / len(client.seconds)
        p50, p99 = quantile(client.seconds, 0.5), quantile(client.seconds, 0.99)
        taken[who] = Taken(p50, p99, cpu, resident_mib(servers[who].worker))
    return taken


def beside(
    name: str, taken: Mapping[str, Taken], goals: Mapping[str, float], *, size: float, of: str, kind: str = ""
) -> Iterator[Figure]:
    """The figures of ``name`` beside each of the others; ``goals`` of the p50 by peer."""
    own, kind = taken[name], f", {kind}" if kind else ""
    for peer, theirs in taken.items():
        if peer == name:
            continue
        rows = (
            (f"scrape of {name}{kind}, p50", own.p50_seconds, theirs.p50_seconds, goals.get(peer)),
            (f"scrape of {name}{kind}, p99", own.p99_seconds, theirs.p99_seconds, None),
            (f"CPU of a scrape of {name}{kind}", own.cpu_seconds, theirs.cpu_seconds, None),
        )
        for what, value, other, goal in rows:
            yield Figure(what, value * 1e3, "ms", peer, other * 1e3, goal, size=size, of=of)


def wait_for(port: int) -> None:
    """Until something listens."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.002)
    raise SystemExit(f"nothing listens on port {port}")


@contextlib.contextmanager
def _running(command: Sequence[str], port: int) -> Iterator[Peer]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port)
            yield Peer(port, process.pid)
        finally:
            process.terminate()


@contextlib.contextmanager
def node_exporter(sysfs: Path | None) -> Iterator[Peer]:
    """node_exporter with its rapl collector alone over a tree, without the metrics of its own process; with
    ``sysfs`` None as it comes, every default collector over this machine."""
    port = free_port()
    command = [NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{port}"]
    if sysfs is not None:
        command += ["--collector.disable-defaults", "--collector.rapl", "--web.disable-exporter-metrics"]
        command.append(f"--path.sysfs={sysfs}")
    with _running(command, port) as peer:
        yield peer


_NGINX = """daemon off; worker_processes 1; pid {root}/pid; error_log /dev/null; user root;
events {{}}
http {{ access_log off; default_type text/plain; sendfile on; tcp_nopush on; tcp_nodelay on;
keepalive_requests 1000000; open_file_cache max=10;
server {{ listen 127.0.0.1:{port}; root {root}; gzip_static on; }} }}
"""


@contextlib.contextmanager
def nginx(page: bytes, packed: bytes) -> Iterator[Peer]:
    """nginx with the page as a file, and beside it the compressed one, which it sends as it is when gzip is
    asked for (``gzip_static``): the very bytes, by sendfile from the page cache."""
    with tempfile.TemporaryDirectory() as name:
        root, port = Path(name), free_port()
        root.chmod(0o755)
        (root / "metrics").write_bytes(page)
        (root / "metrics.gz").write_bytes(packed)
        (root / "nginx.conf").write_text(_NGINX.format(root=root, port=port))
        with _running(["nginx", "-c", f"{root}/nginx.conf"], port) as peer:
            yield peer


_CLIENT_LIBRARY = """
import sys, threading
from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry
families = list(text_string_to_metric_families(open(sys.argv[2]).read()))
class Fixed:
    def collect(self):
        return families
registry = CollectorRegistry(auto_describe=False)
registry.register(Fixed())
start_http_server(int(sys.argv[1]), "127.0.0.1", registry)
threading.Event().wait()
"""


@contextlib.contextmanager
def client_library(page: bytes) -> Iterator[Peer]:
    """prometheus_client's own server with the same families."""
    port = free_port()
    with tempfile.NamedTemporaryFile() as file:
        file.write(page)
        file.flush()
        with _running([sys.executable, "-c", _CLIENT_LIBRARY, str(port), file.name], port) as peer:
            yield peer
