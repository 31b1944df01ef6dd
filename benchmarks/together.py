"""All five exporters at once, each scraped every 5 s as Prometheus does: CPU and memory over ten minutes.

The RAPL exporter sees four zones that move, the docker exporter an engine with idle containers (where root,
dockerd and debootstrap are to be had), the other three ten runs of ten scenarios, and a new result file every
minute. Beside them, scraped by the same client: node_exporter as it comes, with its default collectors.

    python -m benchmarks.together [--minutes 10] [--containers 10] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figures import Figure, cpu_seconds, report, resident_mib
from benchmarks.peers import NODE_EXPORTER, Client, Peer, node_exporter
from benchmarks.result_files import EXPORTERS, PER_FILE, options_of, put_file, put_files
from benchmarks.scrape import tree_of
from tests.support.docker_engine import BASE_IMAGE, import_base_image, missing_for_engine, running_engine
from tests.support.exporter_client import served
from tests.support.moving import moving

SCRAPE_SECONDS, FILE_SECONDS = 5.0, 60.0
GOAL_PERCENT, GOAL_BYTES = 1.0, 250e6
_RUNS, _ZONES = 10, 4


@contextlib.contextmanager
def docker_host(containers: int) -> Iterator[str]:
    """The address of an engine with that many containers, or of none."""
    if containers == 0 or missing_for_engine() is not None:
        yield "unix:///nonexistent.sock"
        return
    with running_engine() as engine:
        import_base_image(engine)
        for number in range(containers):
            engine.run("--name", f"c{number}", "--memory", "64m", BASE_IMAGE, "sleep", "100000")
        yield engine.host


@contextlib.contextmanager
def everything(folder: Path, containers: int) -> Iterator[dict[str, Peer]]:
    """The five exporters over their worlds, and node_exporter."""
    (folder / "sys").mkdir()
    (folder / "results").mkdir()
    tree = tree_of(folder / "sys", _ZONES)
    put_files(folder / "results", _RUNS * PER_FILE)
    with contextlib.ExitStack() as stack:
        stack.enter_context(moving(tree, watts=20.0, every_seconds=0.1))
        host = stack.enter_context(docker_host(containers))
        arguments = {"rapl": ["--sysfs", str(folder / "sys")], "docker_stats": ["--docker-host", host]}
        arguments |= {name: options_of(name, folder / "results") for name in EXPORTERS}
        servers = {}
        for name, options in arguments.items():
            started = stack.enter_context(served(f"exporters.{name}", *options))
            servers[name] = Peer(started.port, started.process.pid)
        servers[NODE_EXPORTER] = stack.enter_context(node_exporter(None))
        yield servers


def drive(servers: Mapping[str, Peer], results: Path, seconds: float) -> None:
    """Scrape all every five seconds; result files come."""
    clients = [Client(server.port, gzip=True, buffer_bytes=1 << 22) for server in servers.values()]
    start, files = time.monotonic(), _RUNS
    for number in range(1, round(seconds / SCRAPE_SECONDS) + 1):
        time.sleep(max(start + number * SCRAPE_SECONDS - time.monotonic(), 0.0))
        for client in clients:
            client.scrape()
        if number * SCRAPE_SECONDS >= (files - _RUNS + 1) * FILE_SECONDS:
            put_file(results, files)
            files += 1
    for client in clients:
        client.close()


def measure(minutes: float, containers: int) -> Iterator[Figure]:
    """Each exporter and their sum."""
    with tempfile.TemporaryDirectory() as name, everything(Path(name), containers) as servers:
        results = Path(name) / "results"
        drive(servers, results, 2 * SCRAPE_SECONDS)  # what is loaded and allocated once
        before, start = {who: cpu_seconds(s.pid) for who, s in servers.items()}, time.monotonic()
        drive(servers, results, minutes * 60)
        seconds = time.monotonic() - start
        share = {who: 100 * (cpu_seconds(s.pid) - before[who]) / seconds for who, s in servers.items()}
        memory = {who: resident_mib(s.pid) for who, s in servers.items()}
    ours = [who for who in servers if who != NODE_EXPORTER]
    length = f"{minutes:g} min"
    for who in ours:
        yield _beside(f"CPU of {who} over {length}", share[who], "% of a core", share)
        yield _beside(f"memory of {who} after {length}", memory[who], "MiB", memory)
    cpu, mib = sum(share[who] for who in ours), sum(memory[who] for who in ours)
    yield Figure(f"CPU of all five over {length}", cpu, "% of a core", goal=GOAL_PERCENT)
    yield _beside(f"CPU of all five over {length}", cpu, "% of a core", share)
    yield Figure(f"memory of all five after {length}", mib * 2**20 / 1e6, "MB", goal=GOAL_BYTES / 1e6)
    yield _beside(f"memory of all five after {length}", mib, "MiB", memory)


def _beside(what: str, value: float, unit: str, values: Mapping[str, float]) -> Figure:
    return Figure(what, value, unit, NODE_EXPORTER, values[NODE_EXPORTER])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--containers", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    return report(list(measure(options.minutes, options.containers)), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
