"""Time of one scrape: the RAPL exporter beside node_exporter's rapl collector, on one tree, in one run.

Both serve the same four zones to one client over a kept connection; they take turns in short rounds, so that
whatever else the machine does falls on both. Needs ``prometheus-node-exporter`` on the PATH.

    python benchmarks/scrape.py [--rounds 40] [--scrapes 100] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from exporters.runtime.testing import served
from tests.support.powercap_tree import PowercapTree

PEER = "prometheus-node-exporter"
GOAL = 0.7


class Client:
    """One kept connection that scrapes and times; it does little, as its own work counts for both."""

    _REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;version=0.0.4\r\n\r\n"

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.microseconds: list[float] = []
        self.page = b""

    def scrape(self, times: int) -> None:
        for _ in range(times):
            start = time.perf_counter()
            self._socket.sendall(self._REQUEST)
            self.page = self._answer()
            self.microseconds.append((time.perf_counter() - start) * 1e6)

    def _answer(self) -> bytes:
        data = self._socket.recv(1 << 18)
        while (body := data.find(b"\r\n\r\n") + 4) < 4:
            data += self._socket.recv(1 << 18)
        head = data[:body].lower()
        if b"content-length:" in head:
            wanted = body + int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            while len(data) < wanted:
                data += self._socket.recv(1 << 18)
        else:  # chunked
            while not data.endswith(b"0\r\n\r\n"):
                data += self._socket.recv(1 << 18)
        return data

    def close(self) -> None:
        self._socket.close()


class NodeExporter(NamedTuple):
    """Where the peer listens, and its process."""

    port: int
    pid: int


@contextlib.contextmanager
def node_exporter(sysfs: Path) -> Iterator[NodeExporter]:
    """The peer with its rapl collector alone, and without the metrics of its own process."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        *(PEER, "--collector.disable-defaults", "--collector.rapl", "--web.disable-exporter-metrics"),
        *(f"--path.sysfs={sysfs}", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield NodeExporter(port, process.pid)
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def four_zones(sysfs: Path) -> PowercapTree:
    """Two sockets with dram: what a server without psys shows."""
    tree = PowercapTree(sysfs)
    for number in range(2):
        tree.add(f"intel-rapl:{number}", f"package-{number}", start_uj=number * 10**9)
        tree.add(f"intel-rapl:{number}:0", "dram", start_uj=number * 10**9)
    return tree


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--scrapes", type=int, default=100, help="scrapes a round")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which(PEER) is None:
        sys.stderr.write(f"{PEER} is not installed: nothing to compare with\n")
        return 1
    with tempfile.TemporaryDirectory() as name:
        tree = four_zones(Path(name))
        with served("exporters.rapl", "--sysfs", name) as ours, node_exporter(Path(name)) as peer:
            clients = {"rapl": Client(ours.port), PEER: Client(peer.port)}
            for client in clients.values():
                client.scrape(50)
                client.microseconds.clear()
            pids = {"rapl": ours.process.pid, PEER: peer.pid}
            before = {name: cpu_seconds(pid) for name, pid in pids.items()}
            for _ in range(options.rounds):
                for register in tree.registers.values():
                    register.add(25.0)
                for client in clients.values():
                    client.scrape(options.scrapes)
            spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
            for client in clients.values():
                assert client.page.count(b"rapl_") >= 4
                client.close()
    figures = {name: _figures(client.microseconds, spent[name]) for name, client in clients.items()}
    ratio = figures["rapl"]["p50"] / figures[PEER]["p50"]
    if options.json:
        print(json.dumps({"microseconds": figures, "p50_ratio": ratio}))
    else:
        for name, row in figures.items():
            times = f"p50 {row['p50']:7.1f} us   p99 {row['p99']:7.1f} us"
            print(f"{name:26} {times}   {row['cpu']:6.1f} us of CPU a scrape")
        print(f"p50 ratio {ratio:.2f} (goal: at most {GOAL})")
    return 0


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _figures(microseconds: list[float], cpu_seconds: float) -> dict[str, float]:
    cuts = statistics.quantiles(microseconds, n=100)
    return {"p50": cuts[49], "p99": cuts[98], "cpu": cpu_seconds / len(microseconds) * 1e6}


if __name__ == "__main__":
    sys.exit(main())
