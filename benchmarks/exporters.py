"""Cost of an exporter of result files: scrapes, one new file, memory; beside nginx and prometheus_client.

For each number of scenarios the results exporter serves a folder of files with ten scenarios each. Beside it
nginx serves the very same bytes from files, and prometheus_client's own server serves the same families.
One client asks each in turn, in short rounds, over a kept connection where there is one, as Prometheus does
(gzip, and plain). "New file" is the refresh after one more file appeared, the compressed page included, in a
process of its own.

    python benchmarks/exporters.py [--scenarios 10,1000,10000] [--scrapes 200] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.results import EncodeStats, Output, Power, Run, Scenario, write_run
from exporters.runtime.testing import served

PER_FILE = 10
GOAL_NGINX, GOAL_REBUILD_SECONDS = 1.5, 0.050
ENCODINGS = {"gzip": "gzip", "plain": "identity"}


def scenario(number: int, start: float) -> Scenario:
    """As the runner writes it, without samples."""
    watts = 60.0 + number % 97 * 0.731
    return Scenario(
        name=f"x264 veryfast 1280x720 2500k #{number}",
        bitrate="2500k",
        resolution="1280x720",
        fps=30.0,
        encoder="libx264",
        preset="veryfast",
        duration=30.0,
        start_time=start,
        end_time=start + 30,
        outputs=[Output(resolution="1280x720", frames=1800, duration=60.0, size_bytes=18_000_000 + number)],
        power=Power(
            source="powercap",
            tier="measured",
            mean_watts=watts,
            stdev_watts=watts / 31,
            total_energy_joules=watts * 30,
            idle_watts=41.5,
        ),
        cpu_seconds=55.5 + number % 13,
        encode=EncodeStats(speed=2.0, frames=1800, dropped_frames=0),
        vmaf_score=90.0 + number % 9,
    )


def put_file(folder: Path, number: int) -> None:
    """File ``number`` of ten scenarios."""
    start = 1.7e9 + number * 1000
    scenarios = tuple(scenario(number * PER_FILE + i, start + i * 40) for i in range(PER_FILE))
    run = Run(run_id=f"test_results_{number:06d}", scenarios=scenarios)
    write_run(run, folder / f"{run.run_id}.json")


class Client:
    """One client: it keeps its connection where the server does, else it connects for each scrape."""

    def __init__(self, port: int, path: str, encoding: str) -> None:
        self._port = port
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n"
            f"Accept-Encoding: {encoding}\r\n\r\n"
        ).encode()
        self._buffer = bytearray(64 << 20)
        self._socket: socket.socket | None = None
        self.seconds: list[float] = []
        self.page = b""

    def scrape(self, times: int) -> None:
        """Ask, read everything, note the time."""
        for _ in range(times):
            start = time.perf_counter()
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(self._request)
            self.page = self._answer(self._socket)
            self.seconds.append(time.perf_counter() - start)

    def _answer(self, sock: socket.socket) -> bytes:
        size, body, wanted = 0, -1, sys.maxsize
        view = memoryview(self._buffer)
        while size < wanted:
            got = sock.recv_into(view[size:])
            size += got
            if got == 0:
                break
            if body < 4 and (body := self._buffer.find(b"\r\n\r\n", 0, size) + 4) > 3:
                length = re.search(rb"(?i)content-length: (\d+)", self._buffer[:body])
                wanted = body + int(length[1]) if length else wanted
        if self._buffer.startswith(b"HTTP/1.0"):
            self.close()
        return bytes(view[body:size])

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


@contextlib.contextmanager
def nginx(page: bytes, packed: bytes) -> Iterator[tuple[int, int]]:
    """nginx with the page as a file, and beside it the same compressed; port and process."""
    with tempfile.TemporaryDirectory() as name, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        root = Path(name)
        root.chmod(0o755)
        (root / "metrics").write_bytes(page)
        (root / "metrics.gz").write_bytes(packed)
        config = root / "nginx.conf"
        config.write_text(
            f"daemon off; worker_processes 1; pid {name}/pid; error_log /dev/null; user root;\n"
            "events {}\n"
            "http { access_log off; default_type text/plain; sendfile on; tcp_nodelay on;\n"
            "keepalive_requests 1000000; open_file_cache max=10;\n"
            f"server {{ listen 127.0.0.1:{port}; root {name}; gzip_static on; }} }}\n"
        )
        probe.close()
        with subprocess.Popen(["nginx", "-c", str(config)], stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port)
                yield port, process.pid
            finally:
                process.terminate()


_PEER = """
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
def client_library(page: bytes) -> Iterator[tuple[int, int]]:
    """prometheus_client's server with the same families; port and process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.NamedTemporaryFile() as file:
        file.write(page)
        file.flush()
        command = [sys.executable, "-c", _PEER, str(port), file.name]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port)
                yield port, process.pid
            finally:
                process.kill()


def wait_for(port: int) -> None:
    """Until something listens."""
    for _ in range(1200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def resident_mib(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


_REBUILD = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from benchmarks.exporters import put_file
from exporters.results import ResultsCollector
from exporters.runtime.folder import ResultFolder
from exporters.runtime.predictor import Predictor
from exporters.runtime.snapshot import SnapshotSource
folder, count = Path(sys.argv[2]), int(sys.argv[3])
results = ResultFolder(folder, runs=10**6, max_scenarios=10**6, keep_samples=False)
source = SnapshotSource(ResultsCollector(results, Predictor(folder / "none", folder)), lambda s: None)
start = time.perf_counter()
source.refresh()
source.page.piece(True)
first, wall, cpu = time.perf_counter() - start, [], []
for number in range(count, count + 9):
    put_file(folder, number)
    start, busy = time.perf_counter(), time.thread_time()
    source.refresh()
    wall.append(time.perf_counter() - start)
    cpu.append(time.thread_time() - busy)
    (folder / f"test_results_{number:06d}.json").unlink()
    source.refresh()
print(json.dumps({"first_seconds": first, "wall": sorted(wall)[4], "cpu": sorted(cpu)[4]}))
"""


