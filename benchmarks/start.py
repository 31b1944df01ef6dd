"""From the command to the first answer: start, import and idle memory of each exporter.

Beside them, in the same rounds: node_exporter with its rapl collector, and a program of three lines that
serves prometheus_client's registry. An import is timed in an interpreter of its own, beside one that imports
nothing and one that imports prometheus_client.

    python -m benchmarks.start [--rounds 9] [--json]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Figure, quantile, report, resident_mib
from benchmarks.peers import LIBRARY, NODE_EXPORTER, Client, wait_for
from tests.support.ports import free_port

EXPORTERS = ("rapl", "docker_stats", "results", "qoe", "cost")
GOAL_BYTES = 48e6
_LIBRARY = """
import sys, threading, prometheus_client
prometheus_client.start_http_server(int(sys.argv[1]), "127.0.0.1")
threading.Event().wait()
"""
_SETTLE_SECONDS = 1.0


def commands(name: str, folder: Path, port: int) -> Sequence[str]:
    """How each is started."""
    if name == LIBRARY:
        return [sys.executable, "-c", _LIBRARY, str(port)]
    if name == NODE_EXPORTER:
        address = f"--web.listen-address=127.0.0.1:{port}"
        return [name, "--collector.disable-defaults", "--collector.rapl", address]
    more = [] if name in ("rapl", "docker_stats") else ["--results-dir", str(folder)]
    return [sys.executable, "-m", f"exporters.{name}", "--port", str(port), *more]


def start(name: str) -> tuple[float, float]:
    """Seconds until a page was served, and resident MiB a second later, after one more scrape."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        begin = time.perf_counter()
        with subprocess.Popen(
            commands(name, Path(folder), port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_for(port)
            client = Client(port, buffer_bytes=1 << 20)
            client.scrape()
            seconds = time.perf_counter() - begin
            time.sleep(_SETTLE_SECONDS)
            client.scrape()
            client.close()
            memory = resident_mib(process.pid)
            process.terminate()
    return seconds, memory


def imported(statement: str) -> float:
    """Seconds that an interpreter runs which only does this."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begin


def measure(rounds: int) -> Iterator[Figure]:
    """Medians; all take turns."""
    servers = (*EXPORTERS, NODE_EXPORTER, LIBRARY)
    modules = {name: f"import exporters.{name}, exporters.runtime.server" for name in EXPORTERS}
    modules |= {"advisor": "import advisor", LIBRARY: "import prometheus_client", "nothing": "pass"}
    seconds, memory, imports = defaultdict(list), defaultdict(list), defaultdict(list)
    for _ in range(rounds):
        for name in servers:
            began, resident = start(name)
            seconds[name].append(began)
            memory[name].append(resident)
        for name, statement in modules.items():
            imports[name].append(imported(statement))
    p50 = {name: quantile(values, 0.5) for name, values in seconds.items()}
    mib = {name: quantile(values, 0.5) for name, values in memory.items()}
    took = {name: quantile(values, 0.5) for name, values in imports.items()}
    for name in EXPORTERS:
        for peer in (NODE_EXPORTER, LIBRARY):
            yield Figure(f"start of {name} to the first page", p50[name] * 1e3, "ms", peer, p50[peer] * 1e3)
        yield Figure(f"memory of {name}, idle", mib[name] * 2**20 / 1e6, "MB", goal=GOAL_BYTES / 1e6)
        for peer in (NODE_EXPORTER, LIBRARY):
            yield Figure(f"memory of {name}, idle", mib[name], "MiB", peer, mib[peer])
    for name in (*EXPORTERS, "advisor"):
        for peer in (LIBRARY, "nothing"):
            yield Figure(f"interpreter and import of {name}", took[name] * 1e3, "ms", peer, took[peer] * 1e3)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    return report(list(measure(options.rounds)), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
