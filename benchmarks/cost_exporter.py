"""The cost exporter with 10 000 scenarios: start, rebuild after one new file, scrape beside nginx.

nginx serves the very bytes that the exporter served, plain and compressed, from memory; the two take turns on
kept connections, so that whatever else the machine does falls on both. Needs ``nginx`` on the PATH.

    python benchmarks/cost_exporter.py [--scenarios 10000] [--runs 100] [--scrapes 200] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.price_book import PriceOptions
from exporters.cost import CostCollector
from exporters.runtime.folder import ResultFolder
from exporters.runtime.snapshot import PageBuilder
from exporters.runtime.testing import served

FIRST = 1_772_434_800


def write_run(folder: Path, number: int, scenarios: int) -> str:
    """A file of finished scenarios with counters, a minute each; returns the run's id."""
    begin = FIRST + number * 86_400
    run_id = f"test_results_{time.strftime('%Y%m%d_%H%M%S', time.gmtime(begin))}"
    rows = [
        {
            "name": f"scenario {index}",
            "bitrate": f"{500 + index}k",
            "resolution": "1280x720",
            "fps": 30.0,
            "encoder": "libx264",
            "preset": "medium",
            "viewers": 10 + index,
            "duration": 60.0,
            "start_time": begin + 61.0 * index,
            "end_time": begin + 61.0 * index + 60,
            "outputs": [{"resolution": "1280x720", "fps": 30.0, "frames": 1800, "duration": 60.0}],
            "power": {
                "tier": "measured",
                "mean_watts": 60.0 + index,
                "total_energy_joules": 3600.0 + 60 * index,
            },
            "cpu_seconds": 90.0 + index,
        }
        for index in range(scenarios)
    ]
    document = {"schema_version": 1, "host": {"threads": 16}, "scenarios": rows}
    temporary = folder / f".{run_id}"
    temporary.write_text(json.dumps(document))
    temporary.rename(folder / f"{run_id}.json")
    return run_id


class Client:
    """One kept connection that fetches a page and times it."""

    def __init__(self, port: int, path: str, *, gzip: bool) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        encoding = "Accept-Encoding: gzip\r\n" if gzip else ""
        self._request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{encoding}\r\n".encode()
        self._buffer = bytearray(1 << 20)
        self.milliseconds: list[float] = []

    def fetch(self) -> bytes:
        """The body; how long it took is kept."""
        start = time.perf_counter()
        self._socket.sendall(self._request)
        data = bytearray()
        while (body := data.find(b"\r\n\r\n") + 4) < 4:
            data += self._receive()
        length = int(data[:body].lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(data) < body + length:
            data += self._receive()
        self.milliseconds.append((time.perf_counter() - start) * 1e3)
        return bytes(data[body:])

    def _receive(self) -> memoryview:
        count = self._socket.recv_into(self._buffer)
        if not count:
            raise SystemExit("the connection was closed")
        return memoryview(self._buffer)[:count]

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[int]:
    """Files of ``folder`` over HTTP, from the page cache."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; pid {folder}/pid; error_log stderr warn; worker_processes 1;
        events {{ worker_connections 64; }}
        http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
          client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
          uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
          server {{ listen 127.0.0.1:{port}; root {folder}; }} }}"""
    )
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()


def wait_for(port: int, path: str, text: bytes) -> None:
    """Until the page holds ``text``."""
    client = Client(port, path, gzip=False)
    while text not in client.fetch():
        time.sleep(0.02)
    client.close()


def wait_ready(port: int) -> None:
    """Until /-/ready answers 200."""
    while True:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in connection.recv(64):
                return
        time.sleep(0.02)


def served_run(folder: Path, options: argparse.Namespace, own: Path) -> dict[str, Any]:
    """The exporter as a process: start, a new file as a scraper sees it, scrapes beside nginx."""
    limits = ("--runs", "1000000", "--max-scenarios", "1000000")
    begin = time.perf_counter()
    with served(
        "exporters.cost", "--results-dir", str(folder), "--region", "eu-north-1", *limits
    ) as exporter:
        wait_ready(exporter.port)
        start_seconds = time.perf_counter() - begin
        memory = Path(f"/proc/{exporter.process.pid}/status").read_text().partition("VmRSS:")[2].split()[0]
        begin = time.perf_counter()
        new = write_run(folder, options.runs, options.scenarios // options.runs)
        wait_for(exporter.port, "/metrics", new.encode())
        seen_seconds = time.perf_counter() - begin
        figures = {
            kind: beside_nginx(exporter.port, own, kind, options.scrapes) for kind in ("plain", "gzip")
        }
    return {
        "start_seconds": start_seconds,
        "resident_mib": int(memory) / 1024,
        "new_file_seen_seconds": seen_seconds,
        "scrape_milliseconds": figures,
    }


def beside_nginx(port: int, own: Path, kind: str, scrapes: int) -> dict[str, float]:
    """p50 of both for the same bytes, and their ratio."""
    ours = Client(port, "/metrics?collect[]=cost", gzip=kind == "gzip")
    (own / kind).write_bytes(ours.fetch())
    with nginx(own) as peer_port:
        peer = Client(peer_port, f"/{kind}", gzip=False)
        for client in (ours, peer):
            client.fetch()
            client.milliseconds.clear()
        for _ in range(scrapes):
            ours.fetch()
            peer.fetch()
        for client in (ours, peer):
            client.close()
    p50 = {name: statistics.median(client.milliseconds) for name, client in (("cost", ours), ("nginx", peer))}
    return {**p50, "ratio": p50["cost"] / p50["nginx"], "bytes": float((own / kind).stat().st_size)}


def rebuild_seconds(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """The work alone, without the wait for the next look: all of it, and after one new file."""
    results = ResultFolder(folder, runs=10**6, max_scenarios=10**6)
    collector = CostCollector(results, PriceOptions(regions=("eu-north-1",)))
    builder = PageBuilder()
    seconds = {}
    for step in ("build_all", "rebuild_one"):
        begin = time.perf_counter()
        page = builder.build(collector.refresh() or {})
        page.plain(False)
        page.piece(False)
        seconds[step] = time.perf_counter() - begin
        write_run(folder, options.runs + 1, options.scenarios // options.runs)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenarios", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=100, help="files that they are spread over")
    parser.add_argument("--scrapes", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.stderr.write("nginx is not installed: nothing to compare with\n")
        return 1
    with tempfile.TemporaryDirectory() as results, tempfile.TemporaryDirectory() as own:
        Path(own).chmod(0o755)
        for number in range(options.runs):
            write_run(Path(results), number, options.scenarios // options.runs)
        figures = served_run(Path(results), options, Path(own))
        figures |= rebuild_seconds(Path(results), options)
    if options.json:
        print(json.dumps(figures))
        return 0
    print(f"{options.scenarios} scenarios in {options.runs} files")
    print(
        f"start to ready        {figures['start_seconds']:8.2f} s, {figures['resident_mib']:.0f} MiB resident"
    )
    print(f"new file seen after  {figures['new_file_seen_seconds']:9.2f} s (it looks every 2 s)")
    print(f"build of everything   {figures['build_all']:8.2f} s")
    print(f"rebuild, one new file {figures['rebuild_one'] * 1e3:8.1f} ms")
    for kind, row in figures["scrape_milliseconds"].items():
        print(
            f"scrape {kind:5} p50     {row['cost']:8.2f} ms, nginx {row['nginx']:.2f} ms,"
            f" ratio {row['ratio']:.2f} ({row['bytes'] / 1e6:.1f} MB)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