def rebuild(folder: Path, files: int) -> dict[str, float]:
    """Median of nine: refresh after one new file, compressed page included; and the first load."""
    command = [
        sys.executable,
        "-c",
        _REBUILD,
        str(Path(__file__).resolve().parent.parent),
        str(folder),
        str(files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(scenarios: int, scrapes: int) -> dict[str, object]:
    """All figures at one size."""
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name), max(scenarios // PER_FILE, 1)
        for number in range(files):
            put_file(folder, number)
        arguments = (
            "--results-dir",
            name,
            "--runs",
            "1000000",
            "--max-scenarios",
            "1000000",
            "--models-dir",
            f"{name}/none",
        )
        with served("exporters.results", *arguments) as ours:
            page, packed = (first_page(ours.port, encoding) for encoding in ("identity", "gzip"))
            with nginx(page, packed) as (web, _), client_library(page) as (peer, peer_pid):
                ports = {
                    "results": (ours.port, "/metrics"),
                    "nginx": (web, "/metrics"),
                    "prometheus_client": (peer, "/metrics"),
                }
                times = {e: rounds(ports, e, scrapes) for e in ENCODINGS}
                memory = {
                    "results": resident_mib(ours.process.pid),
                    "prometheus_client": resident_mib(peer_pid),
                }
        return {
            "scenarios": scenarios,
            "page_bytes": len(page),
            "gzip_bytes": len(packed),
            "seconds": times,
            "resident_mib": memory,
            "new_file": rebuild(folder, files),
        }


def first_page(port: int, encoding: str) -> bytes:
    """The page as soon as it is complete."""
    ready = Client(port, "/-/ready", "identity")
    while True:
        ready.scrape(1)
        if ready.page == b"OK":
            break
        time.sleep(0.1)
    ready.close()
    client = Client(port, "/metrics", encoding)
    client.scrape(1)
    client.close()
    return client.page


def rounds(ports: dict[str, tuple[int, str]], encoding: str, scrapes: int) -> dict[str, dict[str, float]]:
    """p50 and p99 of each server, asked in turn."""
    clients = {who: Client(port, path, ENCODINGS[encoding]) for who, (port, path) in ports.items()}
    for who, client in clients.items():
        client.scrape(2)
        client.seconds.clear()
        assert client.page, who
    for turn in range(10):
        for who, client in clients.items():
            if who != "prometheus_client":
                client.scrape(max(scrapes // 10, 1))
            elif turn < 3:  # it takes seconds for what the others send in milliseconds
                client.scrape(1)
    for client in clients.values():
        client.close()
    return {who: quantiles(client.seconds) for who, client in clients.items()}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {"p50": statistics.median(seconds), "p99": sorted(seconds)[int(len(seconds) * 0.99)]}


def show(figures: dict[str, object]) -> None:
    """One size, as text."""
    seconds, memory, new = figures["seconds"], figures["resident_mib"], figures["new_file"]
    assert isinstance(seconds, dict)
    assert isinstance(memory, dict)
    assert isinstance(new, dict)
    sizes = f"page of {figures['page_bytes']} bytes, {figures['gzip_bytes']} compressed"
    print(f"{figures['scenarios']} scenarios, {sizes}")
    for encoding, servers in seconds.items():
        base = servers["nginx"]["p50"]
        for who, times in servers.items():
            ratio, p50, p99 = times["p50"] / base, times["p50"] * 1e3, times["p99"] * 1e3
            print(f"  {encoding:6} {who:18} p50 {p50:9.3f} ms  p99 {p99:9.3f} ms  {ratio:8.2f} of nginx")
    print("  resident  " + ", ".join(f"{who} {mib:.0f} MiB" for who, mib in memory.items()))
    wall, cpu = new["wall"] * 1e3, new["cpu"] * 1e3
    print(f"  new file  {wall:.1f} ms, CPU {cpu:.1f} ms; first load {new['first_seconds']:.2f} s")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenarios", default="10,1000,10000", help="sizes, with commas")
    parser.add_argument("--scrapes", type=int, default=200, help="scrapes of each server and encoding")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("nginx") is None:
        sys.stderr.write("nginx is not installed: nothing to compare with\n")
        return 1
    found = [measure(int(size), options.scrapes) for size in options.scenarios.split(",")]
    if options.json:
        print(json.dumps(found))
    else:
        for figures in found:
            show(figures)
        print(f"goals: at most {GOAL_NGINX} of nginx; new file at most {GOAL_REBUILD_SECONDS * 1e3:g} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
