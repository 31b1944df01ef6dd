"""What a scrape of the docker_stats exporter costs with many real containers, beside ``docker stats``.

    python -m benchmarks.docker_scrape [--containers 1,10,200] [--scrapes 100] [--json]

Needs root, dockerd and debootstrap: an engine of its own is started and removed. ``docker stats
--no-stream`` shows once what a scrape publishes; its wall time and the CPU that it takes (client and engine)
are those of one such look.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.figures import Figure, cpu_seconds, quantile, report, resident_mib, sizes
from benchmarks.peers import Client
from tests.support.docker_engine import (
    BASE_IMAGE,
    DockerEngine,
    import_base_image,
    missing_for_engine,
    running_engine,
)
from tests.support.exporter_client import served

PEER = "docker stats"
GOAL = 1 / 20
_SETTLE_SECONDS = 8.0
"""Two rounds of the files that are read slowly."""


def start_containers(engine: DockerEngine, first: int, count: int) -> None:
    """Start idle containers, and wait for the last."""
    for number in range(first, count):
        engine.run("--name", f"c{number}", "--memory", "64m", BASE_IMAGE, "sleep", "100000")


def docker_stats_seconds(engine: DockerEngine, repeats: int = 3) -> tuple[float, float]:
    """Median wall seconds of ``docker stats --no-stream``, and CPU seconds of client and engine for one."""
    command = ["docker", "-H", engine.host, "stats", "--no-stream"]
    walls, before = [], _spent(engine)
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - start)
    return statistics.median(walls), (_spent(engine) - before) / repeats


def _spent(engine: DockerEngine) -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime + cpu_seconds(engine.pid)


def measure(engine: DockerEngine, containers: int, scrapes: int, idle_seconds: float) -> Iterator[Figure]:
    """Latency, CPU and memory with the containers that run now."""
    with served("exporters.docker_stats", "--docker-host", engine.host) as exporter:
        pid, client = exporter.process.pid, Client(exporter.port)
        time.sleep(_SETTLE_SECONDS)
        before = cpu_seconds(pid)
        time.sleep(idle_seconds)
        sampling = (cpu_seconds(pid) - before) / idle_seconds
        before = cpu_seconds(pid)
        page = client.scrape(scrapes)
        spent = cpu_seconds(pid) - before - sampling * sum(client.seconds)
        assert page.count(b"\ndocker_container_cpu_seconds_total{") == containers
        memory = resident_mib(pid)
        client.close()
    wall, cpu = docker_stats_seconds(engine)
    p50, p99 = quantile(client.seconds, 0.5) * 1e3, quantile(client.seconds, 0.99) * 1e3
    size, of = containers, "containers"
    goal = GOAL if containers == 200 else None
    yield Figure("scrape of docker_stats, p50", p50, "ms", PEER, wall * 1e3, goal, size=size, of=of)
    yield Figure("scrape of docker_stats, p99", p99, "ms", PEER, wall * 1e3, size=size, of=of)
    each = max(spent, 0.0) / scrapes * 1e3
    yield Figure("CPU of a scrape of docker_stats", each, "ms", PEER, cpu * 1e3, size=size, of=of)
    yield Figure("CPU of docker_stats between scrapes", sampling * 100, "% of a core", size=size, of=of)
    yield Figure("memory of docker_stats", memory, "MiB", size=size, of=of)


def measured(counts: Sequence[int], scrapes: int, idle_seconds: float) -> Iterator[Figure]:
    """One engine; containers are added from size to size."""
    with running_engine() as engine:
        import_base_image(engine)
        running = 0
        for count in sorted(counts):
            start_containers(engine, running, count)
            running = count
            yield from measure(engine, count, scrapes, idle_seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--containers", type=sizes, default=[1, 10, 200], help="numbers, with commas")
    parser.add_argument("--scrapes", type=int, default=100)
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if (reason := missing_for_engine()) is not None:
        sys.stderr.write(f"{reason}\n")
        return 1
    found = list(measured(options.containers, options.scrapes, options.idle_seconds))
    return report(found, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
